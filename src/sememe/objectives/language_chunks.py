"""Batches of chunks for objectives that ask a language model which chunks help each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.language import LanguageModel
from sememe.models.tokens import as_batch
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.chunks import DocumentBatches, chunk_text
from sememe.training.config import PRECISIONS
from sememe.training.objective import Batch, DataView, Kind, Objective
from sememe.training.token_store import TokenStore


@dataclass(frozen=True)
class ChunkConfig:
    """How documents become batches of chunks.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    language_model: str = field(
        default="smollm2-135m", metadata={"help": "a causal language model of the Llama or Qwen family"}
    )
    query_part: float = field(default=0.5, metadata={"help": "share of a chunk that asks for the others"})
    chunk_words: int = field(default=120, metadata={"help": "most words in a chunk, whole sentences"})
    chunk_tokens: int = field(default=156, metadata={"help": "tokens of a chunk that the language model reads"})
    interleave: int = field(default=2, metadata={"help": "documents whose chunks a batch is made of in turn"})
    language_precision: str = field(
        default="float32", metadata={"help": "of the language model's arithmetic", "choices": PRECISIONS}
    )

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise InputError("; ".join(problems), where=type(self).__name__)

    def problems(self) -> list[str]:
        """What is out of range."""
        problems = [] if 0 < self.query_part <= 1 else ["query_part must be above 0, at most 1"]
        if self.chunk_words < 2 or self.chunk_tokens < 2 or self.interleave < 1:
            problems.append("chunk_words and chunk_tokens must be at least 2, interleave at least 1")
        if self.language_precision not in PRECISIONS:
            problems.append(f"language_precision must be one of {', '.join(PRECISIONS)}")
        return problems


class ChunkObjective(Objective):
    """Half a chunk asks for whole ones, and a language model has the same texts as tokens of its own.

    Args:
        config: the options.
        language_model: the language model; loaded by default as `config.language_model` says.

    """

    config: ChunkConfig

    def __init__(self, config: ChunkConfig, language_model: LanguageModel | None) -> None:
        self.config, self._given = config, language_model
        self._language: LanguageModel | None = None

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled", "passage": "pooled"}

    @property
    def language(self) -> LanguageModel:
        """The language model, once it is prepared."""
        assert self._language is not None, "prepare comes first"
        return self._language

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        self._language = self._given or LanguageModel.load(self.config.language_model, device=str(encoder.device))

    def arithmetic(self) -> AbstractContextManager[Any]:
        """In it the language model computes in the precision that the options ask for."""
        torch = require("torch", "models")
        device = next(self.language.model.parameters()).device.type
        half = self.config.language_precision == "bfloat16"
        return cast(AbstractContextManager[Any], torch.autocast(device, torch.bfloat16, enabled=half))

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        return ChunkData(
            documents, encoder, self.language, self.config, batch_size=batch_size, seed=seed, scratch=scratch
        )


class ChunkData:
    """Batches of chunks, as the retriever's tokens and as the language model's.

    Args:
        documents: what is cut into chunks.
        encoder: the retriever.
        language: the language model.
        config: the options.
        batch_size: chunks in a batch.
        seed: of every draw.
        scratch: where token ids go.

    Raises:
        InputError: there are fewer chunks than a batch has, or every document is a single chunk.

    """

    def __init__(
        self,
        documents: Iterable[Document],
        encoder: TrainableEncoder,
        language: LanguageModel,
        config: ChunkConfig,
        *,
        batch_size: int,
        seed: int,
        scratch: Path,
    ) -> None:
        self._encoder, self._config = encoder, config
        self._longest = min(config.chunk_tokens, language.max_tokens)
        chunks = _Chunks(documents, config.chunk_words)
        self._store = TokenStore.build(chunks, encoder, scratch / "tokens.bin", least=0)
        reader = cast(Any, _Reader(language))
        self._words = TokenStore.build(chunks, reader, scratch / "language_tokens.bin", least=0)
        ids = np.array(self._store.ids)
        self._owners = np.cumsum(np.append(0, ids[1:] != ids[:-1])).astype(np.int64)
        n_documents = int(self._owners[-1]) + 1
        if len(self._owners) < batch_size or n_documents == len(self._owners):
            raise InputError(
                f"{n_documents} documents are {len(self._owners)} chunks; a batch has {batch_size}, and only chunks of "
                "one document can help each other",
                where="the corpus",
                hint="Give longer documents, or fewer --chunk-words or a smaller --batch-size",
            )
        self._batches = DocumentBatches(self._owners, batch_size, config.interleave, seed)

    @property
    def fingerprint(self) -> str:
        return f"{self._store.fingerprint} {self._words.fingerprint}"

    @property
    def about(self) -> Mapping[str, Any]:
        n_documents = int(self._owners[-1]) + 1
        return {"trained_on": n_documents, "chunks": len(self._owners), "tokens": len(self._store.tokens)}

    def batch(self, number: int) -> Batch:
        chunks = self._batches.draw(number)
        rows = [self._store.row(chunk).tolist() for chunk in chunks]
        words = [self._words.row(chunk)[: self._longest].tolist() for chunk in chunks]
        asked = [row[: max(1, int(self._config.query_part * len(row)))] for row in rows]
        views = {
            "query": [self._encoder.framed(row, "query") for row in asked],
            "passage": [self._encoder.framed(row, "document") for row in rows],
        }
        ids = as_batch(words, 0)
        mask = np.arange(ids.shape[1]) < np.array([len(row) for row in words])[:, None]
        arrays = {"ids": ids, "mask": mask, "owners": self._owners[chunks]}
        return Batch(views, [self._store.ids[chunk] for chunk in chunks], arrays)


class _Chunks:
    """The chunks of documents, each as a document with its owner's id; those of a word or two are left out."""

    def __init__(self, documents: Iterable[Document], max_words: int) -> None:
        self._documents, self._max_words = documents, max_words

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            for chunk in chunk_text(document.content, self._max_words):
                if len(chunk.split()) > 2:
                    yield Document(document.id, chunk)


class _Reader:
    """A language model as something that tokenises."""

    def __init__(self, language: LanguageModel) -> None:
        self._language = language

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(self._language.tokenize(text).ids) for text in texts]
