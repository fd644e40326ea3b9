"""A first stage together with what was measured of it: how many rows it must propose for a hit."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.search.adaptive import nearest_rows
from sememe.search.coarse.kinds import CoarseName, fit_stage, parse_coarse, stage_class
from sememe.search.coarse.stage import Coarse
from sememe.search.made_queries import between_rows

KIND = "measured-coarse"
MIN_CANDIDATES = 100
CANDIDATES_PER_HIT = 10
TARGET_RECALL = 0.98
SAMPLED_QUERIES = 200


class Shortlist:
    """Proposes enough rows that the true best are among them.

    Attributes:
        name: of the stage, such as `pq:48`.
        stage: the codes.
        asked: rows for each hit as the settings ask for them; 0 when they leave it to measuring.
        per_hit: rows proposed for each hit that is wanted.
        recall: the measured share of the true top 10 among the rows proposed for 10; None before `measure`.

    """

    def __init__(self, name: CoarseName, stage: Coarse, asked: int = 0) -> None:
        self.name, self.stage, self.asked = name, stage, asked
        self.per_hit = asked or CANDIDATES_PER_HIT
        self.recall: float | None = None

    @classmethod
    def fit(cls, name: CoarseName, bank: Bank, live: np.ndarray, per_hit: int = 0) -> Self:
        """Learn a stage, make the codes of all rows, and measure.

        Args:
            name: its kind and number.
            bank: the vectors.
            live: the rows of documents that exist; shape (len(bank),), boolean.
            per_hit: rows to propose for each hit; 0 to double them until recall@10 reaches 0.98.

        """
        return cls.around(name, fit_stage(name, bank), bank, live, per_hit)

    @classmethod
    def around(cls, name: CoarseName, stage: Coarse, bank: Bank, live: np.ndarray, per_hit: int = 0) -> Self:
        """As `fit`, with a stage that was learned before."""
        shortlist = cls(name, stage, per_hit)
        stage.extend(bank)
        shortlist.measure(bank, live, grow=not per_hit)
        return shortlist

    def n_candidates(self, k: int) -> int:
        """How many rows to propose for `k` hits: what was asked for, or what was measured but at least 100."""
        return candidates_for(k, self.asked, self.per_hit)

    def measure(self, bank: Bank, live: np.ndarray, *, grow: bool, random_state: int = 0) -> None:
        """Measure recall@10 with made queries (`between_rows`); `grow` proposes more until it reaches the target."""
        if not live.any():
            return
        queries = between_rows(bank, live, SAMPLED_QUERIES, np.random.default_rng(random_state))
        truth, _ = nearest_rows(
            queries.vectors, bank, bank.dimensions, 10, allowed=live, own=queries.own, normalize=False
        )
        while True:
            found = []
            for number, (query, true) in enumerate(zip(queries.vectors, truth, strict=True)):
                proposed = self.stage.candidates(query, self.n_candidates(10), queries.others(number, live))
                found.append(np.isin(true, proposed).mean() if len(true) else 1.0)
            self.recall = float(np.mean(found))
            if not grow or self.recall >= TARGET_RECALL or self.n_candidates(10) >= len(bank):
                return
            self.per_hit *= 2

    def card(self) -> dict[str, object]:
        """What a card says of it."""
        return {"kind": str(self.name), "bytes": self.stage.nbytes, "recall@10": self.recall, "per_hit": self.per_hit}

    def save(self, path: Path) -> None:
        """Write the codes to `path`, unless they are there, and what was measured beside them.

        The codes last, so that they stand for both.
        """
        measured = {"name": str(self.name), "asked": self.asked, "per_hit": self.per_hit, "recall@10": self.recall}
        place = measured_path(path)
        if not path.exists() or not measured.items() <= artifact.load_card(place, KIND).items():
            artifact.save(place, KIND, {}, measured)
        if not path.exists():
            self.stage.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged; the message names the file.

        """
        _, measured = artifact.load(measured_path(path), KIND)
        name = parse_coarse(measured["name"])
        shortlist = cls(name, stage_class(name).load(path), measured["asked"])
        shortlist.per_hit, shortlist.recall = measured["per_hit"], measured["recall@10"]
        return shortlist


def candidates_for(k: int, asked: int, per_hit: int = CANDIDATES_PER_HIT) -> int:
    """How many rows to propose for `k` hits.

    Args:
        k: the hits.
        asked: rows for each hit as the settings ask for them, such as those that tuning chose; 0 for none.
        per_hit: rows for each hit when nothing is asked for; then there is a least number.

    """
    return asked * k if asked else max(MIN_CANDIDATES, per_hit * k)


def measured_path(path: Path) -> Path:
    """Where what was measured of the codes at `path` is kept."""
    return path.with_name(f"measured-{path.name}")
