"""Masked language modelling: guess hidden tokens from those around them (Devlin et al., NAACL 2019).

It is how encoders are pretrained. Small encoders from scratch learn words with it before they learn to search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.crop_data import windows_of
from sememe.training.drawing import EveryEpoch
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation
from sememe.training.token_store import TokenStore

WINDOW = 128
_IGNORED = -100
_MASKED, _RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stays as it is


@dataclass(frozen=True)
class MaskedLanguageModelConfig:
    """Options of the objective.

    Raises:
        InputError: a value is out of range.

    """

    share: float = field(default=0.15, metadata={"help": "share of tokens that are guessed"})

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}", where="MaskedLanguageModelConfig", hint="Give above 0 to 1")


class MaskedLanguageModel(Objective):
    """Cross-entropy of the tokens that were hidden; of these 80% become the mask token, 10% random ones.

    Its output layer is a dense layer, GELU, a layer normalisation and a matrix with a bias; it is not kept.

    Args:
        config: the options.
        options: fields of `MaskedLanguageModelConfig`, instead of a whole one.

    """

    name = "masked-lm"
    config: MaskedLanguageModelConfig

    def __init__(self, config: MaskedLanguageModelConfig | None = None, **options: Any) -> None:
        self.config = config or MaskedLanguageModelConfig(**options)
        self._output: Any = None

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"text": "tokens"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        torch = require("torch", "models")
        if encoder.mask_id is None:
            raise InputError(
                "the encoder has no mask token, or no context to guess hidden tokens from",
                where=encoder.encoder.name,
                hint="Use a transformer encoder such as BERT",
            )
        width = encoder.token_width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._output = torch.nn.Sequential(
                torch.nn.Linear(width, width),
                torch.nn.GELU(),
                torch.nn.LayerNorm(width),
                torch.nn.Linear(width, encoder.vocabulary_size),
            ).to(encoder.device)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        store = TokenStore.build(documents, encoder, scratch / "tokens.bin")
        return MaskedData(store, encoder, self.config.share, batch_size=batch_size, seed=seed)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        vectors, mask = representations["text"]
        labels = torch.from_numpy(batch.arrays["labels"]).to(vectors.device)
        # Labels are as wide as the longest text, as the vectors are.
        chosen = (labels != _IGNORED) & mask
        logits, wanted = self._output(vectors[chosen]), labels[chosen]
        right = (logits.detach().argmax(1) == wanted).float().mean()
        return Loss(torch.nn.functional.cross_entropy(logits, wanted), {"accuracy": float(right)})

    def parameters(self) -> Mapping[str, Any]:
        return dict(self._output.named_parameters())


class MaskedData:
    """Windows with hidden tokens; every window once an epoch.

    Args:
        store: the tokens.
        encoder: frames them.
        share: of tokens that are hidden, at least one a window.
        batch_size: windows in a batch.
        seed: of every draw.

    """

    def __init__(
        self, store: TokenStore, encoder: TrainableEncoder, share: float, *, batch_size: int, seed: int
    ) -> None:
        self._store, self._encoder, self._share = store, encoder, share
        self._windows = windows_of(store, min(WINDOW, encoder.max_tokens), respect_documents=True)
        self._order = EveryEpoch(len(self._windows.owners), seed)
        self._batch_size, self._seed = batch_size, seed
        self._ordinary, self._mask_id = encoder.ordinary_ids, int(encoder.mask_id or 0)

    @property
    def fingerprint(self) -> str:
        return self._store.fingerprint

    @property
    def about(self) -> Mapping[str, Any]:
        return {"trained_on": len(self._store), "tokens": len(self._store.tokens), "windows": self._order.n}

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, 1, number])
        windows = self._order.draw(number, self._batch_size).tolist()
        rows, labels = [], []
        for window in windows:
            start, end = self._windows.draw(window, int(rng.integers(self._windows.size)))
            tokens = np.asarray(self._store.tokens[start:end])
            hidden, wanted = self._hide(tokens, rng)
            rows.append(self._encoder.framed(hidden.tolist()))
            labels.append(wanted)
        before = len(self._encoder.frames["document"][0])
        table = np.full((len(rows), max(map(len, rows))), _IGNORED, np.int64)
        for place, wanted in enumerate(labels):
            table[place, before : before + len(wanted)] = wanted
        documents = [self._store.ids[self._windows.owners[window]] for window in windows]
        return Batch({"text": rows}, documents, {"labels": table})

    def _hide(self, tokens: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The tokens with some hidden, and what was there; `_IGNORED` where nothing is to be guessed."""
        chosen = rng.random(len(tokens)) < self._share
        chosen[int(rng.integers(len(tokens)))] = True
        wanted = np.where(chosen, tokens, _IGNORED)
        kind = rng.random(len(tokens))
        hidden = np.where(chosen & (kind < _MASKED), self._mask_id, tokens)
        swapped = chosen & (kind >= _MASKED) & (kind < _MASKED + _RANDOM)
        return np.where(swapped, rng.choice(self._ordinary, len(tokens)), hidden), wanted
