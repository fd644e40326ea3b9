"""Search: the index, its coarse and fine stages, explanations, evaluation."""

from sememe.search.config import IndexConfig
from sememe.search.hits import Contribution, Explanation, Hit, Hits
from sememe.search.index import Index
from sememe.search.opening import open_index

__all__ = ["Contribution", "Explanation", "Hit", "Hits", "Index", "IndexConfig", "open_index"]
