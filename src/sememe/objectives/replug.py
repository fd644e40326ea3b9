"""REPLUG's training of a retriever: rank texts as a frozen language model does, by how likely they make each other.

Shi et al., "REPLUG: Retrieval-Augmented Black-Box Language Models" (NAACL 2024, arXiv 2301.12652), section 4, in the
batch, as Revela's paper (arXiv 2506.16552) compares itself with it. The language model reads every ordered pair of
chunks, so a batch of n costs n (n - 1) passes of two chunks; Revela costs two passes of n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from sememe.extras import require
from sememe.models.language import LanguageModel
from sememe.objectives.in_batch_attention import similarity_weights
from sememe.objectives.info_nce import cosine_scores, spread
from sememe.objectives.language_chunks import ChunkConfig, ChunkObjective
from sememe.training.objective import Batch, Loss, Representation

PAIRS_AT_ONCE = 16


@dataclass(frozen=True)
class ReplugConfig(ChunkConfig):
    """Options of the objective.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    similarity_temperature: float = field(
        default=0.05, metadata={"help": "what similarities are divided by; the paper has 0.001"}
    )
    likelihood_temperature: float = field(
        default=0.05, metadata={"help": "what log-likelihoods, in nats a token, are divided by; the paper has 0.001"}
    )

    def problems(self) -> list[str]:
        names = ("similarity_temperature", "likelihood_temperature")
        found = [f"{name} must be above 0" for name in names if not 0 < getattr(self, name) < inf]
        return found + super().problems()


class Replug(ChunkObjective):
    """Kullback-Leibler divergence of the retriever's ranking of a batch from the language model's.

    Args:
        config: the options.
        language_model: the language model, which stays as it is; loaded by default as `config.language_model` says.
        options: fields of `ReplugConfig`, instead of a whole one.

    """

    name = "replug"
    config: ReplugConfig

    def __init__(
        self, config: ReplugConfig | None = None, *, language_model: LanguageModel | None = None, **options: Any
    ) -> None:
        super().__init__(config or ReplugConfig(**options), language_model)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        similarities = cosine_scores(representations["query"].float(), representations["passage"].float())
        ids, mask = (torch.from_numpy(batch.arrays[name]).to(similarities.device) for name in ("ids", "mask"))
        with self.arithmetic():
            likelihoods = pair_likelihoods(self.language.model, ids, mask)
        wanted = similarity_weights(likelihoods, self.config.likelihood_temperature)
        owners = torch.from_numpy(batch.arrays["owners"]).to(similarities.device)
        figures = {
            "language_model_same_document": float((owners[wanted.argmax(1)] == owners).float().mean()),
            "same_document": float((owners[_others(similarities.detach()).argmax(1)] == owners).float().mean()),
            "spread": spread(representations["passage"]),
        }
        return Loss(divergence(wanted, similarities, self.config.similarity_temperature), figures)


def divergence(wanted: Any, similarities: Any, temperature: float) -> Any:
    """``mean over i of sum over j != i of P_ij log(P_ij / softmax_j(s_ij / temperature))``.

    Args:
        wanted: tensor (n, n), rows sum to 1, 0 on the diagonal.
        similarities: tensor (n, n).
        temperature: above 0.

    """
    logarithms = (_others(similarities) / temperature).log_softmax(dim=1)
    found = logarithms.masked_fill(logarithms == float("-inf"), 0.0)  # a text says nothing of itself: 0 log 0 is 0
    return (wanted * (wanted.clamp(min=1e-30).log() - found)).sum(1).mean()


def pair_likelihoods(model: Any, ids: Any, mask: Any) -> Any:
    """How likely each text is after each other one has been read, in nats a token; without gradient.

    The first token of a text counts too, as what follows the other text. Means over tokens, so that a long text has no
    sharper distribution than a short one (not said in the paper).

    Args:
        model: a causal language model of transformers.
        ids: int64 tensor (n, tokens).
        mask: boolean tensor (n, tokens): which tokens are real.

    Returns:
        Tensor (n, n): of text i after text j; 0 on the diagonal.

    """
    torch = require("torch", "models")
    n = len(ids)
    found = torch.zeros(n, n, device=ids.device)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    lengths = mask.sum(1).tolist()
    with torch.no_grad():
        for first in range(0, len(pairs), PAIRS_AT_ONCE):
            some = pairs[first : first + PAIRS_AT_ONCE]
            rows = [torch.cat([ids[j, : lengths[j]], ids[i, : lengths[i]]]) for i, j in some]
            batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            starts = torch.tensor([lengths[j] for _, j in some], device=ids.device)
            ends = torch.tensor([len(row) for row in rows], device=ids.device)
            places = torch.arange(batch.shape[1], device=ids.device)
            real = places < ends[:, None]
            logits = model(input_ids=batch, attention_mask=real.long()).logits[:, :-1].float()
            scores = logits.log_softmax(-1).gather(2, batch[:, 1:, None])[:, :, 0]
            own = real[:, 1:] & (places[1:] >= starts[:, None])
            means = (scores * own).sum(1) / own.sum(1)
            for (i, j), mean in zip(some, means, strict=True):
                found[i, j] = mean
    return found


def _others(similarities: Any) -> Any:
    torch = require("torch", "models")
    own = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    return similarities.masked_fill(own, float("-inf"))
