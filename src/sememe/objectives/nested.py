"""Nested: any objective on pooled vectors, so that the first m numbers of a vector do its work for every m of a list.

Kusupati et al., "Matryoshka Representation Learning" (NeurIPS 2022, arXiv 2205.13147), equation 1, around a loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.matryoshka import check_dims
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation, Seen


class Nested(Objective):
    """The sum over sizes m of an objective's loss on the first m dimensions of every view.

    The objective brings prefixes to unit length itself, where its encoder gives unit vectors.

    Args:
        inner: the objective; all its views are pooled vectors.
        dims: the sizes, increasing. The full width is added when it is missing: else the full vector is not trained.
        weights: of the sizes; by default 1.

    Raises:
        InputError: sizes or weights cannot be used, or a view is not one vector a text.

    """

    name = "nested"

    def __init__(self, inner: Objective, dims: Sequence[int], weights: Sequence[float] | None = None) -> None:
        tokens = [view for view, kind in inner.views.items() if kind != "pooled"]
        if tokens:
            raise InputError(f"{inner.name} compares tokens ({', '.join(tokens)}), whose vectors cannot be nested")
        self.inner, self.config, self.rate = inner, inner.config, inner.rate
        self.dims = check_dims(dims)
        if weights is not None and (len(weights) != len(self.dims) or min(weights) < 0):
            raise InputError(f"weights {list(weights)} are not {len(self.dims)} numbers of 0 or more", where="weights")
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(self.dims)

    @property
    def views(self) -> Mapping[str, Kind]:
        return self.inner.views

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        check_dims(self.dims, encoder.width)
        if self.dims[-1] < encoder.width:
            self.dims, self.weights = (*self.dims, encoder.width), (*self.weights, 1.0)
        self.inner.prepare(encoder, batch_size, seed)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        return self.inner.data(documents, encoder, batch_size, seed, scratch)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        total: Any = 0.0
        figures: dict[str, float] = {}
        for m, weight in zip(self.dims, self.weights, strict=True):
            part = self.inner.loss({view: vectors[:, :m] for view, vectors in representations.items()}, batch)
            total = total + weight * part.value
            figures |= {**part.figures, f"loss@{m}": float(part.value.detach())}
        return Loss(total, figures)

    def encoders(self) -> Mapping[str, TrainableEncoder]:
        return self.inner.encoders()

    def parameters(self) -> Mapping[str, Any]:
        return self.inner.parameters()

    def before_step(self, step: int) -> None:
        self.inner.before_step(step)

    def after_step(self, step: int, seen: Sequence[Seen]) -> None:
        self.inner.after_step(step, seen)

    def arrays(self) -> Mapping[str, Any]:
        return self.inner.arrays()

    def card(self) -> dict[str, Any]:
        return {**self.inner.card(), "nested": {"dims": list(self.dims), "weights": list(self.weights)}}
