"""A teacher's scores of every pair's candidates, computed once before training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from sememe import artifact
from sememe.corpus import Document
from sememe.errors import ArtifactError, InputError
from sememe.models import Encoder
from sememe.models.cross_encoder import CrossEncoder
from sememe.models.encoder import compared, is_compared_by_cosine
from sememe.objectives.hard_negatives import Teacher
from sememe.objectives.pair_data import PairData, negatives_of, query_of
from sememe.progress import progress

SCORES_FIELD = "scores"
KIND = "teacher-scores"
_CROSS = "cross:"


def load_teacher(name: str) -> Teacher:
    """A cross-encoder (`cross:MODEL`), or an encoder that scores by its own similarity, cosine or dot product.

    Raises:
        ModelError: there is no such model, or it compares by a distance.

    """
    if name.startswith(_CROSS):
        return CrossEncoder.load(name.removeprefix(_CROSS)).score
    encoder = Encoder.load(name)
    by_cosine = is_compared_by_cosine(encoder)

    def score(query: str, texts: Sequence[str]) -> np.ndarray:
        documents, queries = encoder.encode_document(list(texts)), encoder.encode_query([query])
        found: np.ndarray = (
            compared(documents, encoder, by_cosine=by_cosine) @ compared(queries, encoder, by_cosine=by_cosine)[0]
        )
        return found

    return score


class TeacherScores:
    """Scores by pair and row of `PairData`.

    Args:
        own: of the pairs' own texts, one pair after another, the positive first.
        starts: where each pair's are; (n,), int64.
        firsts: the row of each pair's positive; (n,), int64.
        mined: of the mined texts, as `PairData.mined` has them; (n, m).
        rows: what was mined.

    """

    def __init__(
        self, own: np.ndarray, starts: np.ndarray, firsts: np.ndarray, *, mined: np.ndarray, rows: np.ndarray
    ) -> None:
        self._own, self._starts, self._firsts, self._mined, self._rows = own, starts, firsts, mined, rows
        self._ends = np.append(starts[1:], len(own))
        self.fingerprint = hashlib.sha256(own.tobytes() + mined.tobytes()).hexdigest()

    @classmethod
    def make(
        cls, documents: Iterable[Document], pairs: PairData, teacher: Teacher | None, folder: Path, name: str
    ) -> Self:
        """Take the scores that records bring, ask the teacher for the others; or read what an earlier run made.

        Args:
            documents: the pairs as texts.
            pairs: the same as rows.
            teacher: scores texts for a query; None when all records bring scores.
            folder: where the scores are kept while training runs.
            name: the teacher's.

        Raises:
            InputError: a record has no scores and there is no teacher, or scores that do not fit.

        """
        firsts = np.array([pairs.rows_of(pair)[0] for pair in range(len(pairs))], np.int64)
        counts = np.array([len(pairs.rows_of(pair)) for pair in range(len(pairs))], np.int64)
        starts = np.cumsum(counts) - counts
        rows = pairs.mined.copy()
        made_of = {"data": pairs.fingerprint, "teacher": name, "mined": hashlib.sha256(rows.tobytes()).hexdigest()}
        found = _kept(folder, made_of)
        if found is None:
            found = _computed(documents, pairs, teacher, {int(first): pair for pair, first in enumerate(firsts)})
            artifact.save(folder, KIND, found, made_of)
        return cls(found["own"], starts, firsts, mined=found["mined"], rows=rows)

    def of(self, pair: int, row: int) -> float:
        """The score of a text for a pair's query."""
        place = row - int(self._firsts[pair])
        if 0 <= place < self._ends[pair] - self._starts[pair]:
            return float(self._own[self._starts[pair] + place])
        return float(self._mined[pair, int(np.flatnonzero(self._rows[pair] == row)[0])])


def _kept(folder: Path, made_of: dict[str, str]) -> dict[str, np.ndarray] | None:
    """The scores of an earlier run on the same pairs."""
    try:
        arrays, card = artifact.load(folder, KIND)
    except ArtifactError:
        return None
    return arrays if all(card.get(name) == value for name, value in made_of.items()) else None


def _computed(
    documents: Iterable[Document], pairs: PairData, teacher: Teacher | None, pair_at: dict[int, int]
) -> dict[str, np.ndarray]:
    has_mined = pairs.mined.shape[1] > 0
    texts = [document.text for document in documents] if has_mined else []
    mined = np.zeros(pairs.mined.shape, np.float32)
    own: list[np.ndarray] = []
    with progress("Asking the teacher", len(pairs), unit="queries") as bar:
        for pair, document in enumerate(documents):
            query, candidates = query_of(document), [document.text, *negatives_of(document)]
            others = [texts[pair_at[int(row)]] for row in pairs.mined_rows(pair)] if has_mined else []
            given = document.metadata.get(SCORES_FIELD)
            if given is not None:
                own.append(_given(given, len(candidates), document))
            if teacher is None and (given is None or others):
                raise InputError(
                    f"has no {SCORES_FIELD}" + (" of its mined negatives" if others else ""),
                    where=f"pair {document.id!r}",
                    hint="Name a teacher (--teacher), or give the score of the positive and of each negative",
                )
            asked = ([] if given is not None else candidates) + others
            scores = np.asarray(teacher(query, asked), np.float32) if asked and teacher is not None else np.zeros(0)
            if given is None:
                own.append(scores[: len(candidates)])
            mined[pair, : len(others)] = scores[len(asked) - len(others) :]
            bar.advance()
    return {"own": np.concatenate(own).astype(np.float32), "mined": mined}


def _given(scores: object, n: int, document: Document) -> np.ndarray:
    try:
        found = np.asarray(scores, np.float32)
    except (TypeError, ValueError):
        found = np.zeros(0, np.float32)
    if found.shape != (n,) or not np.isfinite(found).all():
        raise InputError(
            f"has {SCORES_FIELD} that are not {n} numbers",
            where=f"pair {document.id!r}",
            hint="Give one for the positive, then one for each negative",
        )
    return found
