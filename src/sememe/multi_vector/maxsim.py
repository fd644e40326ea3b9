"""The Chamfer score of late interaction (ColBERT's MaxSim): sum over query vectors of the best document vector."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sememe.errors import InputError

MAX_SIMILARITIES = 16 << 20  # float32 similarities held at once: 64 MiB


def chamfer(
    queries: Any, query_mask: Any, documents: Any, document_mask: Any, *, max_similarities: int = MAX_SIMILARITIES
) -> Any:
    """Scores of every query for every document: ``sum over q of max over x of <q, x>``; differentiable.

    It is not symmetric and not divided by the number of query vectors. Documents are scored in blocks, so that memory
    does not grow with their number; where gradients are needed, a block is computed again in the backward pass.

    Args:
        queries: tensor (n_queries, m, d).
        query_mask: tensor (n_queries, m), boolean.
        documents: tensor (n_documents, n, d).
        document_mask: tensor (n_documents, n), boolean.
        max_similarities: how many inner products are held at once.

    Returns:
        Tensor (n_queries, n_documents).

    Raises:
        InputError: shapes do not fit, or a document has no vectors.

    """
    import torch
    from torch.utils.checkpoint import checkpoint

    _check(queries, query_mask, "queries")
    _check(documents, document_mask, "documents")
    if queries.shape[2] != documents.shape[2]:
        raise InputError(f"queries have {queries.shape[2]} dimensions and documents {documents.shape[2]}")
    if not bool(document_mask.any(1).all()):
        empty = int((~document_mask.any(1)).int().argmax())
        raise InputError("has no vectors", where=f"documents[{empty}]", hint="Leave such texts out")
    per_document = max(1, queries.shape[0] * queries.shape[1] * documents.shape[1])
    size = max(1, max_similarities // per_document)
    if size >= len(documents):
        return _chamfer(queries, query_mask, documents, document_mask)
    blocks = []
    for start in range(0, len(documents), size):
        block = (queries, query_mask, documents[start : start + size], document_mask[start : start + size])
        needs = torch.is_grad_enabled() and (queries.requires_grad or documents.requires_grad)
        blocks.append(checkpoint(_chamfer, *block, use_reentrant=False) if needs else _chamfer(*block))
    return torch.cat(blocks, dim=1)


def _chamfer(queries: Any, query_mask: Any, documents: Any, document_mask: Any) -> Any:
    import torch

    similarities = torch.einsum("qmd,bnd->qbmn", queries, documents)
    # A zero in place of a missing document vector would win wherever all similarities are negative.
    best = similarities.masked_fill(~document_mask[None, :, None], float("-inf")).amax(3)
    return best.masked_fill(~query_mask[:, None], 0).sum(2)


def _check(vectors: Any, mask: Any, where: str) -> None:
    if vectors.dim() != 3 or tuple(mask.shape) != tuple(vectors.shape[:2]):
        raise InputError(
            f"have shape {tuple(vectors.shape)} and a mask of shape {tuple(mask.shape)}",
            where=where,
            hint="Give (texts, vectors, d) and (texts, vectors)",
        )


def score_documents(
    queries: np.ndarray,
    query_starts: np.ndarray,
    documents: np.ndarray,
    starts: np.ndarray,
    max_similarities: int = MAX_SIMILARITIES,
) -> np.ndarray:
    """`chamfer` of vectors that lie one after another instead of padded.

    Args:
        queries: the vectors of all queries; shape (n_query_vectors, d), float32.
        query_starts: where each query's vectors start; shape (n_queries,), ascending, none empty.
        documents: the vectors of all documents; shape (n_vectors, d), float32.
        starts: where each document's vectors start; shape (n_documents,), ascending, none empty.
        max_similarities: how many inner products are held at once.

    Returns:
        Shape (n_queries, n_documents), float32.

    """
    scores = np.empty((len(query_starts), len(starts)), np.float32)
    ends = np.append(starts[1:], len(documents))
    for first, last in _blocks(starts, ends, max(1, max_similarities // max(1, len(queries)))):
        begin = starts[first]
        similarities = queries @ documents[begin : ends[last - 1]].T
        best = np.maximum.reduceat(similarities, starts[first:last] - begin, axis=1)
        scores[:, first:last] = np.add.reduceat(best, query_starts, axis=0)
    return scores


def _blocks(starts: np.ndarray, ends: np.ndarray, n_vectors: int) -> Iterator[tuple[int, int]]:
    """Runs of documents with at most `n_vectors` vectors together, or one that has more."""
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + n_vectors, side="right")))
        yield first, last
        first = last


def exact_shares(query: np.ndarray, document: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each query vector adds to a score, in float64 and independent of what else is computed beside it.

    Args:
        query: shape (m, d).
        document: shape (n, d).

    Returns:
        The winning document vector of each query vector, the first of equal ones, and their inner product; both (m,).

    """
    # einsum without BLAS: each product is summed in one fixed order, whatever the shapes are.
    similarities = np.einsum("md,nd->mn", query.astype(np.float64), document.astype(np.float64))
    winners = similarities.argmax(axis=1)
    return winners, similarities[np.arange(len(query)), winners]


def exact_score(shares: np.ndarray) -> float:
    """The sum of shares, correctly rounded, so that it depends on no order."""
    return math.fsum(shares.tolist())
