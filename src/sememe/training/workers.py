"""Several devices: each process computes a part of every batch, all see the whole batch's representations.

Start them with `torchrun` or `accelerate launch`. Each process has a copy of the encoder and computes its share of the
texts; representations are gathered, so that the loss and its gradient are those of the whole batch (cross-batch
negatives), and each sends its share of that gradient back through its own texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sememe.extras import require


@dataclass(frozen=True)
class Workers:
    """The processes of a run.

    Attributes:
        rank: of this one, from 0.
        size: how many there are.

    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Workers:
        """What `torchrun` or `accelerate launch` has started; a single process otherwise."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        torch = require("torch", "models")
        # Left to itself accelerate joins no processes that have no GPU.
        state = require("accelerate", "models").PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes)

    @property
    def is_first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """The part of `n` texts that this process computes; the parts follow each other."""
        return range(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def gathered(self, tensor: Any, n: int) -> Any:
        """The tensors (n_share, ...) of all processes as one (n, ...), without gradient."""
        import torch

        if self.size == 1:
            return tensor
        widest = -(-n // self.size)
        padded = tensor.new_zeros(widest, *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        found = [torch.empty_like(padded) for _ in range(self.size)]
        torch.distributed.all_gather(found, padded)
        counts = [len(Workers(rank, self.size).share(n)) for rank in range(self.size)]
        return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])

    def longest(self, length: int) -> int:
        """The largest of a number over all processes."""
        import torch

        if self.size == 1:
            return length
        found = torch.tensor(length)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found)

    def add_gradients(self, weights: Iterable[Any]) -> None:
        """Sum the gradients of all processes, in each of them."""
        import torch

        if self.size == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            torch.distributed.all_reduce(weight.grad)

    def first_says(self, value: float) -> float:
        """The first process's value, in all of them."""
        import torch

        if self.size == 1:
            return value
        found = torch.tensor(value, dtype=torch.float64)
        torch.distributed.broadcast(found, 0)
        return float(found)

    def wait(self) -> None:
        """Wait until all have come here."""
        import torch

        if self.size > 1:
            torch.distributed.barrier()
