"""The daily feed: papers from many sources, each kept once, with what a reader keeps with them."""

from __future__ import annotations

from sememe.papers.adding import Imported
from sememe.papers.history import PaperVersion
from sememe.papers.interests import Interest
from sememe.papers.marking import MARKS
from sememe.papers.paper import Paper
from sememe.papers.selecting import Selection
from sememe.papers.store import PaperStore
from sememe.papers.subscriptions import SentDigest, Subscription

__all__ = [
    "MARKS",
    "Imported",
    "Interest",
    "Paper",
    "PaperStore",
    "PaperVersion",
    "Selection",
    "SentDigest",
    "Subscription",
]
