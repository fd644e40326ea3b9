"""What an objective is: the contract between a way to learn and the one training loop.

An objective brings four things, and never a loop, an optimiser, a checkpoint or a forward pass of its own:

1. *Defaults*: a frozen dataclass. Flags, card and Python arguments are made from it.
2. *A data view*: `data` turns a corpus into batches of token ids for named views (`query` and `key`, say). Batch number
   n is a function of the seed and n alone, so that a stopped run goes on at any batch without replaying the others.
3. *A loss*: `loss(representations, batch)`. The loop computes the representations of all views before, in whatever
   pieces fit into memory or lie on other devices; so the loss sees the whole batch, and gradient caching, several
   devices and mixed precision work for every objective without it knowing. A view is asked for as `pooled` vectors (n,
   d), after all heads, or as `tokens`: `TokenStates`, for objectives that cluster or compare tokens. The loss must
   depend on the encoder through the representations only.
4. *State*, where it has any. Weights that are trained beside the encoder, such as a language model that reads what the
   encoder retrieves, a codebook or a projection, are `parameters`: the same optimiser moves them, and they may be used
   inside `loss` at will. What is not trained by gradient, such as a momentum encoder and a queue, changes in
   `before_step` and `after_step` and nowhere else, and is named in `arrays`, so that checkpoints hold it. A view that
   another encoder computes, without gradient, is named in `encoders`.

Order of a step: `before_step`; then for each of its micro-batches the representations and `loss`; `after_step` with
what the micro-batches were; the optimiser's step. Hooks that an objective does not need stay as they are.

Objectives compose. One that wraps another (`Nested` around any loss on pooled vectors) holds it and passes on what it
does not change. Contrastive objectives compare views through one function from two representations to a matrix of
scores, which is where late interaction or clustering goes in (`sememe.objectives.info_nce.Scores`).

An objective that is to be usable from the command line is added to `sememe.objectives.OBJECTIVES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from sememe.corpus import Document
from sememe.models.trainable import TokenStates, TrainableEncoder
from sememe.training.held_out import Question, as_question

Kind = Literal["pooled", "tokens"]
"""What the loss gets of a text: one vector, or those of its tokens."""

Representation = Any
"""Tensor (n, d) of a pooled view, `TokenStates` of a token view; float32, with gradient unless the view has none."""

__all__ = ["Batch", "DataView", "Kind", "Loss", "Objective", "Representation", "Seen", "TokenStates"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one loss is computed on.

    Attributes:
        views: name -> the framed token ids of its texts. Views may have different numbers of texts; one that has none
            gets no representation.
        documents: the ids of the documents that the texts are from, for messages.
        arrays: what the loss needs beside: numbers of documents, labels, a teacher's scores, vectors.

    """

    views: Mapping[str, Sequence[Sequence[int]]]
    documents: Sequence[str] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """A scalar tensor with its gradient, and figures for the log."""

    value: Any
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Seen:
    """A micro-batch after its loss, without gradients."""

    representations: Mapping[str, Representation]
    batch: Batch


class DataView(Protocol):
    """Batches by number, without end."""

    @property
    def fingerprint(self) -> str:
        """Of everything that decides the batches: a checkpoint of other data is refused."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What a card says of the data: how many documents, tokens, and what was left out."""

    def batch(self, number: int) -> Batch:
        """Batch `number`, from 0; the same at every call."""


class Objective(ABC):
    """A way to learn; see the module's docstring.

    Attributes:
        name: on the command line and in cards.
        config: its settings, a dataclass.
        rate: what the learning rate is multiplied by for the objective's own `parameters`.

    """

    name: ClassVar[str]
    config: Any
    rate: float = 1.0

    @property
    @abstractmethod
    def views(self) -> Mapping[str, Kind]:
        """The views that a batch has, and as what the loss wants them."""

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:  # noqa: B027
        """Get ready for an encoder, before anything else: check that it fits, make weights and state.

        Raises:
            InputError: the objective cannot be used with it, or with such batches.

        """

    @abstractmethod
    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        """The data view.

        Args:
            documents: what may be trained on; can be iterated again.
            encoder: tokenises.
            batch_size: examples in a batch.
            seed: of every draw.
            scratch: a folder for files that are needed as long as training runs, such as token ids.

        Raises:
            InputError: the documents give nothing to learn from.

        """

    @abstractmethod
    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        """The loss of one micro-batch, and figures such as the accuracy."""

    def question(self, document: Document) -> Question | None:
        """How a held-out document is asked for; None when it cannot be. By its title or first sentence by default."""
        return as_question(document)

    def encoders(self) -> Mapping[str, TrainableEncoder]:
        """Views that another encoder than the trained one computes, without gradient, and that encoder."""
        return {}

    def parameters(self) -> Mapping[str, Any]:
        """Weights of its own that the optimiser trains, by name."""
        return {}

    def before_step(self, step: int) -> None:  # noqa: B027
        """Called first of all in step `step`, from 1."""

    def after_step(self, step: int, seen: Sequence[Seen]) -> None:  # noqa: B027
        """Called when the gradients of step `step` are there, before the optimiser uses them."""

    def arrays(self) -> Mapping[str, Any]:
        """Tensors of its state that no optimiser trains, by name; a checkpoint keeps them and fills them again."""
        return {}

    def card(self) -> dict[str, Any]:
        """What a card says of it, as JSON values."""
        return {"name": self.name, **asdict(self.config)}
