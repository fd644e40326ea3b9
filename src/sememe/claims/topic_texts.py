"""Texts with topics: real news, and made ones whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sememe.claims.claim import Setting

N_THEMES, N_TOPICS, N_WORDS, TEXT_WORDS = 16, 4, 1200, 24


@dataclass(frozen=True, eq=False)
class TopicTexts:
    """Indexed texts and queries with their topics, and texts of another domain without.

    Attributes:
        documents, queries: the texts.
        document_topics, query_topics: numbers; shapes (n_documents,), (n_queries,).
        foreign: texts from elsewhere.

    """

    documents: Sequence[str]
    document_topics: np.ndarray
    queries: Sequence[str]
    query_topics: np.ndarray
    foreign: Sequence[str]

    def validation(self, n_queries: int, random_state: int) -> TopicTexts:
        """The indexed texts alone, `n_queries` of them as queries."""
        order = np.random.default_rng(random_state).permutation(len(self.documents))
        asked, kept = np.sort(order[:n_queries]), np.sort(order[n_queries:])
        return TopicTexts(
            [self.documents[row] for row in kept],
            self.document_topics[kept],
            [self.documents[row] for row in asked],
            self.document_topics[asked],
            (),
        )


def news(setting: Setting, n_queries: int, n_foreign: int, random_state: int) -> TopicTexts:
    """AG News, split at random, and as many arXiv as ACL abstracts."""
    rows = _read(setting.data("class-ag-news") / "data.jsonl.gz")
    order = np.random.default_rng(random_state).permutation(len(rows))
    asked, kept = [rows[i] for i in order[:n_queries]], [rows[i] for i in order[n_queries:]]
    return _topic_texts(kept, asked, abstracts(setting, n_foreign, random_state))


def newsgroups(setting: Setting, n_foreign: int, random_state: int) -> TopicTexts:
    """20 Newsgroups as the user brings it: `train.jsonl` is indexed, `test.jsonl` asks; fields `label` and `text`."""
    folder = setting.data("20-newsgroups")
    train, test = (_read(folder / f"{part}.jsonl") for part in ("train", "test"))
    return _topic_texts(train, test, abstracts(setting, n_foreign, random_state))


def abstracts(setting: Setting, n: int, random_state: int) -> list[str]:
    """Titles with abstracts, half of them from arXiv and half from the ACL Anthology, drawn at random."""
    found: list[str] = []
    for name in ("papers-arxiv", "papers-acl"):
        rows = _read(setting.data(name) / "papers.jsonl.gz")
        chosen = np.random.default_rng(random_state).permutation(len(rows))[: n // 2]
        found += [rows[i][0] for i in np.sort(chosen)]
    return found


def planted_news(n_documents: int, n_queries: int, n_foreign: int, random_state: int) -> TopicTexts:
    """Texts made from 16 themes: a topic of ours mixes four of them, a foreign text has one; a third is noise."""
    rng = np.random.default_rng(random_state)
    names = np.array(["w" + "".join(chr(97 + int(digit)) for digit in f"{number:04d}") for number in range(N_WORDS)])
    common = 1 / np.arange(10, N_WORDS + 10)
    themes = rng.permuted(np.tile(common, (N_THEMES, 1)), axis=1) ** 1.5
    themes /= themes.sum(axis=1, keepdims=True)
    common /= common.sum()

    def texts(of_text: np.ndarray) -> list[str]:
        return [" ".join(rng.choice(names, TEXT_WORDS, p=(2 * themes[theme] + common) / 3)) for theme in of_text]

    n = n_documents + n_queries
    topics = rng.integers(N_TOPICS, size=n)
    made = texts(topics + N_TOPICS * rng.integers(N_THEMES // N_TOPICS, size=n))
    foreign = texts(rng.integers(N_THEMES, size=n_foreign))
    last = n_documents
    return TopicTexts(made[:last], topics[:last], made[last:], topics[last:], foreign)


def _read(path: Path) -> list[tuple[str, object]]:
    from sememe.corpus import read

    return [(document.content, document.metadata.get("label")) for document in read(path)]


def _topic_texts(
    kept: Sequence[tuple[str, object]], asked: Sequence[tuple[str, object]], foreign: list[str]
) -> TopicTexts:
    names = sorted({str(label) for _, label in [*kept, *asked]})
    topics = [np.array([names.index(str(label)) for _, label in part]) for part in (kept, asked)]
    return TopicTexts([text for text, _ in kept], topics[0], [text for text, _ in asked], topics[1], foreign)
