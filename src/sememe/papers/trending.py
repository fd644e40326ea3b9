"""What is trending: votes that fade with a paper's age, or a reader's own marks where nobody votes.

    by votes:  votes 0.5^(age / 7 days)
    by marks:  sum over marks of weight 0.5^(time since the mark / 7 days);  read 1, saved 2, liked 3

An exponential decay forgets alike at every age, so the order of two papers of one day never changes by waiting.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sememe.papers.reasons import Reason

if TYPE_CHECKING:
    from sememe.papers.paper import Paper

HALF_LIFE = datetime.timedelta(days=7)
MARK_WEIGHTS = {"read": 1.0, "saved": 2.0, "liked": 3.0}

Marks = Mapping[str, Mapping[str, datetime.datetime]]
"""Paper -> mark -> when it was set."""


@dataclass(frozen=True)
class Trend:
    """How papers trend.

    Attributes:
        scores: one a paper, in their order.
        reasons: what each score comes from.
        formula: how it is computed, in words.

    """

    scores: Sequence[float]
    reasons: Sequence[Sequence[Reason]]
    formula: str


def trend(papers: Sequence[Paper], marks: Marks, today: datetime.date, now: datetime.datetime) -> Trend:
    """How papers trend: by votes if any of them has one, else by marks.

    Args:
        papers: the papers.
        marks: a reader's marks, used when no paper has votes.
        today: the day from which a paper's age is counted; a paper without a date is as old as the oldest.
        now: the moment from which a mark's age is counted.

    """
    if any(paper.votes for paper in papers):
        return _by_votes(papers, today)
    return _by_marks(papers, marks, now)


def _by_votes(papers: Sequence[Paper], today: datetime.date) -> Trend:
    oldest = min((paper.date for paper in papers if paper.date), default=today)
    scores, reasons = [], []
    for paper in papers:
        age = max(today - (paper.date or oldest), datetime.timedelta())
        score = (paper.votes or 0) * 0.5 ** (age / HALF_LIFE)
        scores.append(score)
        days = f"{age.days} day{'' if age.days == 1 else 's'} old"
        votes = f"{paper.votes:,} vote{'' if paper.votes == 1 else 's'}" if paper.votes else ""
        reasons.append([Reason("votes", f"{votes}, {days}", score)] if votes else [])
    return Trend(scores, reasons, f"votes × 0.5^(age in days / {HALF_LIFE.days})")


def _by_marks(papers: Sequence[Paper], marks: Marks, now: datetime.datetime) -> Trend:
    scores, reasons = [], []
    for paper in papers:
        parts = {
            kind: MARK_WEIGHTS[kind] * 0.5 ** (max(now - at, datetime.timedelta()) / HALF_LIFE)
            for kind, at in marks.get(paper.id, {}).items()
            if kind in MARK_WEIGHTS
        }
        scores.append(sum(parts.values()))
        reasons.append([Reason("votes", f"marked {kind}", part) for kind, part in parts.items()])
    weights = ", ".join(f"{kind} {weight:g}" for kind, weight in MARK_WEIGHTS.items())
    formula = f"no votes, so marks: sum of weight × 0.5^(days since the mark / {HALF_LIFE.days}); {weights}"
    return Trend(scores, reasons, formula)
