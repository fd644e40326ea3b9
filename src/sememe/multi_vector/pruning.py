"""Fewer vectors for a text: the last tokens, every k-th token, k-means clusters or one mean (CRISP, arXiv 2505.11471).

Every operator chooses with detached numbers and then averages with the real ones, so it can stand in the forward pass
of a training step: gradients reach each token through the mean that it is part of, never through the choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sememe.errors import InputError
from sememe.multi_vector.clustering import assign_clusters

Kind = Literal["query", "document"]
GRAMMAR = (
    "mv (all tokens), sv (one mean vector), T4x8 (the last 4 tokens of a query and 8 of a document), K4 (every 4th "
    "token), C4x8 (4 clusters for a query and 8 for a document), C25% (a quarter as many clusters as tokens)"
)
_PATTERNS = {
    "mv": re.compile(r"mv"),
    "sv": re.compile(r"sv"),
    "tail": re.compile(r"T(\d+)x(\d+)"),
    "spacing": re.compile(r"K(\d+)"),
    "clusters": re.compile(r"C(\d+)x(\d+)"),
    "ratio": re.compile(r"C(\d+)%"),
}


@dataclass(frozen=True)
class Pruning:
    """A parsed method.

    Attributes:
        method: as it was written, such as `C8x32`.
        operator: `mv`, `sv`, `tail`, `spacing`, `clusters` or `ratio`.
        query: the number in it that holds for queries; 0 for `mv` and `sv`.
        document: the same for documents.

    """

    method: str
    operator: str
    query: int = 0
    document: int = 0

    @classmethod
    def parse(cls, method: str | Pruning) -> Pruning:
        """Read a method.

        Raises:
            InputError: it is none, or a number in it is out of range; the hint is the grammar.

        """
        if isinstance(method, Pruning):
            return method
        for operator, pattern in _PATTERNS.items():
            found = pattern.fullmatch(method) if isinstance(method, str) else None
            if found is None:
                continue
            numbers = [int(number) for number in found.groups()] or [0]
            if operator in ("mv", "sv") or (min(numbers) > 0 and (operator != "ratio" or numbers[0] <= 100)):
                return cls(method, operator, numbers[0], numbers[-1])
            raise InputError(f"a number in {method!r} is out of range", where="pruning", hint=f"Give one of {GRAMMAR}")
        raise InputError(f"there is no pruning {method!r}", where="pruning", hint=f"Give one of {GRAMMAR}")

    def count(self, n_tokens: Any, kind: Kind) -> Any:
        """How many vectors a text of `n_tokens` tokens gets at most; a number, or an array or tensor of numbers.

        Clustering gives fewer when clusters stay empty.
        """
        k = self.query if kind == "query" else self.document
        if self.operator == "sv":
            return n_tokens * 0 + 1
        if self.operator in ("tail", "clusters"):
            return n_tokens - (n_tokens - k) * (n_tokens > k)
        if self.operator == "spacing":
            return (n_tokens + k - 1) // k
        if self.operator == "ratio":
            share = n_tokens * k // 100
            return share + (share < 1)
        return n_tokens


class Pruned(NamedTuple):
    """What is left of a batch of texts.

    Attributes:
        vectors: tensor (texts, k, d); zeros where `mask` is False.
        mask: tensor (texts, k), boolean; every text's vectors come first.
        members: tensor (texts, tokens), int64: which vector each token went into, -1 for none.

    """

    vectors: Any
    mask: Any
    members: Any


def prune(
    states: Any, mask: Any, method: str | Pruning, kind: Kind, *, renormalize: bool = False, ids: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Reduce the token vectors of texts; see `prune_with_members`.

    Returns:
        The vectors (texts, k, d) and their mask (texts, k).

    """
    pruned = prune_with_members(states, mask, method, kind, renormalize=renormalize, ids=ids)
    return pruned.vectors, pruned.mask


def prune_with_members(
    states: Any, mask: Any, method: str | Pruning, kind: Kind, *, renormalize: bool = False, ids: Sequence[str] = ()
) -> Pruned:
    """Reduce the token vectors of texts to fewer vectors, differentiably.

    A text with no more tokens than it may keep keeps them unchanged. Centroids are plain means: one of a loose cluster
    is shorter than 1, which damps it (section 2.4 of the paper does not say; this is our reading).

    Args:
        states: tensor (texts, tokens, d).
        mask: tensor (texts, tokens), boolean: which tokens are real.
        method: one of the grammar, such as `C8x32`.
        kind: `query` or `document`; it decides which of the two numbers holds.
        renormalize: scale centroids to unit length.
        ids: the texts' names for error messages.

    Raises:
        InputError: shapes do not fit, a text has no tokens, a number is NaN or infinite, or the method is none.

    """
    import torch

    pruning = Pruning.parse(method)
    if kind not in ("query", "document"):
        raise InputError(f"there is no kind {kind!r}", hint="Give query or document")
    _check(states, mask, ids)
    states, order = _compact(states, mask)
    n_tokens = mask.sum(1)
    real = torch.arange(states.shape[1], device=states.device) < n_tokens[:, None]
    members = _members(states, real, n_tokens, pruning, kind)
    if pruning.operator in ("mv", "tail", "spacing"):
        vectors, _ = _compact(states, members >= 0)
        kept = (members >= 0).sum(1)
        result = vectors[:, : int(kept.max())]
        counts_mask = torch.arange(result.shape[1], device=states.device) < kept[:, None]
    else:
        result, counts_mask, members = _means(states, members)
        if pruning.operator == "sv" or renormalize:
            result = torch.nn.functional.normalize(result, dim=-1)
    return Pruned(result, counts_mask, torch.full_like(members, -1).scatter(1, order, members))


def _members(states: Any, real: Any, n_tokens: Any, pruning: Pruning, kind: Kind) -> Any:
    """Which vector each of the left-aligned tokens goes into; -1 for none."""
    import torch

    positions = torch.arange(states.shape[1], device=states.device).expand(len(states), -1)
    if pruning.operator == "mv":
        return torch.where(real, positions, -1)
    if pruning.operator == "sv":
        return torch.where(real, 0, -1)
    if pruning.operator == "tail":
        places = positions - (n_tokens - pruning.count(n_tokens, kind))[:, None]
        return torch.where(real & (places >= 0), places, -1)
    if pruning.operator == "spacing":
        step = pruning.query if kind == "query" else pruning.document
        return torch.where(real & (positions % step == 0), positions // step, -1)
    return assign_clusters(states, real, pruning.count(n_tokens, kind))


def _means(states: Any, members: Any) -> tuple[Any, Any, Any]:
    """The mean of each cluster's tokens, without the empty clusters, and the members in terms of what is left."""
    import torch

    n = int(members.max()) + 1
    exact = states if states.dtype == torch.float64 else states.float()  # half a float is too little for a sum
    one_hot = torch.nn.functional.one_hot(members.clamp(min=0), n).to(exact.dtype) * (members >= 0)[..., None]
    counts = one_hot.sum(1)
    means = ((one_hot.transpose(1, 2) @ exact) / counts.clamp(min=1)[..., None]).to(states.dtype)
    filled = counts > 0
    means, _ = _compact(means, filled)
    renamed = (filled.cumsum(1) - 1).gather(1, members.clamp(min=0))
    n_filled = filled.sum(1)
    width = int(n_filled.max())
    mask = torch.arange(width, device=states.device) < n_filled[:, None]
    return means[:, :width], mask, torch.where(members >= 0, renamed, -1)


def _compact(states: Any, keep: Any) -> tuple[Any, Any]:
    """The kept vectors moved to the left in their order, zeros behind them; and where each came from."""
    order = (~keep).long().argsort(dim=1, stable=True)
    moved = states.gather(1, order[..., None].expand_as(states))
    # Not a product with the mask: what stands in the padding may be NaN.
    return moved.masked_fill(~keep.gather(1, order)[..., None], 0), order


def _check(states: Any, mask: Any, ids: Sequence[str]) -> None:
    import torch

    shape = tuple(states.shape)
    if states.dim() != 3:
        raise InputError(f"token vectors have shape {shape}", where="states", hint="Give (texts, tokens, d)")
    if tuple(mask.shape) != shape[:2] or mask.dtype != torch.bool:
        raise InputError(
            f"is {mask.dtype} of shape {tuple(mask.shape)}", where="mask", hint=f"Give booleans of shape {shape[:2]}"
        )
    if shape[0] == 0:
        raise InputError("there are no texts", where="states")
    empty = ~mask.any(1)
    if empty.any():
        raise InputError("has no tokens", where=_name(int(empty.int().argmax()), ids), hint="Leave such texts out")
    broken = (~torch.isfinite(states.detach()).all(2) & mask).any(1)
    if broken.any():
        raise InputError("has a token vector with NaN or infinity", where=_name(int(broken.int().argmax()), ids))


def _name(number: int, ids: Sequence[str]) -> str:
    return f"text {ids[number]!r}" if ids else f"texts[{number}]"
