"""Adam for parameters of which a step touches few rows, such as one vector a word."""

from __future__ import annotations

from typing import Any

from sememe.extras import require

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class RowAdam:
    """A matrix and its moments; a step costs what the touched rows cost, however many rows there are.

    Kingma and Ba (2015) for every row on its own: rows without a gradient keep value and moments, and the correction
    of the moments counts a row's own steps. So how a row moves does not depend on the size of the collection.

    Args:
        value: the matrix (n, width); changed in place.
        rate: learning rate.
    """

    def __init__(self, value: Any, rate: float) -> None:
        torch = require("torch", "models")
        self.value, self.rate = value, rate
        self._mean, self._square = torch.zeros_like(value), torch.zeros_like(value)
        self._steps = torch.zeros(len(value), 1)

    def step(self, rows: Any, gradient: Any) -> None:
        """Move rows against their gradients, which are added up where a row is named more than once.

        Args:
            rows: numbers of rows; shape (n,).
            gradient: shape (n, width).
        """
        torch = require("torch", "models")
        unique, place = torch.unique(rows, return_inverse=True)
        total = torch.zeros(len(unique), gradient.shape[1]).index_add_(0, place, gradient)
        steps = self._steps.index_select(0, unique).add_(1)
        mean = self._mean.index_select(0, unique).lerp_(total, 1 - BETAS[0])
        square = self._square.index_select(0, unique).lerp_(total.square_(), 1 - BETAS[1])
        for kept, new in ((self._steps, steps), (self._mean, mean), (self._square, square)):
            kept.index_copy_(0, unique, new)
        size = square.div_(1 - BETAS[1] ** steps).sqrt_().add_(EPSILON).mul_(1 - BETAS[0] ** steps)
        self.value.index_add_(0, unique, mean.div_(size), alpha=-self.rate)
