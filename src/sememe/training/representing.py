"""Computing the representations of a batch, with or without holding all activations (gradient caching).

Gradient caching (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021): compute
all representations without a graph, then the loss and its gradient with respect to them, then each piece again with a
graph, and send that gradient through it. The gradient is that of the whole batch, with the activations of one piece.

Texts are computed in pieces of similar length either way, so that little is padding. A piece has a seed of its own for
dropout, made from the step, the view and the piece, so the second computation drops what the first one dropped and a
resumed run what an uninterrupted one would have dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sememe.models.texts import batches
from sememe.models.trainable import TokenStates, TrainableEncoder
from sememe.training.objective import Batch, Kind, Representation

# Measured with MiniLM on one core; see `benchmarks/training.py`. A GPU needs large pieces to be busy.
_TOKENS = {"cpu": 2048}
_TOKENS_ELSEWHERE = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Some texts of a view, of similar length, that are computed together."""

    view: str
    places: Sequence[int]
    seed: int


class Represent:
    """Representations of batches, and the way back.

    Args:
        encoder: the trained encoder.
        kinds: as what each view is wanted.
        others: encoders without gradient for some of the views.
        chunk: how many texts' activations are held at once; 0 for all of them.
        precision: `float32` or `bfloat16`.
        seed: of dropout.

    """

    def __init__(
        self,
        encoder: TrainableEncoder,
        kinds: Mapping[str, Kind],
        others: Mapping[str, TrainableEncoder],
        *,
        chunk: int,
        precision: str,
        seed: int,
    ) -> None:
        self._encoder, self._kinds, self._others = encoder, kinds, others
        self._chunk, self._precision, self._seed = chunk, precision, seed

    def batch(self, batch: Batch, number: int) -> Computed:
        """Compute all views of batch `number`."""
        import torch

        found: dict[str, Representation] = {}
        pieces: list[Piece] = []
        for view in self._kinds:
            if not batch.views[view]:
                continue  # such as hard negatives that no query of the batch has
            own = self._pieces(view, batch, number)
            trained = view not in self._others
            with torch.set_grad_enabled(trained and not self._chunk):
                outputs = [self._compute(piece, batch) for piece in own]
            found[view] = _joined(outputs, [piece.places for piece in own])
            if trained and self._chunk:
                found[view] = _as_leaf(found[view])
                pieces += own
        return Computed(found, pieces, lambda piece: self._compute(piece, batch))

    def _compute(self, piece: Piece, batch: Batch) -> Representation:
        import torch

        encoder = self._others.get(piece.view, self._encoder)
        rows = [batch.views[piece.view][place] for place in piece.places]
        torch.manual_seed(piece.seed)
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            if self._kinds[piece.view] == "pooled":
                return encoder.vectors(rows).float()
            states = encoder.token_states(rows)
        return TokenStates(states.vectors.float(), states.mask)

    def _pieces(self, view: str, batch: Batch, number: int) -> list[Piece]:
        lengths = [len(row) for row in batch.views[view]]
        budget = _TOKENS.get(self._encoder.device.type, _TOKENS_ELSEWHERE)
        cut = [
            places[start : start + (self._chunk or len(places))]
            for places in batches(lengths, budget)
            for start in range(0, len(places), self._chunk or len(places))
        ]
        return [Piece(view, places, _seed(self._seed, number, view, place)) for place, places in enumerate(cut)]


class Computed:
    """The representations of a batch; `backward` carries the gradient of a loss on them into the weights.

    Attributes:
        representations: by view.

    """

    def __init__(self, representations: Mapping[str, Representation], pieces: Sequence[Piece], again: Any) -> None:
        self.representations = representations
        self._pieces, self._again = pieces, again

    def backward(self, loss: Any) -> None:
        """Add the gradients of a scalar to those of the weights."""
        import torch

        loss.backward()
        for piece in self._pieces:
            gradient = _tensor(self.representations[piece.view]).grad
            if gradient is None:  # the loss does not depend on this view
                continue
            with torch.enable_grad():
                output = _tensor(self._again(piece))
            part = gradient[list(piece.places)]
            torch.autograd.backward(output, part[:, : output.shape[1]] if output.dim() == 3 else part)

    def detached(self) -> dict[str, Representation]:
        """The representations without gradients."""
        return {view: _map(found, lambda tensor: tensor.detach()) for view, found in self.representations.items()}


@contextmanager
def own_random_numbers(device: Any) -> Iterator[None]:
    """Torch's random numbers of the caller are after the block what they were before it."""
    import torch

    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        yield


def _seed(seed: int, number: int, view: str, place: int) -> int:
    digest = hashlib.blake2b(f"{seed} {number} {view} {place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _joined(outputs: Sequence[Representation], places: Sequence[Sequence[int]]) -> Representation:
    """The outputs of pieces as one representation, in the order of the texts."""
    import torch

    order = torch.tensor([place for piece in places for place in piece])
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    if not isinstance(outputs[0], TokenStates):
        return torch.cat(list(outputs))[back.to(outputs[0].device)]
    longest = max(output.mask.shape[1] for output in outputs)
    padded = [
        TokenStates(
            torch.nn.functional.pad(output.vectors, (0, 0, 0, longest - output.mask.shape[1])),
            torch.nn.functional.pad(output.mask, (0, longest - output.mask.shape[1])),
        )
        for output in outputs
    ]
    back = back.to(outputs[0].mask.device)
    return TokenStates(
        torch.cat([output.vectors for output in padded])[back], torch.cat([output.mask for output in padded])[back]
    )


def _tensor(representation: Representation) -> Any:
    return representation.vectors if isinstance(representation, TokenStates) else representation


def _map(representation: Representation, change: Any) -> Representation:
    if isinstance(representation, TokenStates):
        return TokenStates(change(representation.vectors), representation.mask)
    return change(representation)


def _as_leaf(representation: Representation) -> Representation:
    return _map(representation, lambda tensor: tensor.detach().requires_grad_())
