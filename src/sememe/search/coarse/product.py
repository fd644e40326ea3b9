"""Product quantisation: a few bytes a vector in memory, scored by table look-ups against a float query.

Jégou, Douze and Schmid (2011); the optional rotation is Ge, He, Ke and Sun's (OPQ, 2013). faiss learns the rotation
and the codebook and scans the codes. A codebook may also come from contrastive training
(`sememe.objectives.contrastive_quantization`); `sememe.search.optimizing` learns one for an index.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.selecting import new_rows, sampled_rows
from sememe.search.coarse.table_scan import MAX_CENTROIDS, TableScan

TRAINING_ROWS = MAX_CENTROIDS * 256  # what faiss itself uses at most
ROWS_PER_CENTROID = 39  # faiss's own limit for a trustworthy centroid
ROTATIONS = ("opq", "none")
ENCODE_ROWS = 256
ROWS_AT_ONCE = 64 * ENCODE_ROWS


class ProductQuantizer:
    """Maps vectors to one byte for each of M slices, and scores those bytes against float queries.

    A document's vector v is coded as the nearest codewords (by L2) of the slices of ``R v``. A query is never
    quantised: its score is ``<R W q, z>``, z being the codewords one after another.

    Attributes:
        codebook: the codewords; shape (M, K, d / M), float32, K <= 256.
        rotation: R, orthogonal; shape (d, d), or None for the identity.
        query_map: W, which changes queries only; shape (d, d), or None for the identity.

    """

    def __init__(
        self, codebook: np.ndarray, rotation: np.ndarray | None = None, query_map: np.ndarray | None = None
    ) -> None:
        self.codebook = np.ascontiguousarray(codebook, np.float32)
        if self.codebook.ndim != 3 or not 1 <= self.codebook.shape[1] <= MAX_CENTROIDS:
            raise InputError(
                f"a codebook has shape (M, K <= {MAX_CENTROIDS}, d / M)", where=f"codebook of shape {codebook.shape}"
            )
        self.rotation = self._square(rotation, "rotation")
        self.query_map = self._square(query_map, "query_map")
        self._half_norms = 0.5 * np.einsum("mkd,mkd->mk", self.codebook, self.codebook)

    @classmethod
    def fit(
        cls,
        X: np.ndarray,
        n_subvectors: int,
        *,
        n_centroids: int = MAX_CENTROIDS,
        rotation: str = "opq",
        random_state: int = 0,
    ) -> Self:
        """Learn a rotation and a codebook from vectors, without labels.

        Warns when there are fewer than 39 vectors a codeword, which is faiss's own limit.

        Args:
            X: shape (n, d); at most 65,536 rows of it are used, drawn at random.
            n_subvectors: M, the bytes of a code; it must divide d.
            n_centroids: K, the codewords of a slice.
            rotation: `opq`, or `none`.
            random_state: seed.

        Raises:
            InputError: an argument does not fit, or there are fewer vectors than codewords.

        """
        if len(X) < ROWS_PER_CENTROID * n_centroids:
            warnings.warn(
                f"{len(X):,} vectors are few for {n_centroids} codewords: faiss asks for "
                f"{ROWS_PER_CENTROID * n_centroids:,}, and documents added later will be coded worse than these",
                stacklevel=2,
            )
        return cls._learned(X, n_subvectors, n_centroids, rotation, random_state)

    @classmethod
    def _learned(cls, X: np.ndarray, n_subvectors: int, n_centroids: int, rotation: str, random_state: int) -> Self:
        import faiss

        X = np.asarray(X, np.float32)
        _check_fit(X, n_subvectors, n_centroids, rotation)
        order = np.random.default_rng([random_state, 5]).permutation(len(X))[:TRAINING_ROWS]
        sample = np.ascontiguousarray(X[order])
        d, n_bits = X.shape[1], int(n_centroids).bit_length() - 1
        quantizer: Any = faiss.ProductQuantizer(d, n_subvectors, n_bits)
        quantizer.cp.min_points_per_centroid = 1
        quantizer.cp.seed = 1234 + random_state
        learned = None
        if rotation == "opq":
            transform: Any = faiss.OPQMatrix(d, n_subvectors)
            trial: Any = faiss.ProductQuantizer(d, n_subvectors, n_bits)
            trial.cp.min_points_per_centroid = 1
            transform.pq = trial
            transform.train(sample)
            learned = faiss.vector_to_array(transform.A).reshape(d, d)
            sample = np.ascontiguousarray(sample @ learned.T)
        quantizer.train(sample)
        centroids = faiss.vector_to_array(quantizer.centroids)
        return cls(centroids.reshape(n_subvectors, n_centroids, d // n_subvectors), learned)

    @property
    def dimensions(self) -> int:
        """The length d of the vectors."""
        return int(self.codebook.shape[0] * self.codebook.shape[2])

    @property
    def n_subvectors(self) -> int:
        """M, the bytes of a code."""
        return int(self.codebook.shape[0])

    @property
    def n_centroids(self) -> int:
        """K, the codewords of a slice."""
        return int(self.codebook.shape[1])

    @property
    def nbytes(self) -> int:
        """The memory of codebook, rotation and query map."""
        return sum(array.nbytes for array in self.arrays().values())

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides what a code means to a document."""
        digest = hashlib.sha256(repr(self.codebook.shape).encode())
        digest.update(self.codebook.tobytes())
        if self.rotation is not None:
            digest.update(self.rotation.tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """What it consists of, by name."""
        named = {"codebook": self.codebook, "rotation": self.rotation, "query_map": self.query_map}
        return {name: array for name, array in named.items() if array is not None}

    def encode(self, X: np.ndarray) -> np.ndarray:
        """The codes of vectors (n, d): the nearest codeword of each slice by L2; (n, M), uint8.

        A row's code does not depend on the other rows or on how many there are.
        """
        X = self._checked(X)
        codes = np.empty((len(X), self.n_subvectors), np.uint8)
        for start in range(0, len(X), ENCODE_ROWS):
            block = X[start : start + ENCODE_ROWS]
            codes[start : start + len(block)] = self._encode_block(block)
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The vectors that codes (n, M) stand for; (n, d), float32, rotated back."""
        self._check_codes(codes)
        z: np.ndarray = self.codebook[np.arange(self.n_subvectors), codes].reshape(len(codes), self.dimensions)
        return z if self.rotation is None else z @ self.rotation

    def tables(self, query: np.ndarray) -> np.ndarray:
        """The inner product of each slice of the mapped query (d,) with each codeword; (M, K)."""
        slices = self.mapped(query.reshape(1, -1))[0].reshape(self.n_subvectors, -1)
        products: np.ndarray = np.einsum("md,mkd->mk", slices, self.codebook)
        return products

    def mapped(self, queries: np.ndarray) -> np.ndarray:
        """Queries (n, d) as they are compared with codewords, ``R W q``."""
        queries = self._checked(queries)
        if self.query_map is not None:
            queries = queries @ self.query_map.T
        return queries if self.rotation is None else queries @ self.rotation.T

    def search(self, queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` codes with the highest scores, best first, ties by row.

        Returns:
            Scores and rows, both of shape (n_queries, min(k, n)).

        """
        self._check_codes(codes)
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        scan = TableScan(self.codebook, codes)
        found = [scan.best(query, min(k, len(codes))) for query in self.mapped(queries)]
        shape = (len(found), min(k, len(codes)))
        return (
            np.array([scores for _, scores in found], np.float32).reshape(shape),
            np.array([rows for rows, _ in found], np.int64).reshape(shape),
        )

    def _encode_block(self, block: np.ndarray) -> np.ndarray:
        # Always the same shape, so that a row's rounding does not depend on how many rows came with it.
        padded = np.zeros((ENCODE_ROWS, self.dimensions), np.float32)
        padded[: len(block)] = block
        if self.rotation is not None:
            padded = padded @ self.rotation.T
        codes = np.empty((len(block), self.n_subvectors), np.uint8)
        width = self.codebook.shape[2]
        for m, (codewords, half_norms) in enumerate(zip(self.codebook, self._half_norms, strict=True)):
            closeness = padded[:, m * width : (m + 1) * width] @ codewords.T - half_norms
            codes[:, m] = closeness[: len(block)].argmax(axis=1)
        return codes

    def _checked(self, X: np.ndarray) -> np.ndarray:
        X = np.ascontiguousarray(X, np.float32)
        if X.ndim != 2 or X.shape[1] != self.dimensions:
            raise InputError(f"has shape {X.shape}, the quantiser is for vectors of (n, {self.dimensions})")
        if not np.isfinite(X).all():
            raise InputError("holds NaN or infinity", where="vectors to quantise")
        return X

    def _check_codes(self, codes: np.ndarray) -> None:
        if codes.ndim != 2 or codes.shape[1] != self.n_subvectors or codes.dtype != np.uint8:
            raise InputError(
                f"these are not codes of this quantiser: {codes.dtype} of shape {codes.shape}, "
                f"not uint8 of (n, {self.n_subvectors})"
            )
        if self.n_centroids < MAX_CENTROIDS and codes.size and codes.max() >= self.n_centroids:
            raise InputError(f"these are codes of another quantiser: {codes.max()} of {self.n_centroids} codewords")

    def _square(self, matrix: np.ndarray | None, name: str) -> np.ndarray | None:
        if matrix is None:
            return None
        if matrix.shape != (self.dimensions, self.dimensions):
            raise InputError(f"must have shape ({self.dimensions}, {self.dimensions})", where=f"{name}: {matrix.shape}")
        return np.ascontiguousarray(matrix, np.float32)


class ProductCodes:
    """The coarse stage `pq`: product codes of the rows of a bank, searched without reading a vector.

    Its parameter is the number of bytes a vector.

    Attributes:
        quantizer: what made the codes.

    """

    kind: ClassVar[str] = "pq"

    def __init__(self, quantizer: ProductQuantizer, codes: np.ndarray | None = None, encoder: str = "") -> None:
        if codes is None:
            codes = np.zeros((0, quantizer.n_subvectors), np.uint8)
        self.quantizer = quantizer
        self._encoder = encoder
        self._scan = TableScan(quantizer.codebook, codes)

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Learn a rotation and a codebook from sampled rows; `extend` then makes the codes.

        A bank with fewer than 256 rows gets fewer codewords, a power of two; one with fewer rows than dimensions gets
        no rotation.

        Args:
            bank: the vectors.
            parameter: bytes a vector; it must divide the dimensions. By default the largest divisor that is at
                most an eighth of them.
            random_state: seed.

        Raises:
            InputError: the parameter does not fit the vectors, or there are none.

        """
        if not len(bank):
            raise InputError("holds no vectors to learn a codebook from", where=str(bank.path))
        n_bytes = _default_bytes(bank.dimensions) if parameter is None else parameter
        sample = bank[sampled_rows(bank, random_state)]
        n_centroids = 1 << (min(MAX_CENTROIDS, len(sample)).bit_length() - 1)
        rotation = "opq" if len(sample) >= bank.dimensions else "none"
        return cls(ProductQuantizer._learned(sample, n_bytes, n_centroids, rotation, random_state))

    @property
    def n_rows(self) -> int:
        """How many rows have codes."""
        return self._scan.n

    @property
    def nbytes(self) -> int:
        """The memory of codes and quantiser."""
        return self.n_rows * self.quantizer.n_subvectors + self.quantizer.nbytes

    def extend(self, bank: Bank) -> None:
        """Make the codes of rows that have none yet.

        Raises:
            InputError: the bank's vectors have another length, or another model made them.

        """
        if bank.dimensions != self.quantizer.dimensions:
            raise InputError(
                f"holds vectors of {bank.dimensions} dimensions, the codebook is for {self.quantizer.dimensions}",
                where=str(bank.path),
            )
        encoder = str(bank.provenance.get("model_fingerprint", ""))
        if self.n_rows and encoder != self._encoder:
            raise InputError(
                "was made by another model than the rows that have codes", where=str(bank.path), hint="Fit codes anew"
            )
        self._encoder = encoder
        # From the first row of a block, so that rounding does not depend on where the last piece ended.
        for start, block in new_rows(bank, self.n_rows - self.n_rows % ENCODE_ROWS, ROWS_AT_ONCE):
            self._scan.add(self.quantizer.encode(block)[max(0, self.n_rows - start) :])

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        """The `n` allowed rows with the highest coded scores, best first, ties by row; fewer when fewer are allowed.

        Args:
            query: shape (d,).
            n: how many.
            allowed: which rows; shape (n_rows,), bool.

        """
        return self.scored_candidates(query, n, allowed)[0]

    def scored_candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `candidates`, with the coded scores."""
        if allowed.shape != (self.n_rows,):
            raise InputError(f"allowed has shape {allowed.shape}, there are codes of {self.n_rows} rows")
        mapped = self.quantizer.mapped(np.asarray(query).reshape(1, -1))[0]
        return self._scan.best_allowed(mapped, n, allowed)

    def save(self, path: Path) -> None:
        """Write quantiser and codes as an artifact."""
        card: dict[str, Any] = {"encoder": self._encoder, "quantizer": self.quantizer.fingerprint}
        artifact.save(path, f"coarse-{self.kind}", {**self.quantizer.arrays(), "codes": self._scan.codes}, card)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged, or its codes are of another quantiser.

        """
        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        quantizer = ProductQuantizer(arrays["codebook"], arrays.get("rotation"), arrays.get("query_map"))
        if quantizer.fingerprint != card.get("quantizer"):
            raise ArtifactError("holds codes of another quantiser", where=str(path), hint="Make the codes again")
        return cls(quantizer, arrays["codes"], card["encoder"])


def _default_bytes(dimensions: int) -> int:
    most = max(1, dimensions // 8)
    return max(divisor for divisor in range(1, most + 1) if dimensions % divisor == 0)


def _check_fit(X: np.ndarray, n_subvectors: int, n_centroids: int, rotation: str) -> None:
    problems = []
    if X.ndim != 2:
        raise InputError(f"vectors must have shape (n, d), not {X.shape}")
    if n_subvectors < 1 or X.shape[1] % n_subvectors:
        problems.append(f"vectors of {X.shape[1]} dimensions cannot be cut into {n_subvectors} equal slices")
    if not 1 <= n_centroids <= MAX_CENTROIDS or n_centroids & (n_centroids - 1):
        problems.append(f"the number of codewords must be a power of two up to {MAX_CENTROIDS}, not {n_centroids}")
    elif len(X) < n_centroids:
        problems.append(f"{len(X)} vectors cannot give {n_centroids} codewords")
    if rotation == "opq" and len(X) < X.shape[1]:  # faiss ends the process
        problems.append(f"{len(X)} vectors of {X.shape[1]} dimensions are too few for rotation 'opq': use 'none'")
    if rotation not in ROTATIONS:
        problems.append(f"rotation must be one of {', '.join(ROTATIONS)}, not {rotation!r}")
    if not np.isfinite(X).all():
        problems.append("the vectors hold NaN or infinity")
    if problems:
        raise InputError("; ".join(problems), where="ProductQuantizer.fit")
