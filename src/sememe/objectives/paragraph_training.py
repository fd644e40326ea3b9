"""Learning paragraph vectors: documents and words are moved until a document predicts its words.

Grzegorczyk and Kurdziel, "Binary Paragraph Vectors" (arXiv 1611.01116) on Le and Mikolov's PV-DBOW and PV-DM (ICML
2014). What is not in the paper: Adam on the rows that a batch touches, words drawn from their frequencies with the
correction of `sampled_softmax`, and the inference of a text by full gradients over its own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.extras import require
from sememe.objectives.paragraph_config import ParagraphConfig
from sememe.objectives.row_adam import RowAdam
from sememe.objectives.sampled_softmax import Candidates, Sampler, score
from sememe.objectives.vocabulary import Words
from sememe.progress import progress

PAIRS_AT_ONCE = 1 << 15
INFERENCE_RATE = 0.1

Weights = Mapping[str, np.ndarray]
"""What is frozen after training: `output` (n_words, input width + 1), the last column being the bias; `projection`
(n_bits, real_dim) for real-binary; `context` (n_words, real_dim) for dm."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves: a row for each document, the weights, and the mean loss of each epoch."""

    documents: np.ndarray
    weights: dict[str, np.ndarray]
    losses: list[float]


def straight_through(d: Any) -> tuple[Any, Any]:
    """The bits of d, 1 where sigmoid(d) > 0.5, and the derivative to use for them: that of the sigmoid.

    Krizhevsky and Hinton (ESANN 2011).
    """
    a = d.sigmoid()
    return (d > 0).to(a), a * (1 - a)


def train(words: Words, targets: Words, counts: np.ndarray, config: ParagraphConfig) -> Trained:
    """Learn documents and words.

    Args:
        words: the single words of the documents, which are the context in dm.
        targets: what is predicted; the same, or with bigrams.
        counts: of every item of the vocabulary.
        config: the options.
    """
    torch = require("torch", "models")
    generator = torch.Generator().manual_seed(config.random_state)
    values = _start(words.n_texts, len(counts), config, generator)
    adam = {name: RowAdam(value, config.learning_rate) for name, value in values.items()}
    sampler, inputs = Sampler(counts, config.drawn), _Inputs(words, config)
    ids, texts = torch.from_numpy(targets.ids), torch.from_numpy(targets.texts)
    losses = []
    with progress("Learning paragraph vectors", config.epochs * len(ids), unit="words") as bar:
        for _ in range(config.epochs):
            total, batches = 0.0, torch.randperm(len(ids), generator=generator).split(config.batch_size)
            for batch, drawn in zip(batches, sampler.draw(len(batches), generator), strict=True):
                true, documents = ids[batch], texts[batch]
                forward = inputs.of(values["documents"][documents], values, batch)
                output = values["output"]
                scored = score(forward.values, output[true], output[drawn], Candidates(true, drawn, sampler.log_chance))
                backward = forward.gradients(scored.inputs)
                adam["documents"].step(documents, backward["documents"])
                adam["output"].step(torch.cat([true, drawn]), torch.cat([scored.true, scored.drawn]))
                for name, rows in forward.rows.items():
                    adam[name].step(rows, backward[name])
                total += float(scored.losses.sum())
                bar.advance(len(batch))
            losses.append(total / len(ids))
    learned = {name: value.numpy() for name, value in values.items()}
    return Trained(learned.pop("documents"), learned, losses)


def infer(words: Words, targets: Words, weights: Weights, counts: np.ndarray, config: ParagraphConfig) -> np.ndarray:
    """Find the rows of new documents with all weights frozen; shape (n_texts, document width), float32.

    All documents start from one random row and meet the same drawn words, and a step takes the gradient over all words
    of a document. So what comes out depends on a text and the seed, and not on the texts beside it.
    """
    torch = require("torch", "models")
    start = _start(1, 1, config, torch.Generator().manual_seed(config.random_state))["documents"]
    found = start.repeat(words.n_texts, 1)
    frozen = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    sampler, inputs = Sampler(counts, config.drawn), _Inputs(words, config)
    with progress("Inferring", words.n_texts, unit="texts") as bar:
        for first, last in _blocks(targets):
            generator = torch.Generator().manual_seed(config.random_state + 1)
            block = slice(*np.searchsorted(targets.texts, [first, last]))
            own, true = torch.from_numpy(targets.texts[block] - first), torch.from_numpy(targets.ids[block])
            output, places = frozen["output"][true], torch.arange(block.start, block.stop)
            documents = RowAdam(found[first:last], INFERENCE_RATE)
            for drawn in sampler.draw(config.inference_steps, generator):
                forward = inputs.of(documents.value[own], frozen, places)
                candidates = Candidates(true, drawn, sampler.log_chance)
                scored = score(forward.values, output, frozen["output"][drawn], candidates)
                documents.step(own, forward.gradients(scored.inputs)["documents"])
            bar.advance(last - first)
    rows: np.ndarray = found.numpy()
    return rows


@dataclass(frozen=True, eq=False)
class _Forward:
    """What predicts the words of a batch, and how its gradient goes back.

    Attributes:
        values: shape (n, input width + 1), the last column being 1, for the bias.
        rows: parameter -> the rows that `gradients` has gradients for, beside those of documents.
    """

    values: Any
    rows: Mapping[str, Any]
    _documents: Any
    _derivative: Any
    _projection: Any
    _weight: Any

    def gradients(self, of_values: Any) -> dict[str, Any]:
        """The gradients by parameter, from the gradient of `values`."""
        found = {}
        width = of_values.shape[1] - 1 if self._weight is None else self._derivative.shape[1]
        of_documents = of_values[:, :width]
        if self._derivative is not None:
            of_documents = of_documents * self._derivative
        if self._weight is not None:
            around = of_values[:, width:-1]
            found["context"] = (self._weight[:, :, None] * around[:, None]).reshape(-1, around.shape[1])
        if self._projection is not None:
            found["projection"] = of_documents.T @ self._documents
            of_documents = of_documents @ self._projection
        return {**found, "documents": of_documents}


class _Inputs:
    """Makes what predicts words from documents, and in dm from the words around."""

    def __init__(self, words: Words, config: ParagraphConfig) -> None:
        torch = require("torch", "models")
        self._config = config
        self._ids, self._texts = torch.from_numpy(words.ids), torch.from_numpy(words.texts)
        reach = torch.arange(-config.window, config.window + 1)
        self._reach = reach[reach != 0]

    def of(self, documents: Any, values: Mapping[str, Any], batch: Any) -> _Forward:
        """The inputs of a batch.

        Args:
            documents: the rows of its documents; shape (n, document width).
            values: the parameters.
            batch: which targets it has; shape (n,).
        """
        torch = require("torch", "models")
        projection, derivative, weight, rows = values.get("projection"), None, None, {}
        parts = [documents]
        if projection is not None:
            parts = [documents @ projection.T]
            rows["projection"] = torch.arange(len(projection))
        if self._config.has_codes:
            bits, derivative = straight_through(parts[0])
            parts = [bits]
        if "context" in values:
            numbers, inside = self._around(batch)
            weight = inside / inside.sum(1, keepdim=True).clamp(min=1)
            parts.append((values["context"][numbers] * weight[:, :, None]).sum(1))
            rows["context"] = numbers.reshape(-1)
        inputs = torch.cat([*parts, torch.ones(len(documents), 1)], 1)
        return _Forward(inputs, rows, documents, derivative, projection, weight)

    def _around(self, batch: Any) -> tuple[Any, Any]:
        """The words around each target, and which of them are in the same document."""
        places = batch[:, None] + self._reach
        inside = (places >= 0) & (places < len(self._ids))
        places = places.clamp(0, max(0, len(self._ids) - 1))
        inside &= self._texts[places] == self._texts[batch][:, None]
        return self._ids[places], inside


def _start(n_documents: int, n_words: int, config: ParagraphConfig, generator: Any) -> dict[str, Any]:
    torch = require("torch", "models")
    reach = 0.5 / config.document_width**0.5
    uniform = torch.rand((n_documents, config.document_width), generator=generator)
    output = torch.randn((n_words, config.input_width + 1), generator=generator) * 0.1
    output[:, -1] = 0  # the biases
    values = {"documents": (2 * uniform - 1) * reach, "output": output}
    if config.variant == "real-binary":
        shape = (config.n_bits, config.real_dim)
        values["projection"] = torch.randn(shape, generator=generator) / config.real_dim**0.5
    if config.variant == "dm":
        values["context"] = torch.randn((n_words, config.real_dim), generator=generator) * 0.1
    return values


def _blocks(targets: Words) -> Iterator[tuple[int, int]]:
    """Ranges of documents that have about `PAIRS_AT_ONCE` words together."""
    ends = np.cumsum(targets.lengths)
    first = 0
    while first < targets.n_texts:
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
        yield first, last
        first = last
