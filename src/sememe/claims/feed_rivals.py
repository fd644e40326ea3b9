"""What a feed's *for me* is compared with: tf-idf with a linear SVM, as arxiv-sanity-lite had it, and newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sememe.claims.feed_readers import Field, Ranker, Reader
from sememe.extras import require
from sememe.papers.learning import learn
from sememe.papers.reasons import Score

SVM_ALL, SVM_MARKS, NEWEST = "svm, all papers", "svm, marks", "newest"
FOR_ME, MEANING, WORDS = "for me", "for me, meaning only", "for me, words only"
RIVALS = (SVM_ALL, SVM_MARKS, NEWEST)
C_ALL, C_MARKS = 0.01, 0.1
"""Of the two ways to train the SVM, the better of 0.01 and 0.1 on the development categories."""


def rankers(field: Field, texts: Sequence[str], min_texts: int = 5) -> dict[str, Ranker]:
    """Every way to rank, by name.

    Args:
        field: the papers.
        texts: title, abstract and authors of each, which the SVM reads.
        min_texts: terms in fewer texts are left out of tf-idf.

    """
    rows = np.arange(len(field.features))
    tfidf = _tfidf(texts, min_texts)

    def scores(part: Callable[[Score], Score]) -> Ranker:
        def rank(reader: Reader) -> np.ndarray:
            score = learn(field.features, reader.liked, reader.disliked)
            return part(score).of(field.features, rows)

        return rank

    def newest(reader: Reader) -> np.ndarray:
        del reader
        return np.unique(field.days, return_inverse=True)[1].astype(np.float64)

    return {
        FOR_ME: scores(lambda score: score),
        MEANING: scores(lambda score: Score(score.vector, np.zeros_like(score.words))),
        WORDS: scores(lambda score: Score(np.zeros_like(score.vector), score.words)),
        SVM_ALL: lambda reader: _svm(tfidf, *_all_papers(field, reader), C_ALL),
        SVM_MARKS: lambda reader: _svm(tfidf, *_marked(field, reader), C_MARKS),
        NEWEST: newest,
    }


def _tfidf(texts: Sequence[str], min_texts: int) -> Any:
    """tf-idf of words and pairs of words with the settings of arxiv-sanity-lite (n, terms), sparse."""
    vectorizer = require("sklearn.feature_extraction.text", "dev").TfidfVectorizer(
        strip_accents="unicode",
        stop_words="english",
        token_pattern=r"(?u)\b[a-zA-Z_][a-zA-Z0-9_]+\b",  # noqa: S106
        ngram_range=(1, 2),
        max_features=20_000,
        sublinear_tf=True,
        max_df=0.1,
        min_df=min_texts,
    )
    return vectorizer.fit_transform(texts).tocsr()


def _all_papers(field: Field, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """What is liked against all other papers, as arxiv-sanity-lite trained."""
    labels = np.zeros(len(field.features))
    labels[field.features.rows(reader.liked)] = 1
    return np.arange(len(labels)), labels


def _marked(field: Field, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """What is liked against what is disliked."""
    rows = field.features.rows([*reader.liked, *reader.disliked])
    return rows, np.repeat([1.0, 0.0], [len(reader.liked), len(reader.disliked)])


def _svm(tfidf: Any, rows: np.ndarray, labels: np.ndarray, c: float) -> np.ndarray:
    svm = require("sklearn.svm", "dev").LinearSVC(class_weight="balanced", C=c, max_iter=10_000, tol=1e-4)
    scores: np.ndarray = svm.fit(tfidf[rows], labels).decision_function(tfidf)
    return scores
