"""Batches of queries that are each other's near misses (locality-centric sampling).

Xiao et al. (WWW 2022), stage 2: training queries and the documents that a first stage proposes for them form a
graph; a batch is collected along it, so that the other queries' documents are hard negatives too. Any first stage
may have proposed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError

METHODS = ("random_walk", "snowball", "random")


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees, by number.

    Attributes:
        queries: shape (B,).
        positives: one for each query; shape (B,).
        negatives: further documents; from `locality_batches`, the same number for each query, in their order.

    """

    queries: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def locality_batches(
    candidates: Mapping[int, Sequence[int]],
    positives: Mapping[int, Sequence[int]],
    batch_size: int,
    *,
    method: str = "random_walk",
    n_negatives: int = 1,
    forward: tuple[int, int] = (0, 200),
    reverse: tuple[int, int] = (0, 200),
    graph: Mapping[int, Sequence[int]] | None = None,
    patches: int = 1,
    random_state: int = 0,
) -> Iterator[Batch]:
    """The batches of one epoch: every query once, the last batches less local and the very last maybe smaller.

    A batch starts at a random query. Each query takes a random positive and random negatives among its candidates
    that the batch has not used; the queries that have such a negative as a candidate are queued, and the next query
    is the last of the queue (`random_walk`) or its first (`snowball`).

    Args:
        candidates: query -> ranked documents of the first stage; labelled positives among them are passed over.
        positives: query -> its labelled documents.
        batch_size: queries in a batch.
        method: `random_walk`, `snowball`, or `random`: queries in random order, the negatives chosen alike.
        n_negatives: for each query. Where the candidates do not suffice, random documents fill up.
        forward: the ranks [first, last) that negatives are taken from.
        reverse: the ranks along which a negative leads to other queries; the paper's code uses (200, 400).
        graph: the candidates that `reverse` refers to; by default `candidates`. Another query's make a control.
        patches: in how many parts a batch is collected, each from a new random query.
        random_state: seed.

    Raises:
        InputError: a query has no candidates or no positives, a batch is larger than the number of queries, or an
            argument is out of range.

    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if min(n_negatives, patches) < 1 or not (0 <= forward[0] < forward[1] and 0 <= reverse[0] < reverse[1]):
        raise InputError("n_negatives and patches must be at least 1, and ranks [first, last) with 0 <= first < last")
    _check_queries(candidates, positives, batch_size)
    ranked = {query: _without(candidates[query], positives[query]) for query in candidates}
    walked = ranked if graph is None else {query: _without(graph[query], positives[query]) for query in candidates}
    walk = _Walk(
        negatives={query: documents[slice(*forward)] for query, documents in ranked.items()},
        leads_to=_reversed(walked, reverse) if method != "random" else {},
        positives=positives,
        n_negatives=n_negatives,
        takes_last=method == "random_walk",
        rng=np.random.default_rng([random_state, 8]),
    )
    return walk.batches(batch_size, max(1, batch_size // patches))


class _Walk:
    def __init__(
        self,
        *,
        negatives: Mapping[int, Sequence[int]],
        leads_to: Mapping[int, Sequence[int]],
        positives: Mapping[int, Sequence[int]],
        n_negatives: int,
        takes_last: bool,
        rng: np.random.Generator,
    ) -> None:
        self.negatives, self.leads_to, self.positives = negatives, leads_to, positives
        self.n_negatives, self.takes_last, self.rng = n_negatives, takes_last, rng
        documents = {d for of_query in negatives.values() for d in of_query}
        self.pool = np.array(sorted(documents | {d for of_query in positives.values() for d in of_query}))
        self.unused = _RandomSet(list(negatives))

    def batches(self, batch_size: int, patch_size: int) -> Iterator[Batch]:
        while self.unused:
            queue: list[int] = []
            used: set[int] = set()
            rows: list[tuple[int, int, list[int]]] = []
            while len(rows) < batch_size and self.unused:
                query = self._next(queue, starts_patch=len(rows) % patch_size == 0)
                self.unused.discard(query)
                positive = int(self.rng.choice(np.asarray(self.positives[query])))
                used.add(positive)
                chosen = self._negatives(query, used)
                used.update(chosen)
                rows.append((query, positive, chosen))
                queue += [other for negative in chosen for other in self.leads_to.get(negative, ())]
            queries, answers, chosen_of = zip(*rows, strict=True)
            negatives = [negative for chosen in chosen_of for negative in chosen]
            yield Batch(np.array(queries), np.array(answers), np.array(negatives, np.int64))

    def _next(self, queue: list[int], *, starts_patch: bool) -> int:
        if not starts_patch:
            while queue:
                query = queue.pop(-1 if self.takes_last else 0)
                if query in self.unused:
                    return query
        return self.unused.draw(self.rng)

    def _negatives(self, query: int, used: set[int]) -> list[int]:
        free = [document for document in self.negatives[query] if document not in used]
        if len(free) >= self.n_negatives:
            return [int(n) for n in self.rng.choice(np.asarray(free), self.n_negatives, replace=False)]
        taken = used | set(free) | set(self.positives[query])
        others = np.array([document for document in self.pool.tolist() if document not in taken], np.int64)
        missing = self.n_negatives - len(free)
        if len(others) < missing:
            raise InputError(
                f"a batch needs more documents than the {len(self.pool)} there are",
                where=f"query {query}",
                hint="Choose a smaller batch_size or n_negatives",
            )
        return free + [int(n) for n in self.rng.choice(others, missing, replace=False)]


class _RandomSet:
    """A set that a random member can be drawn from in constant time, the same for the same seed."""

    def __init__(self, members: list[int]) -> None:
        self._members = members
        self._places = {member: place for place, member in enumerate(members)}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: int) -> bool:
        return member in self._places

    def draw(self, rng: np.random.Generator) -> int:
        return self._members[int(rng.integers(len(self._members)))]

    def discard(self, member: int) -> None:
        place, last = self._places.pop(member), self._members.pop()
        if last != member:
            self._members[place], self._places[last] = last, place


def _reversed(candidates: Mapping[int, Sequence[int]], ranks: tuple[int, int]) -> dict[int, list[int]]:
    leads_to: dict[int, list[int]] = {}
    for query, documents in candidates.items():
        for document in documents[slice(*ranks)]:
            leads_to.setdefault(int(document), []).append(query)
    return leads_to


def _without(documents: Sequence[int], positives: Sequence[int]) -> list[int]:
    relevant = {int(document) for document in positives}
    return [int(document) for document in documents if int(document) not in relevant]


def _check_queries(
    candidates: Mapping[int, Sequence[int]], positives: Mapping[int, Sequence[int]], batch_size: int
) -> None:
    for query, documents in candidates.items():
        if not len(documents):
            raise InputError("has an empty list of candidates", where=f"query {query}", hint="Leave it out")
        if not len(positives.get(query, ())):
            raise InputError("has no positives", where=f"query {query}", hint="Leave it out")
    if not 1 <= batch_size <= len(candidates):
        raise InputError(f"batch_size must be from 1 to the number of queries, {len(candidates)}, not {batch_size}")
