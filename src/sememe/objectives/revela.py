"""Revela: a retriever from raw text, by how much the texts it points to help a language model.

Cai et al., "Revela: Dense Retriever Learning via Language Modeling" (ICLR 2026, arXiv 2506.16552). A language model
predicts the tokens of each chunk while it looks into the other chunks of the batch, as much as the retriever's
similarities say. Whatever helps the prediction raises a similarity; retriever and language model learn together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
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
from sememe.objectives.in_batch_attention import prepare_model, run_passes, similarity_weights
from sememe.objectives.info_nce import cosine_scores, spread
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation
from sememe.training.token_store import TokenStore


@dataclass(frozen=True)
class RevelaConfig:
    """Options of the objective; the defaults are the paper's but for the weight temperature.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    language_model: str = field(
        default="smollm2-135m", metadata={"help": "a causal language model of the Llama or Qwen family"}
    )
    train_language_model: bool = field(default=True, metadata={"help": "train it too; it is not saved"})
    weight_temperature: float = field(
        default=0.05,
        metadata={"help": "what similarities are divided by; the paper's 1e-4 learns from near-ties only"},
    )
    v_norm: bool = field(
        default=True, metadata={"help": "read all texts equally loud; the paper's choice for prose, not for code"}
    )
    query_part: float = field(default=0.5, metadata={"help": "share of a chunk that asks for the others"})
    dual_loss: bool = field(default=False, metadata={"help": "add the loss of the language model alone"})
    chunk_words: int = field(default=120, metadata={"help": "most words in a chunk, whole sentences"})
    chunk_tokens: int = field(default=156, metadata={"help": "tokens of a chunk that the language model reads"})
    interleave: int = field(default=2, metadata={"help": "documents whose chunks a batch is made of in turn"})

    def __post_init__(self) -> None:
        problems = [] if 0 < self.weight_temperature < inf else ["weight_temperature must be above 0"]
        if not 0 < self.query_part <= 1:
            problems.append("query_part must be above 0, at most 1")
        if self.chunk_words < 2 or self.chunk_tokens < 2 or self.interleave < 1:
            problems.append("chunk_words and chunk_tokens must be at least 2, interleave at least 1")
        if problems:
            raise InputError("; ".join(problems), where="RevelaConfig")


class Revela(Objective):
    """Next-token prediction with in-batch attention.

    The encoder's own prompts stand in front of queries and chunks, where it has any.

    Args:
        config: the options.
        language_model: the language model, trained in place; loaded by default as `config.language_model` says.
        options: fields of `RevelaConfig`, instead of a whole one.

    """

    name = "revela"
    config: RevelaConfig

    def __init__(
        self, config: RevelaConfig | None = None, *, language_model: LanguageModel | None = None, **options: Any
    ) -> None:
        self.config = config or RevelaConfig(**options)
        self._given = language_model
        self._model: Any = None
        self._language: LanguageModel | None = None

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled", "passage": "pooled"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        self._language = self._given or LanguageModel.load(self.config.language_model, device=str(encoder.device))
        self._model = self._language.model
        prepare_model(self._model)
        self._model.requires_grad_(self.config.train_language_model)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        assert self._language is not None, "prepare comes first"
        return ChunkData(
            documents, encoder, self._language, self.config, batch_size=batch_size, seed=seed, scratch=scratch
        )

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        similarities = cosine_scores(representations["query"].float(), representations["passage"].float())
        weights = similarity_weights(similarities, self.config.weight_temperature)
        ids, mask = (torch.from_numpy(batch.arrays[name]).to(weights.device) for name in ("ids", "mask"))
        plain, read = run_passes(self._model, ids, mask, weights, normalize=self.config.v_norm)
        alone, helped = (next_token_loss(logits, ids, mask) for logits in (plain, read))
        owners = torch.from_numpy(batch.arrays["owners"]).to(weights.device)
        found = weights.detach()
        figures = {
            "alone": float(alone.detach()),
            "gap": float((alone - helped).detach()),
            "entropy": float(-(found * found.clamp(min=1e-30).log()).sum(1).mean()),
            "same_document": float((owners[found.argmax(1)] == owners).float().mean()),
            "spread": spread(representations["passage"]),
        }
        return Loss(helped + alone if self.config.dual_loss else helped, figures)

    def parameters(self) -> Mapping[str, Any]:
        if self._model is None or not self.config.train_language_model:
            return {}
        return {f"language_model.{name}": weight for name, weight in self._model.named_parameters()}


def next_token_loss(logits: Any, ids: Any, mask: Any) -> Any:
    """Mean cross-entropy of every real token but each text's first.

    Args:
        logits: tensor (n, tokens, vocabulary).
        ids: int64 tensor (n, tokens).
        mask: boolean tensor (n, tokens).

    """
    torch = require("torch", "models")
    real = mask[:, 1:]
    scores = logits[:, :-1][real]
    exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return torch.nn.functional.cross_entropy(exact, ids[:, 1:][real])


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
        config: RevelaConfig,
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
