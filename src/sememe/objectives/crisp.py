"""CRISP: late interaction trained through the clustering that will make its vectors few.

Veneroso, Jayaram, Rao, Hernández Ábrego, Hadian and Cer, "CRISP: Clustering Multi-Vector Representations for Denoising
and Pruning" (2025, arXiv 2505.11471). Scores and loss see the centroids of each text's token vectors only, so the
encoder learns token vectors whose centroids are good. The paper trains twice: all tokens first (`mv`), then from there
with the pruning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.models.trainable import TokenStates, TrainableEncoder
from sememe.multi_vector.pruning import Kind as TextKind
from sememe.multi_vector.pruning import Pruning, prune
from sememe.objectives.hard_negatives import MiningConfig
from sememe.objectives.info_nce import Scores, accuracy, info_nce
from sememe.objectives.late_interaction import joined, mean_maxsim_scores
from sememe.objectives.pairs import Pairs
from sememe.training.held_out import Question
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation


@dataclass(frozen=True)
class CrispConfig(MiningConfig):
    """Options of the objective. The paper names neither temperature nor negatives; these are ours.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    pruning: str = field(
        default="C8x32",
        metadata={"help": "vectors of a query and of a document: mv (all), C8x32 (clusters), C25%, T8x32, K4 or sv"},
    )
    temperature: float = field(default=0.05, metadata={"help": "what scores are divided by"})

    def __post_init__(self) -> None:
        problems = self.mining_problems()
        if not 0 < self.temperature < inf:
            problems.insert(0, "temperature must be above 0")
        try:
            Pruning.parse(self.pruning)
        except InputError as error:
            problems.append(f"{error.message} ({error.hint})")
        if problems:
            raise InputError("; ".join(problems), where="CrispConfig")


class Crisp(Objective):
    """A query belongs to its text by MaxSim of their pruned token vectors; the other texts of the batch are negatives.

    Args:
        config: the options.
        scores: how pruned token vectors are compared; by default MaxSim over the number of query vectors.
        options: fields of `CrispConfig`, instead of a whole one.

    """

    name = "crisp"
    config: CrispConfig

    def __init__(
        self, config: CrispConfig | None = None, *, scores: Scores = mean_maxsim_scores, **options: Any
    ) -> None:
        self.config = config or CrispConfig(**options)
        self._scores, self._pruning = scores, Pruning.parse(self.config.pruning)
        self._pairs = Pairs(**self.config.mining())

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "tokens", "positive": "tokens", "negative": "tokens"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        if not isinstance(encoder.encoder, MultiVectorEncoder):
            raise InputError(
                f"{encoder.encoder.name} gives one vector a text",
                where="crisp",
                hint="Load it with sememe.models.trainable_tokens.TrainableTokens.load",
            )
        # It is measured, saved and searched with as it is trained.
        encoder.encoder.pruning = self._pruning.method

    def question(self, document: Document) -> Question | None:
        return self._pairs.question(document)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        return self._pairs.data(documents, encoder, batch_size, seed, scratch)

    def before_step(self, step: int) -> None:
        self._pairs.before_step(step)

    def arrays(self) -> Mapping[str, Any]:
        return self._pairs.arrays()

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        queries = self._pruned(representations["query"], "query", batch.documents)
        sides = [representations[view] for view in ("positive", "negative") if view in representations]
        texts = self._pruned(joined(sides), "document")
        scores = self._scores(queries, texts)
        masked = torch.from_numpy(batch.arrays["answers"]).to(scores.device)
        figures = {
            "accuracy": accuracy(scores, masked=masked),
            "query_vectors": float(queries.mask.sum(1).float().mean()),
            "document_vectors": float(texts.mask.sum(1).float().mean()),
        }
        return Loss(info_nce(scores, self.config.temperature, masked=masked), figures)

    def _pruned(self, states: TokenStates, kind: TextKind, ids: Sequence[str] = ()) -> TokenStates:
        return TokenStates(*prune(states.vectors, states.mask, self._pruning, kind, ids=ids))
