"""Momentum contrast: negatives from a queue of earlier keys, which a slowly moving copy of the encoder made.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (CVPR 2020); for texts Izacard et al.
(2022), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder

_NOBODY = -1


class MomentumQueue:
    """A momentum encoder, and the keys it made last.

    Args:
        encoder: what is trained; its copy makes the keys.
        size: how many keys are kept.
        momentum: m in ``theta_k <- m theta_k + (1 - m) theta_q``; 0 copies, 1 never moves.
        batch_size: how many keys come at a time.
        eval_mode: compute keys without dropout; the published models were trained with it.
        seed: of the first keys, random directions.

    Attributes:
        keys: tensor (size, width).
        owners: the document that each key is of, -1 for the random ones; int64 tensor (size,).
        place: where the next keys go; int64 tensor (1,).
        encoder: the momentum encoder.

    Raises:
        InputError: the size is no multiple of the batch, or the momentum is out of range.

    """

    def __init__(
        self,
        encoder: TrainableEncoder,
        size: int,
        momentum: float,
        batch_size: int,
        *,
        eval_mode: bool = False,
        seed: int = 0,
    ) -> None:
        torch = require("torch", "models")
        if size < batch_size or size % batch_size:
            raise InputError(
                f"the queue holds {size} keys, which is no multiple of the batch size {batch_size}",
                where="queue",
                hint=f"Give {max(1, round(size / batch_size)) * batch_size}",
            )
        if not 0 <= momentum <= 1:
            raise InputError(f"is {momentum}", where="momentum", hint="Give 0 to 1")
        generator = torch.Generator().manual_seed(seed)
        first = torch.randn(size, encoder.width, generator=generator)
        self.keys = torch.nn.functional.normalize(first, dim=1).to(encoder.device)
        self.owners = torch.full((size,), _NOBODY, dtype=torch.long, device=encoder.device)
        self.place = torch.zeros(1, dtype=torch.long)
        self.encoder = encoder.copy()
        self.encoder.train(not eval_mode)
        self._trained, self._momentum = encoder, momentum

    def follow(self) -> None:
        """Move the momentum encoder towards the trained one; buffers are copied."""
        torch = require("torch", "models")
        with torch.no_grad():
            trained = dict(self._trained.module.named_parameters())
            for name, weight in self.encoder.module.named_parameters():
                # Not lerp_: m = 0 must copy exactly.
                weight.mul_(self._momentum).add_(trained[name], alpha=1 - self._momentum)
            buffers = dict(self._trained.module.named_buffers())
            for name, buffer in self.encoder.module.named_buffers():
                buffer.copy_(buffers[name])

    def put(self, keys: Any, owners: np.ndarray) -> None:
        """Overwrite the oldest keys.

        Args:
            keys: tensor (n, width), n the batch size.
            owners: the document of each; (n,).

        """
        torch = require("torch", "models")
        start, n = int(self.place), len(keys)
        self.keys[start : start + n] = keys.detach()
        self.owners[start : start + n] = torch.as_tensor(owners, device=self.owners.device)
        self.place[0] = (start + n) % len(self.keys)

    def owned_by(self, owners: np.ndarray) -> Any:
        """Which keys are of the same document as each of `owners` (n,); boolean tensor (n, size)."""
        torch = require("torch", "models")
        return torch.as_tensor(owners, device=self.owners.device)[:, None] == self.owners

    def arrays(self) -> Mapping[str, Any]:
        """All that changes, for checkpoints."""
        weights = {f"momentum.{name}": weight for name, weight in self.encoder.module.named_parameters()}
        return {"queue.keys": self.keys, "queue.owners": self.owners, "queue.place": self.place, **weights}


def momentum_scores(q: Any, own: Any, keys: Any) -> Any:
    """Scores of each query's own key, in column 0, and of the keys in the queue: (n, 1 + size).

    Args:
        q: queries (n, d).
        own: their keys (n, d).
        keys: the queue (size, d).

    """
    torch = require("torch", "models")
    # A copy: the queue is overwritten before the backward pass of an accumulated batch is through.
    return torch.cat([(q * own).sum(1, keepdim=True), q @ keys.clone().T], dim=1)
