"""Contrastive quantisation: a product codebook trained so that the answer of a query scores above other documents.

Xiao et al., "Progressively Optimized Bi-Granular Document Representation" (WWW 2022): codewords are chosen by a
softmax over distances with a straight-through estimator, queries are never quantised, and the loss is cross-entropy
over in-batch documents. This file has the loss; `sememe.objectives.contrastive_fitting` trains with it.
"""

from __future__ import annotations

from typing import Any

from sememe.extras import require

MASKED = -10_000.0


def contrastive_quantization_loss(
    queries: Any,
    positives: Any,
    negatives: Any,
    codebook: Any,
    rotation: Any = None,
    *,
    masked: Any = None,
    temperature: float = 1.0,
    distance_scale: float = 1.0,
    dense_weight: float = 1.0,
    l2_weight: float = 0.0,
) -> Any:
    """The loss ``w_d CE(S / T) + CE(S' / T) + w_2 (mean |Rk - z_k|^2 + mean |Rn - z_n|^2)``; a torch scalar.

    S holds the inner products of queries with positives and negatives, S' those of ``R q`` with the quantised
    documents. The paper's code compares the unrotated vector with the rotated z in the last term; here it is rotated.

    Args:
        queries: tensor (B, d).
        positives: tensor (B, d), row i for query i.
        negatives: tensor (n, d).
        codebook: tensor (M, K, d / M).
        rotation: tensor (d, d), or None.
        masked: bool tensor (B, B + n): pairs that are positives too; the diagonal is kept whatever it says.
        temperature: T.
        distance_scale: see `straight_through`.
        dense_weight: w_d.
        l2_weight: w_2.

    """
    torch = require("torch", "models")
    documents = torch.cat([positives, negatives])
    rotated = documents if rotation is None else documents @ rotation.T
    z = straight_through(rotated, codebook, distance_scale)
    asked = queries if rotation is None else queries @ rotation.T
    loss = multi_ce(asked @ z.T / temperature, masked)
    if dense_weight:
        loss = loss + dense_weight * multi_ce(queries @ documents.T / temperature, masked)
    if l2_weight:
        errors = ((rotated - z) ** 2).sum(dim=1)
        parts = [part.mean() for part in (errors[: len(positives)], errors[len(positives) :]) if len(part)]
        loss = loss + l2_weight * sum(parts)
    return loss


def straight_through(vectors: Any, codebook: Any, distance_scale: float = 1.0) -> Any:
    """Nearest codewords in value, softmax over distances in gradient; tensor (n, d).

    With p_mk = softmax_k(-scale |u_m - C_mk|^2) and b_m one-hot at its largest, ``z_m = sum_k (b - sg(p) + p)_mk C_mk``
    where sg stops the gradient. So C gets a gradient through the chosen codeword and through p, and the vectors
    through p.

    Args:
        vectors: tensor (n, d), rotated if there is a rotation.
        codebook: tensor (M, K, d / M).
        distance_scale: with unit vectors and short slices distances are small and p is nearly uniform; a scale above
            1 sharpens it. The paper's is 1.

    """
    torch = require("torch", "models")
    m, _, width = codebook.shape
    u = vectors.reshape(len(vectors), m, width).transpose(0, 1)  # (M, n, width)
    closeness = _closeness(u, codebook)
    p = torch.softmax(distance_scale * closeness, dim=2)
    chosen = closeness.argmax(dim=2)
    hard = torch.gather(codebook, 1, chosen[:, :, None].expand(-1, -1, width))
    soft = (p - p.detach()) @ codebook
    return (hard + soft).transpose(0, 1).reshape(len(vectors), -1)


def multi_ce(scores: Any, masked: Any = None) -> Any:
    """Mean cross-entropy of scores (B, B + n) whose answers lie on the diagonal; a torch scalar.

    Args:
        scores: tensor.
        masked: bool tensor of the same shape: other positives of the same query, which are no negatives.

    """
    torch = require("torch", "models")
    labels = torch.arange(len(scores))
    if masked is not None:
        others = masked.clone()
        others[labels, labels] = False
        scores = scores.masked_fill(others, MASKED)
    return torch.nn.functional.cross_entropy(scores, labels)


def gathered(vectors: Any) -> Any:
    """The vectors of all workers, one after another; only this worker's own carry a gradient.

    With no process group of `torch.distributed`, the vectors themselves.
    """
    torch = require("torch", "models")
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return vectors
    parts = [torch.empty_like(vectors) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, vectors.detach().contiguous())
    parts[distributed.get_rank()] = vectors
    return torch.cat(parts)


def nearest_codewords(vectors: Any, codebook: Any) -> Any:
    """The codewords nearest to the slices of a tensor (n, d), one after another; tensor (n, d)."""
    m, _, width = codebook.shape
    slices = vectors.reshape(len(vectors), m, width).transpose(0, 1)
    chosen = _closeness(slices, codebook).argmax(dim=2)[:, :, None].expand(-1, -1, width)
    return codebook.gather(1, chosen).transpose(0, 1).reshape(len(vectors), -1)


def codeword_counts(slices: Any, codebook: Any) -> Any:
    """How many of the slices (M, n, d / M) are nearest to each codeword; tensor (M, K)."""
    torch = require("torch", "models")
    chosen = _closeness(slices, codebook).argmax(dim=2)
    return torch.stack([torch.bincount(of_slice, minlength=codebook.shape[1]) for of_slice in chosen])


def _closeness(slices: Any, codebook: Any) -> Any:
    # |u|^2 is the same for all codewords, and neither an argmax nor a softmax sees it.
    return 2 * slices @ codebook.transpose(1, 2) - (codebook**2).sum(dim=2)[:, None, :]
