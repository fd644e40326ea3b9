"""Batches of labelled pairs, and of their negatives: given ones and mined ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.models.trainable import TrainableEncoder
from sememe.training.drawing import EveryEpoch
from sememe.training.objective import Batch
from sememe.training.token_store import TokenStore

QUERY_FIELDS = ("query", "anchor", "question")
POSITIVE_FIELD = "positive"
NEGATIVE_FIELDS = ("negatives", "negative")


NOTHING = -1


class PairData:
    """Every pair once an epoch, in random order.

    Args:
        documents: the pairs, as `read_pairs` gives them.
        encoder: tokenises and frames.
        file: where the token ids go.
        batch_size: pairs in a batch.
        seed: of every draw.
        negatives: how many of its own negatives a query brings.

    A batch's arrays: `answers` (n, n + m), whether a text answers a query; `pairs` (n,), their numbers; of each
    negative `negatives` (m,), its row, and `negative_of` (m,), the place of its query in the batch.

    Attributes:
        mined: rows of texts that are negatives of each pair beside its own, `NOTHING` where there are fewer; (n, m),
            int64. Whoever mines changes it.
        notes: what a card says beside.

    Raises:
        InputError: there are fewer pairs than a batch has, or a pair has no query.

    """

    def __init__(
        self,
        documents: Iterable[Document],
        encoder: TrainableEncoder,
        file: Path,
        *,
        batch_size: int,
        seed: int,
        negatives: int,
    ) -> None:
        self._encoder, self._batch_size, self._seed, self._n = encoder, batch_size, seed, negatives
        self._firsts: list[int] = []
        self._queries: list[bytes] = []
        self._texts: list[bytes] = []
        self._store = TokenStore.build(self._parts(documents), encoder, file, least=0)
        self._ends = [*self._firsts[1:], len(self._store)]
        self._answers: dict[bytes, set[bytes]] = {}
        for query, text in zip(self._queries, self._texts, strict=True):
            self._answers.setdefault(query, set()).add(text)
        self._order = EveryEpoch(len(self._firsts), seed)
        self.notes: Mapping[str, Any] = {}
        self.mined = np.full((len(self._firsts), 0), NOTHING, np.int64)
        if len(self._firsts) < batch_size:
            raise InputError(
                f"a batch has {batch_size} pairs, and there are {len(self._firsts)}",
                where="batch_size",
                hint=f"Give at most {len(self._firsts)}",
            )

    @property
    def fingerprint(self) -> str:
        return f"{self._store.fingerprint} {self._n}"

    @property
    def about(self) -> Mapping[str, Any]:
        return {"trained_on": len(self._firsts), "tokens": len(self._store.tokens), **self.notes}

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, 1, number])
        pairs = self._order.draw(number, self._batch_size).tolist()
        chosen = [self._negatives(pair, rng) for pair in pairs]
        negatives = [row for rows in chosen for row in rows]
        views = {
            "query": [self._row(self._firsts[pair], "query") for pair in pairs],
            "positive": [self._row(self._firsts[pair] + 1) for pair in pairs],
            "negative": [self._row(row) for row in negatives],
        }
        # A given negative is the user's word: only positives can be answers of other queries of the batch. Those that
        # were mined are other pairs' positives.
        positive_of = {self._firsts[pair] + 1: self._texts[pair] for pair in self._pairs_at(negatives)}
        answers = np.zeros((len(pairs), len(pairs) + len(negatives)), bool)
        for row, pair in enumerate(pairs):
            own = self._answers[self._queries[pair]]
            answers[row, : len(pairs)] = [self._texts[other] in own for other in pairs]
            answers[row, len(pairs) :] = [positive_of.get(each) in own for each in negatives]
        documents = [self._store.ids[self._firsts[pair]] for pair in pairs]
        arrays = {
            "answers": answers,
            "pairs": np.array(pairs, np.int64),
            "negatives": np.array(negatives, np.int64),
            "negative_of": np.repeat(np.arange(len(pairs)), [len(rows) for rows in chosen]),
        }
        return Batch(views, documents, arrays)

    def __len__(self) -> int:
        return len(self._firsts)

    def rows_of(self, pair: int) -> range:
        """The rows of a pair's own texts: the one that answers it, then its negatives."""
        return range(self._firsts[pair] + 1, self._ends[pair])

    def mined_rows(self, pair: int) -> np.ndarray:
        """The rows of the texts that were mined for a pair."""
        found = self.mined[pair]
        return np.asarray(found[found != NOTHING])

    def pool(self) -> list[int]:
        """The pairs whose texts can be mined: of equal texts the first."""
        first: dict[bytes, int] = {}
        for pair, text in enumerate(self._texts):
            first.setdefault(text, pair)
        return list(first.values())

    def answered_by(self, pair: int, other: int) -> bool:
        """Whether the text of another pair answers a pair's query."""
        return self._texts[other] in self._answers[self._queries[pair]]

    def framed_query(self, pair: int) -> list[int]:
        """The ids of a pair's query."""
        return self._row(self._firsts[pair], "query")

    def framed_text(self, pair: int) -> list[int]:
        """The ids of the text that answers it."""
        return self._row(self._firsts[pair] + 1)

    def _parts(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Query, text and negatives of each pair, as texts of their own."""
        row = 0
        for document in documents:
            parts = [query_of(document), document.text, *negatives_of(document)]
            self._firsts.append(row)
            self._queries.append(_digest(parts[0]))
            self._texts.append(_digest(parts[1]))
            row += len(parts)
            yield from (Document(document.id, part) for part in parts)

    def _negatives(self, pair: int, rng: np.random.Generator) -> Sequence[int]:
        own = np.concatenate([np.arange(self._firsts[pair] + 2, self._ends[pair]), self.mined_rows(pair)])
        return [int(row) for row in rng.permutation(own)[: self._n]]

    def _pairs_at(self, rows: Sequence[int]) -> list[int]:
        """The pairs that have their texts at these rows."""
        starts = np.asarray(self._firsts)
        return [int(pair) for pair in np.searchsorted(starts, rows, side="right") - 1]

    def _row(self, row: int, side: str = "document") -> list[int]:
        return self._encoder.framed(self._store.row(row).tolist(), side)


def query_of(document: Document) -> str:
    """The query of a pair.

    Raises:
        InputError: it has none, or no text that answers it.

    """
    found = next((document.metadata[name] for name in QUERY_FIELDS if name in document.metadata), None)
    if not isinstance(found, str) or not found.strip() or not document.text.strip():
        raise InputError(
            "has no query, or no text that answers it",
            where=f"pair {document.id!r}",
            hint=f"Each record needs {QUERY_FIELDS[0]} (or {' or '.join(QUERY_FIELDS[1:])}) and {POSITIVE_FIELD}",
        )
    return found


def negatives_of(document: Document) -> list[str]:
    """The negatives that a pair brings.

    Raises:
        InputError: they are no texts.

    """
    found: Any = next((document.metadata[name] for name in NEGATIVE_FIELDS if document.metadata.get(name)), [])
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError("has negatives that are no texts", where=f"pair {document.id!r}")
    return texts


def _digest(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
