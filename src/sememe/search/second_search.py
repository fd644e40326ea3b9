"""Searching twice: feed passages of the first search, or the user's choice, back into the query; tell what changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from sememe.errors import InputError
from sememe.models.feedback_encoder import PrfEncoder
from sememe.search.feedback import Feedback, average, rocchio

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.search.index import Index


class Placed(Protocol):
    """A search result, as far as feedback needs it: the bank row that it stands for."""

    @property
    def row(self) -> int: ...


Found = TypeVar("Found", bound=Placed)
Rank = Callable[[np.ndarray, int], Sequence[Sequence[Found]]]
"""From query vectors (n, d) and a depth to the results of each query, the best first."""


class Passage(NamedTuple):
    """A passage that changed the query."""

    id: str
    row: int
    relevant: bool
    """Whether it drew the query towards itself; one that the user called irrelevant pushed it away."""


class Move(NamedTuple):
    """How a result fared; ranks count from 1 and are None where it is not among the first k."""

    id: str
    before: int | None
    after: int | None

    @property
    def change(self) -> str:
        """`new`, `gone`, `up`, `down` or `same`."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if self.before == self.after:
            return "same"
        return "up" if self.after < self.before else "down"


class AtomChange(NamedTuple):
    """``change = <q1 - q0, d_j>``: by how much a document's score rose for each unit of atom j in its code."""

    atom: int
    label: str
    change: float


@dataclass(frozen=True, eq=False)
class Record:
    """What feedback did to one query.

    Attributes:
        passages: what it was fed with, relevant ones first, in the order they were read.
        n_tokens_used: how many tokens of the passages a `PrfEncoder` read; None for the vector methods.
        moves: the results of the second search in their order, then those that are gone.
        atoms: the atoms of the query and the passages by how much they were raised or lowered, the largest change
            first; empty without atoms. This reading of feedback is ours, no paper's.

    """

    passages: Sequence[Passage]
    n_tokens_used: int | None
    moves: Sequence[Move]
    atoms: Sequence[AtomChange]

    def raised(self, n: int) -> list[AtomChange]:
        """The `n` atoms that were raised most."""
        return [atom for atom in self.atoms if atom.change > 0][:n]

    def lowered(self, n: int) -> list[AtomChange]:
        """The `n` atoms that were lowered most."""
        return [atom for atom in self.atoms if atom.change < 0][:n]

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        return {
            "passages": [passage._asdict() for passage in self.passages],
            "tokens_used": self.n_tokens_used,
            "moves": [{**move._asdict(), "change": move.change} for move in self.moves],
            "atoms": [atom._asdict() for atom in self.atoms],
        }


class Answer(NamedTuple, Generic[Found]):
    """The second search of one query."""

    vector: np.ndarray
    """What it was searched with; (d,), float32."""
    found: Sequence[Found]
    """The results, at most k."""
    record: Record


def feed_back(
    index: Index,
    feedback: Feedback,
    queries: Sequence[str | np.ndarray],
    vectors: np.ndarray,
    rank: Rank[Found],
    *,
    k: int,
    atoms: Atoms | None = None,
) -> list[Answer[Found]]:
    """Search, move every query by what was found or what the user chose, and search again.

    The second ranking replaces the first: passages that were fed back compete again like all others.

    Args:
        index: the index.
        feedback: what to do.
        queries: the queries; a `PrfEncoder` needs texts.
        vectors: their vectors (n, d), of `feedback.as_read(query)` where they are texts.
        rank: the search.
        k: how many results of each query are wanted.
        atoms: atoms in which to tell how the queries changed.

    Raises:
        InputError: a document that the user named is not there, or nothing is left of a query.
        ModelError: the feedback encoder belongs to another encoder than the index's.

    """
    first = rank(vectors, max(k, feedback.depth))
    moved, passages, used = refine(index, feedback, queries, vectors, [[hit.row for hit in hits] for hits in first])
    second = first if feedback.method == "none" else rank(moved, k)
    return [
        Answer(
            moved[number],
            second[number][:k],
            Record(
                passages[number],
                used[number],
                _moves(index, first[number][:k], second[number][:k]),
                atom_changes(atoms, vectors[number], moved[number], _vectors(index, passages[number])) if atoms else [],
            ),
        )
        for number in range(len(vectors))
    ]


def refine(
    index: Index,
    feedback: Feedback,
    queries: Sequence[str | np.ndarray],
    vectors: np.ndarray,
    rows: Sequence[Sequence[int]],
) -> tuple[np.ndarray, list[list[Passage]], list[int | None]]:
    """The new vectors of queries, without searching; `feed_back` does both.

    Args:
        index: the index.
        feedback: what to do.
        queries: as in `feed_back`.
        vectors: their vectors; (n, d).
        rows: the bank rows of each query's first results, the best first.

    Returns:
        The new vectors (n, d), of unit length if the index's are; the passages of each query; the tokens of passages
        that were read, None for vector methods.

    """
    encoder = feedback.method if isinstance(feedback.method, PrfEncoder) else None
    if encoder is not None:
        encoder.check_base(str(index.bank.provenance["model_fingerprint"]))
        if not all(isinstance(query, str) for query in queries):
            raise InputError("a feedback encoder reads texts: give the query as a text, or use average or rocchio")
    passages = [_passages(index, feedback, vector, of_query) for vector, of_query in zip(vectors, rows, strict=True)]
    _warn_if_few(feedback, passages)
    used: list[int | None] = [None] * len(passages)
    moved = np.array(vectors, np.float32)
    fed = [number for number, of_query in enumerate(passages) if of_query]
    if encoder is not None and fed:
        texts = [[index.text(passage.row) for passage in passages[number]] for number in fed]
        moved[fed], counts = encoder.encode_batch([str(queries[number]) for number in fed], texts)
        for number, count in zip(fed, counts.tolist(), strict=True):
            used[number] = count
    elif fed:
        moved[fed] = [_moved(index, feedback, vectors[number], passages[number]) for number in fed]
    if index.normalizes and fed:
        moved[fed] = _unit(moved[fed])
    return moved, passages, used


def atom_changes(atoms: Atoms, q0: np.ndarray, q1: np.ndarray, passages: np.ndarray) -> list[AtomChange]:
    """The change of a query projected on atoms: ``<q1 - q0, d_j>``, the largest first.

    Of all atoms, those are told that are active in the query's or a passage's code (`Atoms.pursue`): the others change
    too, because atoms are not orthogonal, but say nothing about where the change came from. A document whose code has
    a_j of atom j gained exactly a_j times its change by that atom.

    Args:
        atoms: the atoms.
        q0: the query before; (d,).
        q1: the query after; (d,).
        passages: the vectors of the passages; (n, d).

    """
    active = np.unique(atoms.pursue(np.concatenate([q0[None], passages]).astype(np.float32)).indices)
    changes = atoms.decoder[active].astype(np.float64) @ (q1.astype(np.float64) - q0.astype(np.float64))
    order = np.lexsort((active, -np.abs(changes)))
    return [AtomChange(int(active[i]), atoms.labels[active[i]], float(changes[i])) for i in order]


def _passages(index: Index, feedback: Feedback, vector: np.ndarray, rows: Sequence[int]) -> list[Passage]:
    if feedback.method == "none":
        return []
    if feedback.by_user:
        chosen = [(document, True) for document in feedback.relevant]
        chosen += [(document, False) for document in feedback.irrelevant]
        return [Passage(document, _best_row(index, document, vector), liked) for document, liked in chosen]
    return [Passage(index.id_of(int(row)), int(row), True) for row in rows[: feedback.n_passages]]


def _best_row(index: Index, document: str, vector: np.ndarray) -> int:
    """The window of a document that fits the query best."""
    rows = index.rows_of(document)
    return int(rows[np.argmax(index.bank[rows] @ vector)])


def _moved(index: Index, feedback: Feedback, vector: np.ndarray, passages: Sequence[Passage]) -> np.ndarray:
    relevant = _vectors(index, [passage for passage in passages if passage.relevant])
    if feedback.method == "average":
        return average(vector, relevant)
    irrelevant = _vectors(index, [passage for passage in passages if not passage.relevant])
    return rocchio(vector, relevant, feedback.alpha, feedback.beta, V_neg=irrelevant, gamma=feedback.gamma)


def _vectors(index: Index, passages: Sequence[Passage]) -> np.ndarray:
    return index.bank[np.array([passage.row for passage in passages], np.int64)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (lengths < 1e-6).any():
        raise InputError(
            "feedback has cancelled the query: nothing of it is left", hint="Give alpha or beta more weight"
        )
    return np.asarray(vectors / lengths, np.float32)


def _moves(index: Index, first: Sequence[Placed], second: Sequence[Placed]) -> list[Move]:
    before = {index.id_of(hit.row): rank for rank, hit in enumerate(first, start=1)}
    after = {index.id_of(hit.row): rank for rank, hit in enumerate(second, start=1)}
    moves = [Move(document, before.get(document), rank) for document, rank in after.items()]
    return moves + [Move(document, rank, None) for document, rank in before.items() if document not in after]


def _warn_if_few(feedback: Feedback, passages: Sequence[Sequence[Passage]]) -> None:
    fewest = min((len(of_query) for of_query in passages), default=feedback.depth)
    if fewest < feedback.depth:
        warnings.warn(
            f"feedback wanted {feedback.depth} passages and the first search found {fewest}; it used what there is",
            stacklevel=3,
        )
