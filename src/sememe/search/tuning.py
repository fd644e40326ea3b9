"""Choosing a first stage from a recall target: measured on the user's own vectors, not assumed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.progress import progress
from sememe.search.adaptive import nearest_rows
from sememe.search.coarse.kinds import CODES, fit_stage, parse_coarse
from sememe.search.made_queries import Queries, between_rows

TUNED_STAGES = (
    "binary",
    "pq:96",
    "pq:48",
    "pq:24",
    "ivf",
    "hnsw",
    "prefix:64",
    "prefix:128",
    "prefix:256",
    "funnel:64,128",
    "itq",
    "atoms",
)
MADE_QUERIES = 400  # half of them choose, half confirm
MOST_CANDIDATES = 5120
LEAST_QUERIES = 20
_AS_FAST = 1.1  # times that differ by less are noise; then the smaller stage is chosen
_ONE_SIDED_95 = 1.645
_TIE = 1e-6


class Measured(Protocol):
    """What is measured: the part of `sememe.search.coarse.stage.Coarse` that tuning needs."""

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        ...

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        """The `n` allowed rows that look best."""
        ...


@dataclass(frozen=True)
class Point:
    """One point of a measured curve.

    Attributes:
        stage: the stage's name, such as `prefix:64`.
        candidates: how many rows it proposed.
        recall: the mean share of the true top k among the proposed rows, on the queries that choose.
        sure: the lower end of the one-sided 95% interval of that mean.
        ms: median milliseconds a query, candidates and their exact scores from the bank.
        nbytes: bytes that the stage holds in memory.

    """

    stage: str
    candidates: int
    recall: float
    sure: float
    ms: float
    nbytes: int


@dataclass(frozen=True)
class Tuned:
    """What tuning chose, and what it measured.

    Attributes:
        choice: the cheapest point whose recall is surely at the target, or None: then only the exact scan reaches it.
        confirmed: the choice's recall on queries that it was not made with.
        target: the recall asked for.
        k: recall of the true top k.
        n_queries: how many queries chose and how many confirmed.
        exact_ms: median milliseconds of the exact scan of all vectors, one query at a time.
        curve: all points, stage by stage.

    """

    choice: Point | None
    confirmed: float | None
    target: float
    k: int
    n_queries: tuple[int, int]
    exact_ms: float
    curve: tuple[Point, ...]

    @property
    def holds(self) -> bool:
        """Whether the choice reached the target on queries that it was not made with."""
        return self.confirmed is not None and self.confirmed >= self.target

    def as_dict(self) -> dict[str, Any]:
        """JSON values, for a card."""
        return {**asdict(self), "n_queries": list(self.n_queries), "curve": list(map(asdict, self.curve))}


def tune(
    bank: Bank,
    stages: Iterable[tuple[str, Measured]] | None = None,
    *,
    queries: np.ndarray | None = None,
    recall: float = 0.98,
    k: int = 10,
    memory: int | None = None,
    allowed: np.ndarray | None = None,
    random_state: int = 0,
) -> Tuned:
    """Measure how recall grows with the number of candidates, and choose the cheapest point that reaches a target.

    Cheapest is the least time a query among the stages that fit into `memory`; among those that are as fast to a tenth,
    the one with the fewest bytes. Half of the queries choose; a point counts only if the 95% interval of its recall is
    above the target, as the best of many points would otherwise be a lucky one. The other half confirm.

    Args:
        bank: the vectors.
        stages: names and stages that hold codes of all rows, measured one after the other, so that a generator needs
            the memory of one. By default prefixes of 16, 32, ... dimensions.
        queries: shape (n_queries, d), at least 20. By default 400 made ones (`between_rows`). Give real ones where
            there are any.
        recall: the target, above 0 and at most 1.
        k: the true top k must be among the candidates.
        memory: the most bytes that a stage may hold.
        allowed: the rows that may be found, such as those of documents that were not deleted; shape (len(bank),).
        random_state: the seed.

    Raises:
        InputError: the target, the queries or `allowed` cannot be used, or there are too few rows.

    """
    allowed = _checked(bank, recall, k, allowed)
    generator = np.random.default_rng(random_state)
    if queries is None:
        asked = between_rows(bank, allowed, MADE_QUERIES, generator)
    else:
        asked = _given(queries, bank, generator)
    if len(asked) < LEAST_QUERIES:
        raise InputError(
            f"{len(asked)} queries are too few to choose and to confirm with",
            where="tune",
            hint=f"Give {LEAST_QUERIES} or more",
        )
    half = len(asked) // 2
    truth = _truth(bank, asked, k, allowed)
    choosing, confirming = np.arange(half), np.arange(half, len(asked))
    trial = _Trial(bank, asked, truth, allowed, k)
    curve: list[Point] = []
    reaching: dict[Point, float] = {}
    for name, stage in stages if stages is not None else prefix_stages(bank):
        points = list(trial.curve(name, stage, choosing))
        curve.extend(points)
        first = next((point for point in points if point.sure >= recall), None)
        if first is not None and (memory is None or first.nbytes <= memory):
            found = [trial.ask(stage, int(number), first.candidates)[0] for number in confirming]
            reaching[first] = float(np.mean(found))
    choice = cheapest(list(reaching)) if reaching else None
    exact_ms = _exact_ms(bank, asked.vectors[:5])
    confirmed = None if choice is None else reaching[choice]
    return Tuned(choice, confirmed, recall, k, (half, len(confirming)), exact_ms, tuple(curve))


def made_stages(bank: Bank, names: Sequence[str]) -> Iterator[tuple[str, Measured]]:
    """First stages by name with codes of all rows, for `tune`, made one after the other.

    A stage that cannot be made from these vectors (a codebook from too few, more dimensions than there are) is left
    out, unless it is the only one.
    """
    for text in names:
        name = parse_coarse(text)
        if name.kind not in CODES:
            raise InputError(f"{text!r} holds no codes that could be measured", where="stages")
        try:
            stage = fit_stage(name, bank)
        except InputError:
            if len(names) == 1:
                raise
            continue
        stage.extend(bank)
        yield text, stage


def prefix_stages(bank: Bank, dimensions: Sequence[int] | None = None) -> Iterator[tuple[str, Measured]]:
    """Prefixes of all rows for `tune`, made one after the other; by default of 16, 32, ... and all dimensions."""
    if dimensions is None:
        powers = [1 << power for power in range(4, 31) if 1 << power < bank.dimensions]
        dimensions = [*powers, bank.dimensions]
    return made_stages(bank, [f"prefix:{m}" for m in dimensions])


def cheapest(points: Sequence[Point]) -> Point:
    """The fastest point; of those that are as fast to a tenth, the one with the fewest bytes, then candidates."""
    limit = _AS_FAST * min(point.ms for point in points)
    return min((p for p in points if p.ms <= limit), key=lambda p: (p.nbytes, p.candidates, p.ms))


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a stage is measured with."""

    bank: Bank
    asked: Queries
    truth: np.ndarray
    allowed: np.ndarray
    k: int

    def curve(self, name: str, stage: Measured, numbers: np.ndarray) -> Iterator[Point]:
        """The points of a stage for k, 2k, ... candidates, until every query has all that it should find."""
        most = min(int(np.count_nonzero(self.allowed)), max(MOST_CANDIDATES, self.k))
        sizes = [self.k << power for power in range(most.bit_length()) if self.k << power <= most]
        with progress(f"Measuring {name}", len(sizes) * len(numbers), unit="queries") as bar:
            for n in sizes:
                found, seconds = [], []
                for number in numbers:
                    share, taken = self.ask(stage, int(number), n)
                    found.append(share)
                    seconds.append(taken)
                    bar.advance()
                recall, error = float(np.mean(found)), float(np.std(found)) / np.sqrt(len(found))
                ms = 1000 * float(np.median(seconds))
                yield Point(name, n, recall, float(recall - _ONE_SIDED_95 * error), ms, stage.nbytes)
                if min(found) == 1.0:
                    return

    def ask(self, stage: Measured, number: int, n: int) -> tuple[float, float]:
        """The recall of one query among `n` candidates, and the seconds that it took."""
        query, allowed = self.asked.vectors[number], self.asked.others(number, self.allowed)
        started = time.perf_counter()
        rows = np.sort(stage.candidates(query, n, allowed))
        scores = _exact(self.bank, rows, query)
        seconds = time.perf_counter() - started
        scores = scores[allowed[rows]]  # a stage that proposes what it must not gains nothing by it
        hits = int(np.count_nonzero(scores >= self.truth[number] - _TIE))
        return min(hits, self.k) / self.k, seconds


def _truth(bank: Bank, asked: Queries, k: int, allowed: np.ndarray) -> np.ndarray:
    """The k-th best exact score of each query: whatever scores as high is in a true top k; float64, (n,)."""
    rows, _ = nearest_rows(asked.vectors, bank, bank.dimensions, k, allowed=allowed, own=asked.own, normalize=False)
    if any(len(of_query) < k for of_query in rows):
        raise InputError(f"there are fewer than {k} rows beside a query's own", where="tune")
    return np.array([_exact(bank, of_query, q).min() for of_query, q in zip(rows, asked.vectors, strict=True)])


def _exact(bank: Bank, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores: np.ndarray = np.einsum("nd,d->n", bank[rows].astype(np.float64), query.astype(np.float64))
    return scores


def _exact_ms(bank: Bank, queries: np.ndarray) -> float:
    seconds = []
    for query in queries:
        started = time.perf_counter()
        for _, block in bank.batches(16_384):
            block @ query
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def _checked(bank: Bank, recall: float, k: int, allowed: np.ndarray | None) -> np.ndarray:
    if not 0 < recall <= 1:
        raise InputError(f"the target is {recall}", where="tune", hint="Give a recall above 0 and at most 1")
    if allowed is None:
        allowed = np.ones(len(bank), bool)
    if allowed.shape != (len(bank),):
        raise InputError(f"`allowed` has shape {allowed.shape}, not ({len(bank)},)", where="tune")
    if not 1 <= k < int(np.count_nonzero(allowed)):
        raise InputError(f"cannot measure the top {k} of {int(np.count_nonzero(allowed))} rows", where="tune")
    return allowed


def _given(queries: np.ndarray, bank: Bank, generator: np.random.Generator) -> Queries:
    checked = np.asarray(queries, np.float32)
    if checked.ndim != 2 or checked.shape[1] != bank.dimensions or not np.isfinite(checked).all():
        raise InputError(f"queries of shape {checked.shape} do not fit {bank.dimensions} dimensions", where="tune")
    return Queries(checked[generator.permutation(len(checked))], np.zeros((len(checked), 0, 2), np.int64))
