"""Search that outgrows one machine: the interface of `sememe.Index` on a Milvus server."""

from sememe.search.milvus.config import MilvusConfig
from sememe.search.milvus.index import MilvusIndex

__all__ = ["MilvusConfig", "MilvusIndex"]
