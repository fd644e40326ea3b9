"""Two views of one text without labels: independent crops, the inverse cloze task, and noise on tokens.

Independent cropping and its augmentations: Izacard et al., "Unsupervised Dense Information Retrieval with Contrastive
Learning" (TMLR 2022, arXiv 2112.09118), section 3. Inverse cloze task: Lee, Chang and Toutanova (ACL 2019).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sememe.errors import InputError

Augmentation = Literal["none", "delete", "replace", "mask", "shuffle"]
Span = Literal["random", "sentence"]
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
SPANS: tuple[str, ...] = get_args(Span)


def crop(tokens: np.ndarray, rng: np.random.Generator, rmin: float = 0.05, rmax: float = 0.5) -> np.ndarray:
    """A random part of a text: of n = floor(L u) tokens with u ~ U(rmin, rmax), from a start ~ U{0, ..., L - n}.

    Args:
        tokens: L ids, at least one.
        rng: draws.
        rmin: the least share of the text.
        rmax: the greatest share.

    Returns:
        At least one token, where the formula gives none.

    """
    start, end = _part(tokens, rng, rmin, rmax)
    return tokens[start:end]


def crop_pair(
    tokens: np.ndarray, rng: np.random.Generator, rmin: float = 0.05, rmax: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Two crops of one text that know nothing of each other; they may overlap."""
    return crop(tokens, rng, rmin, rmax), crop(tokens, rng, rmin, rmax)


def ict_pair(
    tokens: np.ndarray,
    rng: np.random.Generator,
    *,
    keep: float = 0.1,
    span: Span = "random",
    sentence_ends: np.ndarray | None = None,
    rmin: float = 0.05,
    rmax: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """The inverse cloze task: a span of a text, and the text without it.

    Args:
        tokens: the text, at least one id.
        rng: draws.
        keep: with this probability the span stays in the text.
        span: a `random` span, as `crop` draws it, or a `sentence`.
        sentence_ends: the ids that end a sentence. A text with one sentence gives a random span.
        rmin: the least share of a random span.
        rmax: the greatest.

    Returns:
        The span and the rest, neither empty: when the span is the whole text, it stays in.

    """
    start, end = (span == "sentence" and _sentence(tokens, rng, sentence_ends)) or _part(tokens, rng, rmin, rmax)
    stays = rng.random() < keep
    rest = tokens if stays else np.concatenate([tokens[:start], tokens[end:]])
    return tokens[start:end], rest if len(rest) else tokens


def augment(
    tokens: np.ndarray,
    rng: np.random.Generator,
    kind: Augmentation,
    p: float,
    *,
    ordinary_ids: np.ndarray | None = None,
    mask_id: int | None = None,
) -> np.ndarray:
    """Noise on tokens, each with probability `p`.

    Args:
        tokens: at least one id.
        rng: draws.
        kind: `delete` tokens; `replace` them by random ones; `mask` them; `shuffle` the chosen ones among themselves;
            `none`.
        p: the probability.
        ordinary_ids: what `replace` draws from.
        mask_id: what `mask` puts there.

    Returns:
        At least one token: when all would be deleted, one stays.

    Raises:
        InputError: there is no such kind, or what it needs is not given.

    """
    if kind == "none" or p == 0:
        return tokens
    chosen = rng.random(len(tokens)) < p
    if kind == "delete":
        if chosen.all():
            chosen[int(rng.integers(len(tokens)))] = False
        return tokens[~chosen]
    changed = tokens.copy()
    if kind == "shuffle":
        changed[chosen] = rng.permutation(tokens[chosen])
    elif kind == "replace" and ordinary_ids is not None:
        changed[chosen] = rng.choice(ordinary_ids, int(chosen.sum()))
    elif kind == "mask" and mask_id is not None:
        changed[chosen] = mask_id
    else:
        raise InputError(
            f"cannot {kind!r} tokens", hint=f"Choose from {', '.join(AUGMENTATIONS)}; mask needs a mask token"
        )
    return changed


def source_probabilities(sizes: np.ndarray, exponent: float) -> np.ndarray:
    """How often each of several sources is drawn from: in proportion to size^exponent; 0 means all alike."""
    weights = np.asarray(sizes, np.float64) ** exponent
    return np.asarray(weights / weights.sum())


def _part(tokens: np.ndarray, rng: np.random.Generator, rmin: float, rmax: float) -> tuple[int, int]:
    n = max(1, int(len(tokens) * rng.uniform(rmin, rmax)))
    start = int(rng.integers(0, len(tokens) - n + 1))
    return start, start + n


def _sentence(tokens: np.ndarray, rng: np.random.Generator, sentence_ends: np.ndarray | None) -> tuple[int, int] | None:
    """Start and end of a random sentence; None when there are not two."""
    ends = (np.flatnonzero(np.isin(tokens, [] if sentence_ends is None else sentence_ends)) + 1).tolist()
    bounds = sorted({0, *ends, len(tokens)})
    if len(bounds) < 3:
        return None
    number = int(rng.integers(len(bounds) - 1))
    return bounds[number], bounds[number + 1]
