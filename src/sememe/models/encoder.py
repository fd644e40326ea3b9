"""Encoder: anything that maps texts to vectors, with the interface of sentence-transformers."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from sememe.errors import InputError, ModelError
from sememe.models import source
from sememe.models.layout import Layout
from sememe.models.texts import as_texts, slabs
from sememe.progress import Bar, progress


class Encoder(ABC):
    """Texts to vectors of one fixed width. Load one with `Encoder.load`."""

    name: str
    """What it was loaded by."""
    fingerprint: str
    """SHA-256 of its weights and configuration: equal fingerprints give equal vectors."""
    dimensions: int
    """The width of the vectors that `encode` gives."""
    width: int
    """The width of its vectors before cutting; above `dimensions` only when its configuration says to cut."""
    max_tokens: int
    """How many tokens of a text are read, special tokens and prompts not counted; the rest is cut off."""
    normalizes: bool
    """Whether its vectors have length one as they come."""
    prompts: Mapping[str, str]
    """Texts that are put in front, by name: those of the model's configuration, and `given_prompts`."""
    default_prompt_name: str | None
    """The prompt that `encode` uses when none is asked for."""
    given_prompts: Mapping[str, str]
    """Those of the prompts that `with_prompts` put in; they are not in its configuration."""
    layout: Layout
    """What its configuration says."""
    _loaded: Encoder | None = None
    """As it was before prompts were put in, if any were."""

    @property
    def similarity(self) -> str:
        """How its vectors are meant to be compared: `cosine`, `dot`, or a distance such as `euclidean`.

        As its configuration says; where it says nothing `cosine`, as in sentence-transformers.
        """
        return self.layout.similarity or "cosine"

    @staticmethod
    def load(name_or_path: str | Path, *, device: str | None = None) -> Encoder:
        """Load an encoder.

        Args:
            name_or_path: a known name (`minilm`, `wordllama`), a folder in the format of sentence-transformers,
                model2vec or Hugging Face transformers, or a hub id (`owner/name`, `owner/name@revision`). A hub id
                is looked up in the cache first and downloaded only when it is not there.
            device: a torch device such as `cpu` or `cuda:0`; by default the GPU when there is one.

        Raises:
            ModelError: there is no such model, or it is of a kind that is not supported.

        """
        from sememe.models.static import StaticEncoder
        from sememe.models.transformer import TransformerEncoder

        name, place = source.locate(name_or_path, "encoder")
        if name == "wordllama":
            return StaticEncoder.from_wordllama(place)
        folder = place.parent if place.is_file() else place
        if StaticEncoder.fits(folder):
            return StaticEncoder.from_folder(folder, name=name)
        return TransformerEncoder.from_folder(folder, name=name, device=device)

    def encode(
        self,
        texts: str | Sequence[str] | np.ndarray,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        """Map texts to vectors; equal to `SentenceTransformer.encode` of the same model.

        Args:
            texts: one text, or a sequence of them.
            prompt_name: which of the model's own prompts to put in front of every text.
            prompt: a text to put in front instead.
            batch_size: how much is computed at once: up to this many texts of 64 tokens. It has no influence on
                the result, only on speed and memory.
            show_progress_bar: draw a bar on standard error.
            normalize_embeddings: scale every vector to length one, after cutting it.
            truncate_dim: keep only this many leading dimensions.

        Returns:
            float32, shape (n, d), or (d,) for a single string. The vector of a text without tokens is zero, unless
            the model puts special tokens around it.

        Raises:
            InputError: an item is not a string (the place is its position), or an option is out of range.

        """
        prefix = self._prompt(prompt, prompt_name)
        dimensions = self._kept(truncate_dim)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}", hint="Give 1 or more")
        single = isinstance(texts, str)
        checked = as_texts([texts] if single else texts)
        vectors = np.empty((len(checked), dimensions), np.float32)
        with progress("Encoding", len(checked), unit="texts") if show_progress_bar else nullcontext(Bar()) as bar:
            for slab in slabs(checked):
                prefixed = [prefix + text for text in checked[slab]]
                vectors[slab] = self._vectors(prefixed, prefix, batch_size, bar)[:, :dimensions]
        if normalize_embeddings:
            vectors = normalized(vectors)
        return vectors[0] if single else vectors

    def encode_query(
        self,
        texts: str | Sequence[str] | np.ndarray,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        """`encode` for queries: with the model's `query` prompt, when it has one."""
        return self.encode(
            texts,
            prompt_name=self._first_prompt(prompt, prompt_name, ("query",)),
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
        )

    def encode_document(
        self,
        texts: str | Sequence[str] | np.ndarray,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        """`encode` for documents: with the model's `document`, `passage` or `corpus` prompt, when it has one."""
        return self.encode(
            texts,
            prompt_name=self._first_prompt(prompt, prompt_name, ("document", "passage", "corpus")),
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
        )

    def with_prompts(self, query: str | None = None, document: str | None = None) -> Self:
        """The same encoder with other texts in front of queries and documents, where its configuration lacks them.

        The weights are shared, the fingerprint is another one; a saved folder has the prompts in its configuration.

        Args:
            query: in front of every query, such as `"query: "`; None leaves it as it is.
            document: in front of every document.

        """
        given = {name: text for name, text in {"query": query, "document": document}.items() if text is not None}
        if not given:
            return self
        other = copy.copy(self)
        other._loaded = self._loaded or self
        other.given_prompts = {**self.given_prompts, **given}
        other.prompts = {**self.prompts, **given}
        other.layout = replace(self.layout, prompts=other.prompts)
        marks = f"{other._loaded.fingerprint} {json.dumps(other.given_prompts, sort_keys=True)}"
        other.fingerprint = hashlib.sha256(marks.encode()).hexdigest()
        other.max_tokens = other._room()
        return other

    @abstractmethod
    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of `text`, without special tokens and without cutting it.

        Raises:
            InputError: it is not a string of valid Unicode.

        """

    @abstractmethod
    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that `Encoder.load` and sentence-transformers load; an older one is replaced in one step.

        Raises:
            ArtifactError: the folder holds anything else, or cannot be written.

        """

    @abstractmethod
    def _room(self) -> int:
        """How many tokens of a text it reads beside special tokens and its longest prompt."""

    @abstractmethod
    def _vectors(self, texts: list[str], prompt: str, batch_size: int, bar: Bar) -> np.ndarray:
        """Vectors of a few thousand texts, float32 (n, width); each text begins with `prompt`."""

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            has = f"It has {', '.join(map(repr, self.prompts))}" if self.prompts else "It has none"
            raise InputError(f"{self.name} has no prompt {name!r}", hint=has)
        return self.prompts[name]

    def _first_prompt(self, prompt: str | None, prompt_name: str | None, candidates: tuple[str, ...]) -> str | None:
        if prompt is not None or prompt_name is not None:
            return prompt_name
        return next((name for name in candidates if name in self.prompts), None)

    def _kept(self, truncate_dim: int | None) -> int:
        if truncate_dim is None:
            return self.dimensions
        if not 1 <= truncate_dim <= self.width:
            raise InputError(f"truncate_dim is {truncate_dim}", hint=f"Give 1 to {self.width}, the vectors' width")
        return truncate_dim


def is_compared_by_cosine(encoder: Encoder, similarity: str = "auto") -> bool:
    """Whether the vectors of an encoder must be brought to length one before their inner products are scores.

    Args:
        encoder: whose vectors.
        similarity: `cosine` or `dot`; `auto` as the encoder says. Vectors of length one stay as they are.

    Raises:
        ModelError: the encoder asks for a distance, which is no inner product.

    """
    if encoder.normalizes:
        return True
    wanted = encoder.similarity if similarity == "auto" else similarity
    if wanted not in ("cosine", "dot"):
        raise ModelError(
            f"its vectors are compared by {wanted!r}, and searched by inner product",
            where=encoder.name,
            hint="Choose cosine or dot: similarity for an index, normalize in training",
        )
    return wanted == "cosine"


def compared(vectors: np.ndarray, encoder: Encoder, *, by_cosine: bool) -> np.ndarray:
    """Vectors of an encoder as their inner products are scores: brought to length one if they are compared by cosine.

    Vectors that have length one as they come are not touched, so that no rounding changes them.
    """
    return normalized(vectors) if by_cosine and not encoder.normalizes else vectors


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; a row of zeros stays as it is. Shape (n, d), float32."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled
