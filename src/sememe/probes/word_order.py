"""Whether a text encoder uses the order of words, or only which words there are.

After Yuksekgonul et al. (2022), for encoders of texts. An encoder is a function from texts to vectors (n, d); every
text is encoded once. Scores are cosines, and ties within `TIE` count as half for each side: with float noise, an
encoder that ignores order would otherwise score anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError, ModelError
from sememe.models.encoder import normalized
from sememe.probes.linear import wilson
from sememe.probes.perturb import Perturber, pre_caption
from sememe.probes.swap_templates import SwapCase
from sememe.probes.tagging import words_of

Encode = Callable[[list[str]], np.ndarray]
TIE = 1e-5
LEAST_WORDS, N_SWAPS = 2, 2


@dataclass(frozen=True)
class Preference:
    """How often the true text is preferred to a false one.

    Attributes:
        accuracy: over all cases; ties count one half.
        interval: its 95% interval (Wilson's).
        macro: mean over kinds.
        by_kind: accuracy of each kind.
        ties: share of cases that are ties.
        true: mean cosine of the reference and the true text.
        false: of the reference and the false one.
        n: cases.
    """

    accuracy: float
    interval: tuple[float, float]
    macro: float
    by_kind: Mapping[str, float]
    ties: float
    true: float
    false: float
    n: int


@dataclass(frozen=True)
class OrderReport:
    """A true text against four perturbations of it.

    Attributes:
        p_at_1: how often the true one is nearest to the query; k texts that tie for it share 1.
        interval: its 95% interval.
        chance: what guessing scores with the options that are left.
        pairwise: perturbation -> how often the true text beats it; without one that changed no text.
        unchanged: perturbation -> share of texts that came out as they were; that option is then dropped.
        ties: share of comparisons that are ties.
        skipped: texts of fewer than two words.
        n: texts.
    """

    p_at_1: float
    interval: tuple[float, float]
    chance: float
    pairwise: Mapping[str, float]
    unchanged: Mapping[str, float]
    ties: float
    skipped: int
    n: int


@dataclass(frozen=True)
class Sensitivity:
    """How far a text moves when its words are put in another order, beside how far other texts are.

    Attributes:
        cosine: perturbation -> mean cosine of a text and its perturbation; `swaps` are of two words of one kind.
        nearer: perturbation -> share of texts whose perturbation is nearer than the nearest other text.
        nearest_other: mean cosine to the nearest other text.
        random_pair: median cosine of two texts.
        n_swaps: how many swaps there were.
        n: texts.
        skipped: texts of fewer than two words, and repeated ones.
    """

    cosine: Mapping[str, float]
    nearer: Mapping[str, float]
    nearest_other: float
    random_pair: float
    n_swaps: int
    n: int
    skipped: int


def swap_test(encode: Encode, cases: Sequence[SwapCase]) -> Preference:
    """How often the reference is nearer to the true text than to the false one.

    Raises:
        InputError: there are no cases.
        ModelError: the encoder gives something that is not a finite vector a text.
    """
    if not cases:
        raise InputError("there are no cases", where="swap_test")
    vectors = _Vectors(encode, [text for case in cases for text in (case.reference, case.true, case.false)])
    true = vectors.cosines([case.reference for case in cases], [case.true for case in cases])
    false = vectors.cosines([case.reference for case in cases], [case.false for case in cases])
    return preference(true, false, [case.kind for case in cases])


def preference(true: np.ndarray, false: np.ndarray, kinds: Sequence[str]) -> Preference:
    """Sum up scores of true and false texts (n,), higher for what is preferred.

    Raises:
        ModelError: a score is not a number.
    """
    if not (np.isfinite(true).all() and np.isfinite(false).all()):
        raise ModelError("a score is not a number", where="preference")
    tied = np.abs(true - false) <= TIE
    right = np.where(tied, 0.5, true > false)
    named = np.array(kinds)
    by_kind = {kind: float(right[named == kind].mean()) for kind in dict.fromkeys(kinds)}
    return Preference(
        accuracy=float(right.mean()),
        interval=wilson(round(float(right.sum())), len(right)),
        macro=float(np.mean(list(by_kind.values()))),
        by_kind=by_kind,
        ties=float(tied.mean()),
        true=float(true.mean()),
        false=float(false.mean()),
        n=len(right),
    )


def order_test(encode: Encode, pairs: Sequence[tuple[str, str]], perturber: Perturber) -> OrderReport:
    """How often a query finds the true text among four perturbations of it (COCO-Order, for texts).

    Args:
        encode: the encoder.
        pairs: a query and a text that says the same, such as two captions of one image.
        perturber: makes the options.

    Raises:
        InputError: no text has two words.
    """
    kept = [(query, text) for query, text in pairs if len(words_of(text)) >= LEAST_WORDS]
    if not kept:
        raise InputError("no text has two words", where="order_test")
    options = [_options(text, perturber) for _, text in kept]
    trues = [pre_caption(" ".join(words_of(text))) for _, text in kept]
    queries = [pre_caption(query) for query, _ in kept]
    vectors = _Vectors(encode, [*queries, *trues, *(text for made in options for text in made.values())])
    true = vectors.cosines(queries, trues)
    others = {
        kind: np.array([_cosine_or_nan(vectors, *pair, kind) for pair in zip(queries, options, strict=True)])
        for kind in perturber.kinds
    }
    table = np.stack(list(others.values()))
    known = ~np.isnan(table)
    beaten = np.where(known, true - np.nan_to_num(table) > TIE, True).all(axis=0)
    tied = known & (np.abs(true - np.nan_to_num(table)) <= TIE)
    best = np.where(known, true - np.nan_to_num(table) >= -TIE, True).all(axis=0)
    score = np.where(beaten, 1.0, np.where(best, 1 / (1 + tied.sum(axis=0)), 0.0))
    return OrderReport(
        p_at_1=float(score.mean()),
        interval=wilson(round(float(score.sum())), len(score)),
        chance=float((1 / (1 + known.sum(axis=0))).mean()),
        pairwise={kind: _beats(true, values) for kind, values in others.items() if not np.isnan(values).all()},
        unchanged={kind: float(np.isnan(values).mean()) for kind, values in others.items()},
        ties=float(tied.sum() / max(1, known.sum())),
        skipped=len(pairs) - len(kept),
        n=len(kept),
    )


def sensitivity(encode: Encode, texts: Sequence[str], perturber: Perturber) -> Sensitivity:
    """Cosines of texts and their perturbations, beside the nearest other text.

    Raises:
        InputError: fewer than two different texts have two words.
    """
    trues = list(dict.fromkeys(pre_caption(" ".join(words_of(text))) for text in texts))
    trues = [text for text in trues if len(words_of(text)) >= LEAST_WORDS]
    if len(trues) < 2:
        raise InputError("needs two different texts of two words or more", where="sensitivity")
    options = [_options(text, perturber) for text in trues]
    swaps = [(text, other) for text in trues for other in perturber.negatives(text, most=N_SWAPS)]
    vectors = _Vectors(
        encode, [*trues, *(text for made in options for text in made.values()), *(other for _, other in swaps)]
    )
    X = vectors.of(trues)
    cosines = X @ X.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines.max(axis=1)
    pairs = {kind: [(row, made[kind]) for row, made in enumerate(options) if kind in made] for kind in perturber.kinds}
    pairs["swaps"] = [(trues.index(text), other) for text, other in swaps]
    cosine, nearer = {}, {}
    for kind, found in pairs.items():
        if found:
            rows = np.array([row for row, _ in found])
            values = vectors.cosines([trues[row] for row in rows], [other for _, other in found])
            cosine[kind], nearer[kind] = float(values.mean()), float((values > nearest[rows]).mean())
    upper = cosines[np.triu_indices(len(trues), 1)]
    return Sensitivity(
        cosine, nearer, float(nearest.mean()), float(np.median(upper)), len(swaps), len(trues), len(texts) - len(trues)
    )


class BagOfWords:
    """Counts of words at unit length, of exactly the texts that it is given: what an encoder without order scores."""

    name = "bag of words"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (n, words of these texts), float32."""
        counted = [Counter(word.lower() for word in words_of(text)) for text in texts]
        places = {word: place for place, word in enumerate(dict.fromkeys(w for found in counted for w in found))}
        vectors = np.zeros((len(texts), max(1, len(places))), np.float32)
        for row, found in enumerate(counted):
            vectors[row, [places[word] for word in found]] = list(found.values())
        return normalized(vectors)


class _Vectors:
    """Unit vectors of texts, each encoded once."""

    def __init__(self, encode: Encode, texts: Sequence[str]) -> None:
        unique = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(unique)}
        vectors = np.asarray(encode(unique))
        if vectors.ndim != 2 or len(vectors) != len(unique) or not np.isfinite(vectors).all():
            raise ModelError(
                f"the encoder gave {vectors.shape} for {len(unique)} texts, or numbers that are not finite",
                hint="It must give one finite vector a text",
            )
        self._vectors = normalized(vectors.astype(np.float64))

    def of(self, texts: Sequence[str]) -> np.ndarray:
        found: np.ndarray = self._vectors[[self._rows[text] for text in texts]]
        return found

    def cosine(self, one: str, other: str) -> float:
        return float(self._vectors[self._rows[one]] @ self._vectors[self._rows[other]])

    def cosines(self, ones: Sequence[str], others: Sequence[str]) -> np.ndarray:
        found: np.ndarray = np.einsum("nd,nd->n", self.of(ones), self.of(others))
        return found


def _options(text: str, perturber: Perturber) -> dict[str, str]:
    """The perturbations of a text, as captions; one that changed nothing is left out."""
    true = pre_caption(" ".join(words_of(text)))
    made = {kind: pre_caption(perturb(text)) for kind, perturb in perturber.kinds.items()}
    return {kind: out for kind, out in made.items() if out != true}


def _cosine_or_nan(vectors: _Vectors, query: str, made: Mapping[str, str], kind: str) -> float:
    return vectors.cosine(query, made[kind]) if kind in made else float("nan")


def _beats(true: np.ndarray, others: np.ndarray) -> float:
    known = ~np.isnan(others)
    difference = true[known] - others[known]
    return float(np.where(np.abs(difference) <= TIE, 0.5, difference > 0).mean())
