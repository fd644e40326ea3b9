"""Linear heads and codebooks trained on titles and abstracts: the arms of the bi-granular claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.first_stages import CANDIDATES, Texts, first_stage, quantizer_of, run_of

if TYPE_CHECKING:
    from sememe.objectives.contrastive_fitting import ContrastiveConfig, Space
    from sememe.objectives.locality_batches import Batch
    from sememe.search.coarse.product import ProductQuantizer

WEIGHTS = (0.0, 0.1, 0.3, 1.0)
BATCH_SIZE = 192


class Arms:
    """The trainings that are compared: the same pairs, batches and seed; heads begin as the identity.

    Args:
        papers: query i is answered by document i.
        train: the numbers of the queries to train with.
        steps: of every training.
        seed: of every training.

    """

    def __init__(self, papers: Texts, train: np.ndarray, steps: int, seed: int) -> None:
        self.papers, self.train, self.steps, self.seed = papers, train, steps, seed

    def heads(self, start: Space, learning_rate: float = 3e-4, batches: Sequence[Batch] | None = None) -> Space:
        """Query and document heads trained on exact scores."""
        return self._fit(start, ("query_head", "document_head"), self._config(learning_rate), batches)

    def quantized(
        self,
        start: Space,
        quantizer: ProductQuantizer,
        learn: Sequence[str] = ("codebook", "query_head", "document_head"),
        distance_scale: float = 10.0,
    ) -> Space:
        """Contrastive quantisation from heads and the OPQ of their vectors."""
        from sememe.objectives.contrastive_fitting import Space

        begun = Space(quantizer.codebook, quantizer.rotation, start.query_head, start.document_head)
        return self._fit(begun, learn, self._config(3e-4, distance_scale), None)

    def opq(self, space: Space, n_bytes: int) -> ProductQuantizer:
        """Rotation and codebook learned from all documents after their head."""
        return opq(space.documents(self.papers.documents), n_bytes, self.seed)

    def _config(self, learning_rate: float, distance_scale: float = 10.0) -> ContrastiveConfig:
        from sememe.objectives.contrastive_fitting import ContrastiveConfig

        return ContrastiveConfig(
            steps=self.steps,
            batch_size=BATCH_SIZE,
            negatives=BATCH_SIZE,
            learning_rate=learning_rate,
            distance_scale=distance_scale,
            dev_share=0.0,
            patience=0,
        )

    def _fit(
        self, start: Space, learn: Sequence[str], config: ContrastiveConfig, batches: Sequence[Batch] | None
    ) -> Space:
        from sememe.objectives.contrastive_fitting import fit_contrastive

        papers, positives = self.papers, [[int(number)] for number in self.train]
        return fit_contrastive(
            papers.queries[self.train],
            papers.documents,
            positives,
            start,
            learn=learn,
            config=config,
            batches=batches,
            random_state=self.seed,
        ).space


def opq(vectors: np.ndarray, n_bytes: int, seed: int) -> ProductQuantizer:
    """OPQ with 256 codewords a slice, or fewer where faiss would call the vectors too few."""
    from sememe.search.coarse.product import ProductQuantizer

    n_centroids = min(256, 1 << ((len(vectors) // 39).bit_length() - 1))
    return ProductQuantizer.fit(vectors, n_bytes, n_centroids=n_centroids, random_state=seed)


def fine_figures(arms: Arms, start: Space, coded: Space, parts: Mapping[str, Texts], seed: int) -> dict[str, float]:
    """Fine heads trained on the candidates of the codes, with batches along their graph or at random."""
    from sememe.evaluation.metrics import compare

    found = {name: first_stage(texts, coded, quantizer_of(coded), CANDIDATES) for name, texts in parts.items()}
    batches = _batches(arms, start, coded, seed)
    heads = {"stage 0": start, **{name: arms.heads(start, batches=steps) for name, steps in batches.items()}}
    values: dict[str, Mapping[str, float]] = {}
    figures: dict[str, float] = {}
    for name, space in heads.items():
        values[name] = _fine_mrr(parts["test"], space, *found["test"])
        figures[f"fine, {name}: mrr@10"] = float(np.mean(list(values[name].values())))
    for rival in ("random", "shuffled graph"):
        gap = compare(values["random walk"], values[rival], random_state=seed)
        row = f"fine, random walk minus {rival}"
        figures |= {f"{row}: difference": gap.difference, f"{row}: low": gap.low, f"{row}: high": gap.high}
    fitted = max(
        WEIGHTS, key=lambda w: np.mean(list(_fine_mrr(parts["dev"], heads["random walk"], *found["dev"], w).values()))
    )
    weighted = _fine_mrr(parts["test"], heads["random walk"], *found["test"], fitted)
    figures["fine, random walk, fitted coarse weight: mrr@10"] = float(np.mean(list(weighted.values())))
    figures["fitted coarse weight"] = fitted
    return figures


def _batches(arms: Arms, start: Space, coded: Space, seed: int) -> dict[str, list[Batch]]:
    """As many batches as there are steps, with the same source of hard negatives, by three ways of collecting them."""
    from sememe.objectives.locality_batches import locality_batches

    candidates = _hard_negatives(arms, start, coded)
    positives = {query: [int(arms.train[query])] for query in candidates}
    queries = list(candidates)
    strangers = np.random.default_rng([seed, 14]).permutation(queries).tolist()
    shuffled = {query: candidates[other] for query, other in zip(queries, strangers, strict=True)}
    batch_size = min(BATCH_SIZE, len(queries))
    ways: dict[str, dict[str, Any]] = {
        "random walk": {"method": "random_walk"},
        "snowball": {"method": "snowball"},
        "random": {"method": "random"},
        "shuffled graph": {"method": "random_walk", "graph": shuffled},
    }
    epochs = -(-arms.steps // (-(-len(queries) // batch_size)))
    return {
        name: [
            batch
            for epoch in range(epochs)
            for batch in locality_batches(
                candidates, positives, batch_size, random_state=1000 * seed + epoch, **options
            )
        ]
        for name, options in ways.items()
    }


def _hard_negatives(arms: Arms, start: Space, coded: Space) -> dict[int, list[int]]:
    """The codes' candidates for each training query, without those whose exact score is above the answer's.

    Such documents are often unlabelled answers. Queries that keep none are left out.
    """
    texts = arms.papers.part(arms.train)
    rows, _ = first_stage(texts, coded, quantizer_of(coded), CANDIDATES)
    queries, documents = start.queries(texts.queries), start.documents(texts.documents)
    kept = {}
    for number, (query, answer) in enumerate(zip(queries, arms.train, strict=True)):
        below = documents[rows[number]] @ query < documents[answer] @ query
        found = rows[number][below & (rows[number] != answer)]
        if len(found):
            kept[number] = found.tolist()
    return kept


def _fine_mrr(
    texts: Texts, space: Space, rows: np.ndarray, coarse_scores: np.ndarray, coarse_weight: float = 0.0
) -> Mapping[str, float]:
    from sememe.evaluation.metrics import query_metrics

    queries, documents = space.queries(texts.queries), space.documents(texts.documents)
    ordered = []
    for query, found, coarse in zip(queries, rows, coarse_scores, strict=True):
        scores = documents[found] @ query + coarse_weight * coarse
        ordered.append(found[np.argsort(-scores, kind="stable")])
    return query_metrics(run_of(ordered), texts.qrels, ("mrr@10",))["mrr@10"]
