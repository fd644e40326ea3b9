"""A navigable graph over one byte a dimension: the fastest first stage where a recall of .95 is enough.

HNSW is Malkov and Yashunin's (arXiv 1603.09320): a row is linked to others near it, on few rows of higher levels too,
and a query walks along links towards what is near. faiss builds and walks the graph. The rows themselves are held as
one byte a dimension, a quarter of float32; the exact scores come from disk, as with every first stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.selecting import new_rows, sampled_rows, search_parameters, selector_of

LINKS = 16
MAX_LINKS = 128
BUILD_EFFORT = 100
BLOCK_ROWS = 256
WALKED_SHARE = (
    0.1  # of rows allowed; a walk through a graph of which less is allowed finds little, and scanning is fast
)


class Graph:
    """Rows of one byte a dimension, linked; see `sememe.search.coarse.stage.Coarse`. The parameter is the links a row.

    Rows enter the graph in blocks of 256, each with random levels of its own seed, so that what is built does not
    depend on how many rows came at once; those of a block that is not full yet are scanned. It is built with one
    thread, so that two builds are the same.

    Attributes:
        n_links: M; a row has up to 2 M links on the lowest level and M on each other.

    """

    kind: ClassVar[str] = "hnsw"

    def __init__(self, lowest: np.ndarray, steps: np.ndarray, n_links: int = LINKS, random_state: int = 0) -> None:
        """An empty graph; `lowest` and `steps`, shape (d,), are the value of byte 0 and the width of all 256 bytes."""
        import faiss

        self.n_links, self._random_state = n_links, random_state
        self._ranges = np.concatenate([lowest, steps]).astype(np.float32)
        d = len(lowest)
        quantizer: Any = faiss.ScalarQuantizer.QT_8bit
        self._index: Any = faiss.IndexHNSWSQ(d, quantizer, n_links, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = BUILD_EFFORT
        self._linked: Any = faiss.downcast_index(self._index.storage)
        self._unlinked: Any = faiss.IndexScalarQuantizer(d, quantizer, faiss.METRIC_INNER_PRODUCT)
        stores: tuple[Any, ...] = (self._linked, self._unlinked)
        for index in stores:
            faiss.copy_array_to_vector(self._ranges, index.sq.trained)
            index.is_trained = True
        self._index.is_trained = True

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Take the range of every dimension from sampled rows."""
        n_links = LINKS if parameter is None else parameter
        if not 2 <= n_links <= MAX_LINKS:
            raise InputError(f"has 2 to {MAX_LINKS} links a row, not {n_links}", where=f"{cls.kind}:{parameter}")
        if not len(bank):
            raise InputError("holds no vectors to learn their ranges from", where=str(bank.path))
        sample = bank[sampled_rows(bank, random_state)]
        lowest = sample.min(axis=0)
        return cls(lowest, np.maximum(sample.max(axis=0) - lowest, np.finfo(np.float32).tiny), n_links, random_state)

    @property
    def n_rows(self) -> int:
        return int(self._index.ntotal + self._unlinked.ntotal)

    @property
    def nbytes(self) -> int:
        graph = self._index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return int(self.n_rows * self._linked.code_size + links)

    def extend(self, bank: Bank) -> None:
        for _, vectors in new_rows(bank, self.n_rows, BLOCK_ROWS - int(self._unlinked.ntotal)):
            self._unlinked.add(vectors)
            if self._unlinked.ntotal == BLOCK_ROWS:
                break
        else:
            return
        self._link(bank[self.n_rows - BLOCK_ROWS : self.n_rows])
        for _, vectors in new_rows(bank, self.n_rows, BLOCK_ROWS):
            if len(vectors) == BLOCK_ROWS:
                self._link(vectors)
            else:
                self._unlinked.add(vectors)

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        n_linked = int(self._index.ntotal)
        wanted = min(n, int(np.count_nonzero(allowed)))
        if not wanted:
            return np.zeros(0, np.int64)
        query = np.ascontiguousarray(query.reshape(1, -1), np.float32)
        rows, scores = self._walk(query, wanted, allowed[:n_linked])
        tail_scores, tail = _scan(self._unlinked, query, wanted, allowed[n_linked:])
        rows, scores = np.concatenate([rows, tail + n_linked]), np.concatenate([scores, tail_scores])
        return rows[np.lexsort((rows, -scores))[:wanted]]

    def save(self, path: Path) -> None:
        import faiss

        graph = self._index.hnsw
        arrays = {
            "ranges": self._ranges,
            "codes": np.concatenate([_codes(self._linked), _codes(self._unlinked)]),
            "levels": faiss.vector_to_array(graph.levels),
            "links": faiss.vector_to_array(graph.neighbors),
        }
        card = {"n_links": self.n_links, "random_state": self._random_state, "entry": int(graph.entry_point)}
        artifact.save(path, f"coarse-{self.kind}", arrays, card)

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        d = len(arrays["ranges"]) // 2
        stage = cls(arrays["ranges"][:d], arrays["ranges"][d:], card["n_links"], card["random_state"])
        try:
            stage._restore(arrays["codes"], arrays["levels"], arrays["links"], card["entry"])
        except ValueError as error:
            raise ArtifactError(f"is no graph: {error}", where=str(path), hint="Make the first stage again") from error
        return stage

    def _link(self, vectors: np.ndarray) -> None:
        """Take a full block into the graph."""
        import faiss

        generator: Any = getattr(faiss, "RandomGenerator")  # noqa: B009 - the stubs lack it
        self._unlinked.reset()
        self._index.hnsw.rng = generator(self._random_state + int(self._index.ntotal) // BLOCK_ROWS)
        with _one_thread():
            self._index.add(np.ascontiguousarray(vectors, np.float32))

    def _walk(self, query: np.ndarray, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best `n` rows of the graph; where few are allowed or the walk finds too few, those of a scan."""
        n_allowed = int(np.count_nonzero(allowed))
        n = min(n, n_allowed)
        if n and n_allowed >= WALKED_SHARE * len(allowed):
            parameters = search_parameters("SearchParametersHNSW", efSearch=n, sel=selector_of(allowed))
            scores, rows = self._index.search(query, n, params=parameters)
            if (rows[0] >= 0).all():
                return rows[0], scores[0]
        scores, rows = _scan(self._linked, query, n, allowed)
        return rows, scores

    def _restore(self, codes: np.ndarray, levels: np.ndarray, links: np.ndarray, entry: int) -> None:
        """Put saved arrays back; ValueError where they do not fit each other, since faiss trusts its links."""
        import faiss

        n, graph = len(levels), self._index.hnsw
        sizes = faiss.vector_to_array(graph.cum_nneighbor_per_level)
        if n and (levels.min() < 1 or levels.max() >= len(sizes)):
            raise ValueError("a row lies on a level that there is not")
        offsets = np.concatenate([[0], np.cumsum(sizes[levels], dtype=np.int64)])
        if offsets[-1] != len(links) or len(codes) < n or codes.shape[1:] != (self._linked.code_size,):
            raise ValueError(f"{len(links)} links and {len(codes)} codes do not fit {n} rows")
        if n and (links.min() < -1 or links.max() >= n or not 0 <= entry < n):
            raise ValueError("a link leads out of it")
        faiss.copy_array_to_vector(levels, graph.levels)
        faiss.copy_array_to_vector(links, graph.neighbors)
        faiss.copy_array_to_vector(offsets.astype(np.uint64), graph.offsets)
        graph.entry_point, graph.max_level = entry, int(levels.max()) - 1 if n else -1
        for index, part in ((self._linked, codes[:n]), (self._unlinked, codes[n:])):
            faiss.copy_array_to_vector(np.ascontiguousarray(part).reshape(-1), index.codes)
            index.ntotal = len(part)
        self._index.ntotal = n


def _scan(index: Any, query: np.ndarray, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows of the best `n` allowed codes, all of which are looked at."""
    n = min(n, int(np.count_nonzero(allowed)))
    if not n:
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    scores, rows = index.search(query, n, params=search_parameters("SearchParameters", sel=selector_of(allowed)))
    return scores[0], rows[0]


def _codes(index: Any) -> np.ndarray:
    import faiss

    codes: np.ndarray = faiss.vector_to_array(index.codes).reshape(-1, index.code_size)
    return codes


@contextmanager
def _one_thread() -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
