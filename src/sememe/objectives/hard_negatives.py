"""Hard negatives: texts that a search ranks high for a query and that do not answer it.

From BM25, static (Karpukhin et al., EMNLP 2020); from the model that is being trained, found again as it changes (ANCE;
Xiong et al., ICLR 2021); and without those that a cross-encoder takes for answers (RocketQA; Qu et al., NAACL 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from sememe.corpus import Document
from sememe.extras import require
from sememe.lexical.bm25 import Lexical
from sememe.models.cross_encoder import CrossEncoder
from sememe.models.texts import batches
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.pair_data import NOTHING, PairData, query_of
from sememe.progress import progress

Teacher = Callable[[str, Sequence[str]], np.ndarray]
"""A query and n texts -> their scores (n,)."""

METHODS = ("none", "bm25", "self")
_RANKED = 4  # times the depth: what is behind the hard ones fills up
_AT_ONCE = 256
_ASKED_AT_ONCE = 8
_TOKENS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Where negatives come from; the base of the options of objectives that learn from pairs."""

    negatives: int = field(default=1, metadata={"help": "of its own negatives, how many a query brings into the batch"})
    mine: str = field(
        default="none",
        metadata={"help": "find negatives among the other pairs' texts, by words or by the model", "choices": METHODS},
    )
    mined: int = field(default=8, metadata={"help": "how many are found for a query"})
    depth: int = field(default=100, metadata={"help": "of the so many best ones"})
    refresh: int = field(default=0, metadata={"help": "steps after which --mine self searches again; 0: never"})
    denoise: str | None = field(
        default=None, metadata={"help": "a cross-encoder that keeps answers from being taken for negatives"}
    )
    denoise_below: float = field(default=0.1, metadata={"help": "the probability below which it lets a text pass"})

    def mining(self) -> dict[str, Any]:
        """These values alone."""
        return {each.name: getattr(self, each.name) for each in fields(MiningConfig)}

    def mining_problems(self) -> list[str]:
        """What is wrong with the values."""
        problems = [] if self.negatives >= 0 else ["negatives must be 0 or more"]
        if self.mine not in METHODS:
            problems.append(f"mine must be one of {', '.join(METHODS)}")
        if self.mined < 1 or self.depth < 1:
            problems.append("mined and depth must be at least 1")
        if self.refresh < 0 or (self.refresh and self.mine != "self"):
            problems.append("refresh must be 0 or more, and belongs to mine self")
        if not 0 <= self.denoise_below <= 1:
            problems.append("denoise_below must be from 0 to 1")
        if self.denoise is not None and self.mine == "none":
            problems.append("denoise needs mine bm25 or self")
        return problems


class HardNegatives:
    """Fills the table of mined negatives of pairs, once or again and again.

    Args:
        config: the options.
        data: the pairs; its `mined` becomes the table.
        documents: the same pairs as texts.
        encoder: the model that is trained, which `self` asks.
        seed: of the draws.
        teacher: filters; by default the cross-encoder that `config.denoise` names.

    """

    def __init__(
        self,
        config: MiningConfig,
        data: PairData,
        documents: Iterable[Document],
        encoder: TrainableEncoder,
        *,
        seed: int,
        teacher: Teacher | None = None,
    ) -> None:
        self._config, self._data, self._documents, self._encoder = config, data, documents, encoder
        torch = require("torch", "models")
        self._seed, self._teacher = seed, teacher
        size = (len(data), config.mined if config.mine != "none" else 0)
        self._table = torch.full(size, NOTHING, dtype=torch.long)
        self._rejected = torch.zeros(1, dtype=torch.long)
        if config.mine == "none":
            return
        if teacher is None and config.denoise is not None:
            self._teacher = CrossEncoder.load(config.denoise).score
        data.mined = self._table.numpy()  # the same memory: what a checkpoint restores is what batches are made of
        self._mine(0)

    def refresh(self, step: int) -> None:
        """Search again when it is time; called before step `step`, from 1."""
        every = self._config.refresh
        if every and step > 1 and (step - 1) % every == 0:
            self._mine(step)

    @property
    def rejected(self) -> int:
        """How often the teacher thought that a text answers the query it was found for."""
        return int(self._rejected)

    def arrays(self) -> Mapping[str, Any]:
        """All that changes, for checkpoints."""
        return {} if self._config.mine == "none" else {"mined": self._table, "rejected": self._rejected}

    def _mine(self, step: int) -> None:
        data, config = self._data, self._config
        pool = data.pool()
        texts = [document.text for document in self._documents] if config.mine == "bm25" or self._teacher else []
        queries = [query_of(document) for document in self._documents] if texts else [""] * len(data)
        # Beyond the best ones there is what fills up.
        rankings = self._by_words(pool, queries, texts) if config.mine == "bm25" else self._by_model(pool)
        with progress("Mining negatives", len(data), unit="pairs") as bar:
            for pair, ranked in enumerate(rankings):
                fits = [not data.answered_by(pair, pool[place]) for place in ranked]
                candidates = [pool[place] for place, fit in zip(ranked, fits, strict=True) if fit]
                chosen = choose_negatives(
                    candidates,
                    config.mined,
                    sum(fits[: config.depth]),
                    np.random.default_rng([self._seed, 2, step, pair]),
                    accepts=self._filter(queries[pair], texts) if self._teacher else None,
                )
                rows = [data.rows_of(other)[0] for other in chosen]
                data.mined[pair] = NOTHING
                data.mined[pair, : len(rows)] = rows
                bar.advance()
        found = data.mined != NOTHING
        data.notes = {"mined": {"found": int(found.sum()), "rejected": self.rejected}}

    def _filter(self, query: str, texts: Sequence[str]) -> Callable[[Sequence[int]], np.ndarray]:
        """A function that says which of some pairs' texts the teacher takes for no answer."""

        def accepts(others: Sequence[int]) -> np.ndarray:
            assert self._teacher is not None
            scores = np.asarray(self._teacher(query, [texts[other] for other in others]), np.float64)
            passed = 0.5 * (1 + np.tanh(scores / 2)) < self._config.denoise_below  # the logistic function
            self._rejected += int((~passed).sum())
            return np.asarray(passed)

        return accepts

    def _by_words(self, pool: Sequence[int], queries: Sequence[str], texts: Sequence[str]) -> Iterator[list[int]]:
        n = self._n_ranked(pool)
        words = Lexical.fit((texts[pair] for pair in pool), "english")
        for query in queries:
            scores = words.score(query)
            best = np.argpartition(-scores, n - 1)[:n]
            yield best[np.lexsort((best, -scores[best]))].tolist()

    def _by_model(self, pool: Sequence[int]) -> Iterator[list[int]]:
        torch = require("torch", "models")
        encoder, data = self._encoder, self._data
        was_training = encoder.module.training
        encoder.train(False)
        try:
            with torch.no_grad():
                texts = _vectors(encoder, [data.framed_text(pair) for pair in pool])
                queries = _vectors(encoder, [data.framed_query(pair) for pair in range(len(data))])
        finally:
            encoder.train(was_training)
        for start in range(0, len(queries), _AT_ONCE):
            scores = queries[start : start + _AT_ONCE] @ texts.T
            yield from scores.topk(self._n_ranked(pool)).indices.tolist()

    def _n_ranked(self, pool: Sequence[int]) -> int:
        return min(len(pool), _RANKED * self._config.depth)


def choose_negatives(
    candidates: Sequence[int],
    n: int,
    depth: int,
    rng: np.random.Generator,
    *,
    accepts: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> list[int]:
    """Negatives of a query from a ranking, at most n.

    Args:
        candidates: texts that are not labelled as answers, the best first.
        n: how many are wanted.
        depth: how many of the candidates are hard ones; without `accepts` n random ones of these are taken.
        rng: draws.
        accepts: which of some candidates (m,) may be negatives, booleans (m,). With it the hard ones are walked down in
            their order; where too few are accepted, random candidates from behind the hard ones fill up, unfiltered
            (Qu et al., 2021, section 3.2).

    """
    hard, rest = list(candidates[:depth]), list(candidates[depth:])
    taken: list[int] = []
    if accepts is None:
        taken = [hard[int(place)] for place in rng.permutation(len(hard))[:n]]
    else:
        for start in range(0, len(hard), _ASKED_AT_ONCE):
            asked = hard[start : start + _ASKED_AT_ONCE]
            taken += [each for each, good in zip(asked, accepts(asked), strict=True) if good]
            if len(taken) >= n:
                break
    taken = taken[:n]
    return taken + [rest[int(place)] for place in rng.permutation(len(rest))[: n - len(taken)]]


def _vectors(encoder: TrainableEncoder, rows: Sequence[Sequence[int]]) -> Any:
    torch = require("torch", "models")
    found = torch.empty(len(rows), encoder.width, device=encoder.device)
    for places in batches([len(row) for row in rows], _TOKENS_AT_ONCE):
        found[places] = encoder.vectors([rows[place] for place in places]).float()
    return found
