"""Search: the index, its coarse and fine stages, explanations, evaluation."""

from sememe.search.config import IndexConfig
from sememe.search.hits import Contribution, Explanation, Hit
from sememe.search.index import Index

__all__ = ["Contribution", "Explanation", "Hit", "Index", "IndexConfig"]
