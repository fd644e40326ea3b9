"""Revela: a retriever from raw text, by how much the texts it points to help a language model.

Cai et al., "Revela: Dense Retriever Learning via Language Modeling" (ICLR 2026, arXiv 2506.16552). A language model
predicts the tokens of each chunk while it looks into the other chunks of the batch, as much as the retriever's
similarities say. Whatever helps the prediction raises a similarity; retriever and language model learn together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from sememe.extras import require
from sememe.models.language import LanguageModel
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.in_batch_attention import READINGS, prepare_model, run_passes, similarity_weights
from sememe.objectives.info_nce import cosine_scores, spread
from sememe.objectives.language_chunks import ChunkConfig, ChunkObjective
from sememe.training.objective import Batch, Loss, Representation


@dataclass(frozen=True)
class RevelaConfig(ChunkConfig):
    """Options of the objective; the defaults are the paper's but for the weight temperature and V-normalisation.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    train_language_model: bool = field(default=True, metadata={"help": "train it too; it is not saved"})
    weight_temperature: float = field(
        default=0.05,
        metadata={"help": "what similarities are divided by; the paper's 1e-4 learns from near-ties only"},
    )
    reading: str = field(
        default="added",
        metadata={"help": "how the language model reads in other chunks", "choices": tuple(READINGS)},
    )
    dual_loss: bool = field(default=False, metadata={"help": "add the loss of the language model alone"})

    def problems(self) -> list[str]:
        temperature = [] if 0 < self.weight_temperature < inf else ["weight_temperature must be above 0"]
        reading = [] if self.reading in READINGS else [f"reading must be one of {', '.join(READINGS)}"]
        return temperature + reading + super().problems()


class Revela(ChunkObjective):
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
        super().__init__(config or RevelaConfig(**options), language_model)

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        super().prepare(encoder, batch_size, seed)
        prepare_model(self.language.model)
        self.language.model.requires_grad_(self.config.train_language_model)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        similarities = cosine_scores(representations["query"].float(), representations["passage"].float())
        weights = similarity_weights(similarities, self.config.weight_temperature)
        ids, mask = (torch.from_numpy(batch.arrays[name]).to(weights.device) for name in ("ids", "mask"))
        with self.arithmetic():
            plain, read = run_passes(self.language.model, ids, mask, weights, READINGS[self.config.reading])
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
        if self._language is None or not self.config.train_language_model:
            return {}
        return {f"language_model.{name}": weight for name, weight in self._language.model.named_parameters()}


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
