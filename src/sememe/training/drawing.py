"""Which items a batch is made of: a function of its number, so that no batch must be drawn to draw a later one."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np


class EveryEpoch:
    """Every item once an epoch, in an order that is drawn anew.

    Args:
        n: how many items there are.
        seed: of the orders.

    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        # Two epochs at most meet in a batch.
        self._order = functools.lru_cache(2)(lambda epoch: np.random.default_rng([seed, 2, epoch]).permutation(n))

    def draw(self, number: int, size: int) -> np.ndarray:
        """The items of batch `number`, of `size` items; int64."""
        places = np.arange(number * size, (number + 1) * size)
        return np.array([self._order(int(place) // self.n)[place % self.n] for place in places], np.int64)


class BySource:
    """Items drawn with replacement: first a source, then one of its items.

    Args:
        sources: the items of each source.
        probabilities: of the sources.
        seed: of the draws.

    """

    def __init__(self, sources: Sequence[np.ndarray], probabilities: np.ndarray, seed: int) -> None:
        self.n = sum(map(len, sources))
        self._sources, self._probabilities, self._seed = sources, probabilities, seed

    def draw(self, number: int, size: int) -> np.ndarray:
        """The items of batch `number`, of `size` items; int64."""
        rng = np.random.default_rng([self._seed, 3, number])
        drawn = rng.choice(len(self._sources), size, p=self._probabilities)
        return np.array([rng.choice(self._sources[source]) for source in drawn], np.int64)
