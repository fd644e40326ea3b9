"""Sampled softmax: the cross-entropy of a word among a whole vocabulary, from a few drawn words.

Jean et al. (ACL 2015), section 3: the candidates are the true word and the drawn ones, each once, and every logit is
corrected by the log of the probability that its word is drawn. Without the correction frequent words would win. A drawn
word that is the true word is no alternative to it: being one candidate, it cannot compete with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sememe.extras import require

_DRAWS_AT_ONCE = 256


class Sampler:
    """Draws sets of words by their frequencies.

    Args:
        counts: of the words; shape (n_words,), at least one above 0.
        n: how often a word is drawn for one set; a word that is drawn twice is in it once.
    """

    def __init__(self, counts: np.ndarray, n: int) -> None:
        torch = require("torch", "models")
        share = np.asarray(counts, np.float64) / np.sum(counts)
        self._until: Any = torch.from_numpy(np.cumsum(share))
        self._until[-1] = 1.0
        self._n = n
        with np.errstate(divide="ignore"):  # log 0 for a word that is all there is, or is never drawn
            chance = -np.expm1(n * np.log1p(-share))
        self.log_chance: Any = torch.from_numpy(np.log(np.maximum(chance, 1e-300)).astype(np.float32))

    def draw(self, n_sets: int, generator: Any) -> Iterator[Any]:
        """Sets of words, each an ascending tensor of word numbers."""
        torch = require("torch", "models")
        for first in range(0, n_sets, _DRAWS_AT_ONCE):
            size = (min(_DRAWS_AT_ONCE, n_sets - first), self._n)
            uniform = torch.rand(size, dtype=torch.float64, generator=generator)
            drawn = torch.searchsorted(self._until, uniform, right=True).clamp_(max=len(self._until) - 1)
            yield from (torch.unique_consecutive(row) for row in drawn.sort(dim=1).values)


class Scored(NamedTuple):
    """Losses of pairs of an input and a true word, and the gradients of their sum.

    Attributes:
        losses: -log p(true word | input), in nats; shape (n_pairs,).
        inputs: gradient; shape (n_pairs, width).
        true: gradient by the true words' vectors, one row a pair; shape (n_pairs, width).
        drawn: gradient by the drawn words' vectors; shape (n_drawn, width).
    """

    losses: Any
    inputs: Any
    true: Any
    drawn: Any


class Candidates(NamedTuple):
    """The words that a batch is scored against.

    Attributes:
        true: the word of each pair; shape (n_pairs,).
        drawn: words drawn for all pairs together, ascending and each once; shape (n_drawn,).
        log_chance: of every word of the vocabulary, see `Sampler`.
    """

    true: Any
    drawn: Any
    log_chance: Any


def score(inputs: Any, true: Any, drawn: Any, candidates: Candidates) -> Scored:
    """Losses and gradients of sampled softmax, written out: what autograd does takes three times as long.

    Args:
        inputs: what predicts; shape (n_pairs, width).
        true: vectors of the true words; shape (n_pairs, width).
        drawn: vectors of the drawn words; shape (n_drawn, width).
        candidates: their numbers.
    """
    torch = require("torch", "models")
    own = (inputs * true).sum(1).sub_(candidates.log_chance[candidates.true])
    p = torch.addmm(-candidates.log_chance[candidates.drawn], inputs, drawn.T)
    highest = torch.maximum(p.amax(1), own)
    p = p.sub_(highest[:, None]).exp_()
    alone = torch.exp(own - highest)
    # A true word that was drawn is a candidate already, with the very same logit.
    alone = alone * ~torch.isin(candidates.true, candidates.drawn)
    total = p.sum(1).add_(alone)
    p.div_(total[:, None])
    pull = (alone / total).sub_(1.0)[:, None]
    losses = torch.log(total).add_(highest).sub_(own)
    return Scored(losses, torch.addcmul(p @ drawn, pull, true), pull * inputs, p.T @ inputs)
