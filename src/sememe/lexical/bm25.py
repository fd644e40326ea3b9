"""The lexical part: BM25 over titles and texts, scored by bm25s and kept beside the vectors.

The scores of every word in every document are computed once and stored as sparse columns, so a query only adds
up the columns of its words. They depend on how many documents there are and how long these are, so the columns
belong to one state of the index and are made again when documents were added or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact
from sememe.lexical.words import tokenizer

KIND = "lexical"
WORDS = "words.json"


class Lexical:
    """BM25 scores of words in documents, as sparse columns.

    Attributes:
        words: word -> column.
        starts: where each column starts; shape (n_words + 1,).
        items: the documents of the columns, one after another; shape (n_entries,).
        scores: their scores; shape (n_entries,), float32.
        n_documents: how many documents there are.

    """

    def __init__(
        self, words: dict[str, int], columns: Mapping[str, np.ndarray], *, n_documents: int, language: str
    ) -> None:
        self.words = words
        self.starts, self.items, self.scores = columns["starts"], columns["items"], columns["scores"]
        self.n_documents = n_documents
        self.language = language

    @classmethod
    def fit(cls, texts: Iterable[str], language: str) -> Lexical:
        """Compute the scores of all words (BM25 as in Lucene, k1 = 1.5, b = 0.75; Robertson and Zaragoza 2009)."""
        import bm25s

        tokenize = tokenizer(language)
        tokens = [tokenize(text) for text in texts]
        vocabulary = sorted({token for document in tokens for token in document})
        words = {word: column for column, word in enumerate(vocabulary)}
        if not words:
            nothing: dict[str, np.ndarray] = {
                "starts": np.zeros(1, np.int64),
                "items": np.zeros(0, np.int32),
                "scores": np.zeros(0, np.float32),
            }
            return cls({}, nothing, n_documents=len(tokens), language=language)
        model = bm25s.BM25()
        ids = [[words[token] for token in document] for document in tokens]
        model.index((ids, words), create_empty_token=False, show_progress=False)
        columns: dict[str, np.ndarray] = {
            "starts": np.asarray(model.scores["indptr"], np.int64),
            "items": np.asarray(model.scores["indices"], np.int32),
            "scores": np.asarray(model.scores["data"], np.float32),
        }
        return cls(words, columns, n_documents=len(tokens), language=language)

    def score(self, query: str) -> np.ndarray:
        """The BM25 score of every document; shape (n_documents,), 0 where no word matches."""
        scores = np.zeros(self.n_documents, np.float32)
        for word in tokenizer(self.language)(query):
            column = self.words.get(word)
            if column is not None:
                entries = slice(self.starts[column], self.starts[column + 1])
                np.add.at(scores, self.items[entries], self.scores[entries])
        return scores

    def save(self, path: Path) -> None:
        """Write the columns as an artifact, checksums included."""
        arrays = {"starts": self.starts, "items": self.items, "scores": self.scores}
        ordered = sorted(self.words, key=self.words.__getitem__)
        card: dict[str, Any] = {"documents": self.n_documents, "language": self.language}
        artifact.save(path, KIND, arrays, card, {WORDS: json.dumps(ordered, ensure_ascii=False).encode()})

    @classmethod
    def load(cls, path: Path) -> Lexical:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged; the message names the file.

        """
        arrays, card = artifact.load(path, KIND)
        words = {word: column for column, word in enumerate(json.loads((path / WORDS).read_bytes()))}
        return cls(words, arrays, n_documents=card["documents"], language=card["language"])
