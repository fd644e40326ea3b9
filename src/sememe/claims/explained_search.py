"""Explained search: a few learned atoms account for a score, better than any other directions that are as few."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.directions import (
    keep_largest,
    kmeans_directions,
    principal_directions,
    random_directions,
)
from sememe.claims.score_parts import ScoreParts

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.corpus import Document
    from sememe.search import Hit, Index

N_FOLDS = 5
N_HITS = 10
N_PLANTED = 2000
EQUALLY_FEW = ("pca_first", "pca_largest", "random_omp", "kmeans_omp")
"""The baselines whose codes have as many active components as the atoms have on average."""


@dataclass(frozen=True)
class _Size:
    """How large a run is. `data` is a data set's name, or None for planted vectors."""

    data: str | None
    n_queries: int
    n_atoms: int
    options: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": _Size(None, 100, 64, {"target_active": 6.0, "steps": 800}),
    "small": _Size("papers-ml", 300, 1024),
    "full": _Size("papers-arxiv", 500, 4096),
}


@dataclass(frozen=True)
class _Prepared:
    index: Index
    size: _Size


@dataclass(frozen=True)
class _Found:
    """What was searched, with what, and the hits of each query."""

    index: Index
    atoms: Atoms
    atomic: Atoms
    train: np.ndarray
    queries: np.ndarray
    hits: Sequence[Sequence[Hit]]


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Build the index of all documents, or open the one that an earlier run left in the work folder."""
    from sememe import Encoder
    from sememe.claims.planted import PlantedEncoder, planted_documents
    from sememe.corpus import read
    from sememe.search import Index

    size = SIZES[setting.scale]
    if size.data is None:
        documents = planted_documents(N_PLANTED)
        encoder = cast("Any", PlantedEncoder(N_PLANTED))
        key = encoder.fingerprint
    else:
        path = setting.data(size.data) / "papers.jsonl.gz"
        documents, encoder = iter(read(path)), Encoder.load("minilm")
        # Other data or another encoder make another index, instead of one that is found and does not fit.
        key = hashlib.sha256(encoder.fingerprint.encode() + path.read_bytes()).hexdigest()[:16]
    with Index.build(map(_with_fold, documents), encoder, setting.work / f"{key}.index", resume=True) as index:
        yield _Prepared(index, size)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Learn atoms without one fifth of the documents; explain searches among that fifth, with atoms and with rivals."""
    from sememe.atoms import Atoms
    from sememe.search.learning import SENTENCE_RATE

    index, size, fold = prepared.index, prepared.size, seed % N_FOLDS
    documents = list(index.documents())
    folds = np.array([document.metadata["fold"] for document in documents])
    train = index.bank[np.flatnonzero(folds[index.bank.documents] != fold)]
    options = {"random_state": seed, "learning_rate": SENTENCE_RATE, **size.options}
    atoms = Atoms.fit(train, size.n_atoms, **options)
    atomic = Atoms.fit(train, size.n_atoms, space="atomic", **options)

    held_out = [document for document in documents if document.metadata["fold"] == fold and document.title.strip()]
    chosen = np.random.default_rng([seed, 4]).permutation(len(held_out))[: size.n_queries]
    asked = [held_out[number] for number in np.sort(chosen)]
    queries = np.asarray(index.encoder.encode_query([document.title for document in asked]), np.float32)
    found = index.search_batch(queries, N_HITS + 1, where={"fold": fold}, explain=atoms)
    hits = [
        [hit for hit in of_query if hit.document.id != document.id][:N_HITS]
        for document, of_query in zip(asked, found, strict=True)
    ]
    return _figures(_Found(index, atoms, atomic, train, queries, hits), seed)


def _with_fold(document: Document) -> Document:
    return replace(document, metadata={"fold": zlib.crc32(document.id.encode()) % N_FOLDS})


def _figures(found: _Found, seed: int) -> dict[str, float]:
    atoms, flat = found.atoms, [hit for of_query in found.hits for hit in of_query]
    query_of = np.repeat(np.arange(len(found.hits)), [len(of_query) for of_query in found.hits])
    asked, vectors = found.queries[query_of], found.index.bank[[hit.row for hit in flat]]
    shown = _shown_parts(flat, atoms.n_atoms)
    n_active = float((shown.contributions != 0).sum(axis=1).mean())
    rivals = {
        **_principal(found.train, vectors, round(n_active)),
        **_pursued(found, vectors, round(n_active), seed),
        "atoms_encoder": _Coded(atoms.decoder, atoms.bias, atoms.transform(vectors).toarray()),
    }
    parts = {"atoms": shown, **{name: rival.parts(asked, vectors) for name, rival in rivals.items()}}
    figures = {
        "r2 of atoms, held out": float(atoms.card["r2"]),
        "mean active atoms": n_active,
        "largest relative error of a sum": _largest_error(atoms, asked, vectors, flat, shown),
    }
    for name, of_method in parts.items():
        figures[f"{name}: residual share"] = float(of_method.residual_share().mean())
        counts = of_method.parts_to_cover()
        figures[f"{name}: median parts to 80%"] = float(np.median(counts))
        figures[f"{name}: share of scores covered to 80%"] = float((counts <= of_method.contributions.shape[1]).mean())
        figures[f"{name}: cancellation"] = float(of_method.cancellation().mean())
    for name in EQUALLY_FEW:
        figures[_excess(name)] = _upper_difference(shown, parts[name], query_of, seed)
    return figures


def _shown_parts(hits: list[Hit], n_atoms: int) -> ScoreParts:
    """The explanations that the product gave."""
    contributions = np.zeros((len(hits), n_atoms))
    explanations = [hit.explanation for hit in hits]
    bias, residual = np.zeros(len(hits)), np.zeros(len(hits))
    for number, explanation in enumerate(explanations):
        assert explanation is not None
        contributions[number, explanation.atoms] = explanation.contributions
        bias[number], residual[number] = explanation.bias, explanation.residual
    return ScoreParts(contributions, bias, residual)


def _largest_error(atoms: Atoms, queries: np.ndarray, vectors: np.ndarray, hits: list[Hit], shown: ScoreParts) -> float:
    """The largest relative difference between a hit's score and the sum of its parts.

    The residual is computed afresh from the reconstruction: one that was found by subtraction would always add up.
    """
    scores = np.array([hit.score for hit in hits])
    rebuilt = atoms.pursue(vectors) @ atoms.decoder.astype(np.float64) + atoms.bias.astype(np.float64)
    residual = np.einsum("nd,nd->n", queries.astype(np.float64), vectors - rebuilt)
    sums = shown.contributions.sum(axis=1) + shown.bias + residual
    return float(np.max(np.abs(sums - scores) / np.abs(scores)))


@dataclass(frozen=True)
class _Coded:
    """Vectors coded in another way: directions, bias and codes."""

    directions: np.ndarray
    bias: np.ndarray
    codes: np.ndarray

    def parts(self, queries: np.ndarray, vectors: np.ndarray) -> ScoreParts:
        return ScoreParts.of(queries, vectors, self.codes, self.directions, self.bias)


def _principal(train: np.ndarray, vectors: np.ndarray, k: int) -> dict[str, _Coded]:
    mean = train.mean(axis=0, dtype=np.float64)
    directions = principal_directions(train)
    codes = (vectors - mean) @ directions.T
    first = np.where(np.arange(codes.shape[1]) < k, codes, 0.0)
    return {
        "pca_all": _Coded(directions, mean, codes),
        "pca_first": _Coded(directions, mean, first),
        "pca_largest": _Coded(directions, mean, keep_largest(codes, k)),
    }


def _pursued(found: _Found, vectors: np.ndarray, k: int, seed: int) -> dict[str, _Coded]:
    atoms, atomic, train = found.atoms, found.atomic, found.train
    mean = train.mean(axis=0, dtype=np.float64)
    rows, row_of = np.unique(vectors, axis=0, return_inverse=True)  # a document may be a hit of many queries
    from sememe.atoms.recovery import pursuit_codes

    rivals = {
        "random_omp": (random_directions(atoms.n_atoms, atoms.dimensions, seed), mean),
        "kmeans_omp": (kmeans_directions(train, atoms.n_atoms, seed), mean),
        "atomic_omp": (atomic.decoder.astype(np.float64), atomic.bias.astype(np.float64)),
    }
    return {
        name: _Coded(directions, bias, pursuit_codes(directions, rows - bias, k).toarray()[row_of])
        for name, (directions, bias) in rivals.items()
    }


def _upper_difference(shown: ScoreParts, rival: ScoreParts, query_of: np.ndarray, seed: int) -> float:
    """The upper end of the 95% interval of the difference in residual share, atoms minus rival, paired by query."""
    from sememe.evaluation.metrics import compare

    return compare(_by_query(shown, query_of), _by_query(rival, query_of), random_state=seed).high


def _by_query(parts: ScoreParts, query_of: np.ndarray) -> dict[str, float]:
    means = np.bincount(query_of, parts.residual_share()) / np.bincount(query_of)
    return {str(number): float(value) for number, value in enumerate(means)}


def _excess(name: str) -> str:
    return f"{name}: residual share of atoms minus this, upper end"


def _below_all(figures: Figures) -> bool:
    return all(value < 0 for name in EQUALLY_FEW for value in figures[_excess(name)])


def _half_of_pca(figures: Figures) -> bool:
    pairs = zip(figures["atoms: median parts to 80%"], figures["pca_all: median parts to 80%"], strict=True)
    return all(atoms <= 0.5 * pca for atoms, pca in pairs)


CLAIM = Claim(
    id="explained_search",
    title="A hit's score is the exact sum of a few learned atoms, and they leave less of it unexplained than other "
    "directions that are as few",
    protocol="Documents fall into five folds by a hash of their id. For each seed, atoms are learned on four folds "
    "with the product's defaults (small: papers-ml, 8,226 abstracts, MiniLM, 1,024 atoms; full: papers-arxiv, 22,000 "
    "abstracts, 4,096 atoms; tiny: planted vectors). Titles of papers of the fifth fold (300; full 500) are searched "
    "through the index among that fold only, so neither queries nor hits were seen; a paper is not its own hit. The "
    "explanations of the top 10 hits are measured, and the same scores are taken apart with the baselines. A first "
    "run on folds 0 to 2, with codes by the atoms' own encoder, did not hold (residual share 0.076, k-means 0.051) and "
    "showed that the coder was the loss; since then the product explains by pursuit, and small runs on folds 3 and 4, "
    "which that decision has not seen",
    baselines=(
        "`pca_all`: all principal components (as many as dimensions; no residual)",
        "`pca_first`: the first k principal components, k = the mean number of active atoms",
        "`pca_largest`: for each vector the k components with the largest values, the best possible k of that basis",
        "`random_omp`: as many random directions as atoms, coded by orthogonal matching pursuit with k of them",
        "`kmeans_omp`: the directions of as many k-means centroids, coded in the same way; the strong simple one",
        "`atoms_encoder` (for information): the learned atoms, coded by their own encoder instead of by pursuit",
        "`atomic_omp` (for information): atoms learned in coordinates of the atomic inner product, coded by pursuit",
    ),
    metric="Residual share: |residual| / |score|, mean over hits. Parts to 80%: the smallest number of components, "
    "largest absolute contribution first, beside which everything not shown (the other components and the residual, "
    "absolute values added) is at most 20% of |score|; the bias is always shown and not counted; a score that no "
    "number of components covers counts one more than there are. Cancelling parts cannot improve either figure: they "
    "enter no denominator, and each must be shown. Cancellation: the sum of absolute parts / |score|",
    threshold=(
        Condition(
            "in every seed, contributions, bias and a residual computed afresh sum to the score of every hit within "
            "1e-4 relative",
            lambda figures: all(error <= 1e-4 for error in figures["largest relative error of a sum"]),
        ),
        Condition(
            "in every seed, the residual share with atoms is below that of each baseline with equally few components, "
            "the paired 95% bootstrap interval over queries below 0",
            _below_all,
        ),
        Condition(
            "in every seed, the median number of atoms to 80% of a score is at most half of that of all principal "
            "components",
            _half_of_pca,
        ),
    ),
    seeds={"tiny": (0, 1, 2), "small": (3, 4, 8, 9), "full": (0, 1, 2, 3, 4)},
    needs={"small": ("papers-ml",), "full": ("papers-arxiv",)},
    extras={"torch": "models"},
    prepare=prepare,
    measure=measure,
)
