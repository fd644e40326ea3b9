"""Clustering stored token vectors of a model that was not trained for it: the baseline of training with clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.multi_vector.pruning import Kind, Pruning, prune

_DOCUMENTS_PER_COMMIT = 256


def cluster_posthoc(
    bank: Bank,
    pruning: str | Pruning,
    path: str | Path,
    *,
    method: Literal["kmeans", "ward"] = "kmeans",
    kind: Kind = "document",
) -> Bank:
    """Write a bank of centroids from a bank of token vectors.

    Args:
        bank: token vectors; `bank.documents` tells which belong together, and these lie together.
        pruning: how many clusters, `C8x32` or `C25%`; with `kmeans` any other pruning too.
        path: the new bank.
        method: k-means as in training, or Ward's hierarchical clustering, see `ward`.
        kind: which of the two numbers holds.

    Returns:
        The new bank, open for writing; its documents have the same numbers.

    Raises:
        InputError: the pruning is none, or is not a clustering that `ward` can do.
        ArtifactError: there is a bank at `path` already.

    """
    parsed = Pruning.parse(pruning)
    if method not in ("kmeans", "ward") or (method == "ward" and parsed.operator not in ("clusters", "ratio")):
        raise InputError(
            f"{method!r} does not make {parsed.method!r}", hint="Ward makes clusters, such as C8x32 or C25%"
        )
    provenance = {**bank.provenance, "pruning": parsed.method, "posthoc": method}
    target = Bank.create(path, bank.dimensions, dtype=bank.dtype, provenance=provenance)
    documents = np.asarray(bank.documents)
    starts = np.flatnonzero(np.diff(documents, prepend=-1))
    ends = np.append(starts[1:], len(documents))
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True), start=1):
        vectors = bank[start:end]
        if method == "ward":
            vectors = ward(vectors, parsed.count(len(vectors), kind))
        else:
            vectors = _kmeans(vectors, parsed, kind, str(documents[start]))
        target.append(vectors, documents=np.full(len(vectors), documents[start]), positions=np.arange(len(vectors)))
        if number % _DOCUMENTS_PER_COMMIT == 0:
            target.commit()
    target.commit({"complete": True})
    return target


def _kmeans(vectors: np.ndarray, pruning: Pruning, kind: Kind, name: str) -> np.ndarray:
    import torch

    states = torch.from_numpy(vectors)[None]
    pruned, mask = prune(states, torch.ones(states.shape[:2], dtype=torch.bool), pruning, kind, ids=[name])
    clusters: np.ndarray = pruned[mask].numpy()
    return clusters


def ward(vectors: np.ndarray, k: int, *, protected: int = 0) -> np.ndarray:
    """Centroids of Ward's hierarchical clustering on cosine distance: what is usual after training.

    The recipe of PyLate (Clavié, Chaffin and Adams 2024): condensed distances 1 - cosine, `fcluster` with `maxclust`.

    Args:
        vectors: the token vectors of one text, of unit length; shape (n, d).
        k: how many clusters at most.
        protected: how many leading tokens stay as they are, beside the `k` clusters.

    Returns:
        The protected tokens and the centroids, by each cluster's first token; at most (protected + k, d), float32.

    Raises:
        InputError: `k` is not positive.

    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if k < 1:
        raise InputError(f"there cannot be {k} clusters", where="ward", hint="Give 1 or more")
    kept, rest = np.asarray(vectors[:protected], np.float32), np.asarray(vectors[protected:], np.float32)
    if len(rest) <= k:
        return np.concatenate([kept, rest])
    distances = np.clip(1 - rest @ rest.T, 0, 2)
    labels = fcluster(linkage(squareform(distances, checks=False), method="ward"), k, criterion="maxclust")
    _, first, clusters = np.unique(labels, return_index=True, return_inverse=True)
    one_hot = (clusters == np.argsort(first)[:, None]).astype(np.float32)
    return np.concatenate([kept, one_hot @ rest / one_hot.sum(axis=1, keepdims=True)])
