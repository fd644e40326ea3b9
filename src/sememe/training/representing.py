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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sememe.models.texts import batches
from sememe.models.trainable import TokenStates, TrainableEncoder
from sememe.training.objective import Batch, Kind, Representation
from sememe.training.workers import Workers

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
        workers: the processes that share the texts.

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
        workers: Workers | None = None,
    ) -> None:
        self._encoder, self._kinds, self._others = encoder, kinds, others
        self._chunk, self._precision, self._seed = chunk, precision, seed
        self._workers = workers or Workers()

    def batch(self, batch: Batch, number: int) -> Computed:
        """Compute all views of batch `number`."""
        import torch

        found: dict[str, Representation] = {}
        computed: list[tuple[Piece, Representation | None]] = []
        for view in self._kinds:
            if not batch.views[view]:
                continue  # such as hard negatives that no query of the batch has
            pieces = self._pieces(view, batch, number)
            trained = view not in self._others
            with torch.set_grad_enabled(trained and not self._chunk):
                outputs = [self._compute(piece, batch) for piece in pieces]
            found[view] = self._whole(view, len(batch.views[view]), pieces, outputs)
            if trained:
                found[view] = map_tensor(found[view], lambda tensor: tensor.requires_grad_())
                computed += [
                    (piece, None if self._chunk else output) for piece, output in zip(pieces, outputs, strict=True)
                ]
        return Computed(found, computed, lambda piece: self._compute(piece, batch))

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
        """The share of the texts that falls to this process, in pieces of similar length."""
        rows = batch.views[view]
        share = self._workers.share(len(rows))
        lengths = [len(rows[place]) for place in share]
        budget = _TOKENS.get(self._encoder.device.type, _TOKENS_ELSEWHERE)
        if not self._encoder.pads:
            budget = len(lengths) * max(lengths, default=0)  # one piece: each has a gradient as large as the table
        cut = [
            [share[place] for place in places[start : start + (self._chunk or len(places))]]
            for places in batches(lengths, budget)
            for start in range(0, len(places), self._chunk or len(places))
        ]
        return [Piece(view, places, _seed(self._seed, number, view, min(places))) for places in cut]

    def _whole(self, view: str, n: int, pieces: Sequence[Piece], outputs: Sequence[Representation]) -> Representation:
        """The representation of all n texts of a view, in their order, from the pieces of all processes."""
        import torch

        first = self._workers.share(n).start
        order = torch.tensor([place - first for piece in pieces for place in piece.places], dtype=torch.long)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        back = back.to(self._encoder.device)
        detached = [map_tensor(output, lambda tensor: tensor.detach()) for output in outputs]
        if self._kinds[view] == "pooled":
            own = torch.cat([*detached, torch.zeros(0, self._encoder.width, device=back.device)])[back]
            return self._workers.gathered(own, n)
        longest = self._workers.longest(max([output.mask.shape[1] for output in detached], default=0))
        padded = [_padded(output, longest) for output in detached]
        empty = torch.zeros(0, longest, self._encoder.token_width, device=back.device)
        vectors = torch.cat([*(output.vectors for output in padded), empty])[back]
        mask = torch.cat([*(output.mask for output in padded), empty[..., 0].bool()])[back]
        return TokenStates(self._workers.gathered(vectors, n), self._workers.gathered(mask, n))


class Computed:
    """The representations of a batch; `backward` carries the gradient of a loss on them into the weights.

    Attributes:
        representations: by view.

    """

    def __init__(
        self,
        representations: Mapping[str, Representation],
        computed: Sequence[tuple[Piece, Representation | None]],
        again: Callable[[Piece], Representation],
    ) -> None:
        self.representations = representations
        self._computed, self._again = list(computed), again

    def backward(self, loss: Any) -> None:
        """Add the gradients of a scalar to those of the weights; can be called once."""
        import torch

        loss.backward()
        while self._computed:
            piece, kept = self._computed.pop()  # its graph is freed when it has been gone through
            gradient = _tensor(self.representations[piece.view]).grad
            if gradient is None:  # the loss does not depend on this view
                continue
            with torch.enable_grad():
                output = _tensor(self._again(piece) if kept is None else kept)
            part = gradient[list(piece.places)]
            torch.autograd.backward(output, part[:, : output.shape[1]] if output.dim() == 3 else part)

    def detached(self) -> dict[str, Representation]:
        """The representations without gradients."""
        return {view: map_tensor(found, lambda tensor: tensor.detach()) for view, found in self.representations.items()}


@contextmanager
def own_random_numbers(device: Any) -> Iterator[None]:
    """Torch's random numbers of the caller are after the block what they were before it."""
    import torch

    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        yield


def _seed(seed: int, number: int, view: str, place: int) -> int:
    digest = hashlib.blake2b(f"{seed} {number} {view} {place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _padded(output: TokenStates, longest: int) -> TokenStates:
    """Filled up on the right to `longest` tokens."""
    import torch

    missing = longest - output.mask.shape[1]
    pad = torch.nn.functional.pad
    return TokenStates(pad(output.vectors, (0, 0, 0, missing)), pad(output.mask, (0, missing)))


def _tensor(representation: Representation) -> Any:
    return representation.vectors if isinstance(representation, TokenStates) else representation


def map_tensor(representation: Representation, change: Callable[[Any], Any]) -> Representation:
    """The representation with its vectors changed."""
    if isinstance(representation, TokenStates):
        return TokenStates(change(representation.vectors), representation.mask)
    return change(representation)
