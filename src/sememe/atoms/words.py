"""Texts as sparse presence of terms: stemmed words and pairs of neighbouring words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_WORDS = 512  # of one text; a label needs no more
_WORD = re.compile(r"[^\W\d_][^\W_]*")  # letters and digits, from a letter on; `_` and `-` separate
_STOP = frozenset(
    """
    a able about above across after again against all allow allows almost along already also although always among an
    and another any approach are as at available be because been before being below best better between both but by
    can cannot case cases certain common could current currently did different do does doing done don due during e each
    easily either else enough especially et etc even every example existing far few first following for found from
    further g general generally get give given gives good has have having hence here high how however i ie if important
    in including into introduce is it its itself just key know known large later least less let like ll low made main
    make makes making many may me means method methods might more moreover most much multiple must my namely near need
    needed needs neither new next no nor not note novel now number obtain obtained of often on once one only or order
    other others otherwise our out over own paper particular particularly per perform performance performed perhaps
    possible potential present presented previous problem problems propose proposed provide provided provides rather
    re recent recently related require required requires respectively result results s same second see several shall
    she should show showing shown shows similar since single small so some specific specifically still studied study
    such t take than that the their them themselves then there thereby therefore these they third this those though
    three through throughout thus to together too toward towards two type typically under unlike until up upon us use
    used useful user uses using usually ve various very via want was way ways we well were what when where whereas
    whether which while who whole whose why will with within without work works would yet you your
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Terms:
    """Which term occurs in which text.

    Attributes:
        presence: (n_texts, n_terms) of 0/1, float32.
        names: the term as it is written most often; a pair has a space in it.
        parts: for each term the word numbers that it consists of: two for a pair, the second -1 for a word.
    """

    presence: csr_matrix
    names: list[str]
    parts: np.ndarray


class _Numbers(dict[str, int]):
    """Numbers words in order of first appearance."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def terms(texts: Iterable[str], *, minimum_texts: int = 2, maximum_share: float = 0.3) -> Terms:
    """Count terms.

    Args:
        texts: read once, in order.
        minimum_texts: rarer terms are dropped.
        maximum_share: words in more than this share of the texts are dropped, stop words of any language among them.
    """
    written = _Numbers()
    lookup = written.__getitem__
    numbers = [
        np.fromiter(map(lookup, _WORD.findall(text.lower())[:MAX_WORDS]), np.int64)  # one array a text, joined below
        for text in texts
    ]
    n_texts = len(numbers)
    lengths = np.array([len(row) for row in numbers], np.int64)
    flat = np.concatenate([*numbers, np.empty(0, np.int64)])
    text_of = np.repeat(np.arange(n_texts), lengths)
    stem_of, stems = _stems(list(written))
    counts = np.bincount(flat, minlength=len(written))
    stem = stem_of[flat]
    keep = stem >= 0
    words = _presence(text_of[keep], stem[keep], n_texts, stems)
    frequency = np.diff(words.indptr)
    kept = np.flatnonzero((frequency >= minimum_texts) & (frequency <= max(minimum_texts, maximum_share * n_texts)))
    number = np.full(stems + 1, -1, np.int64)
    number[kept] = np.arange(len(kept))
    names = _names(list(written), stem_of, counts, kept)
    pairs, pair_parts = _pairs(number[stem], text_of, n_texts, len(kept), max(3, minimum_texts))
    from scipy.sparse import hstack

    parts = np.concatenate([np.stack([np.arange(len(kept)), np.full(len(kept), -1)], axis=1), pair_parts])
    pair_names = [f"{names[first]} {names[second]}" for first, second in pair_parts]
    return Terms(hstack([words[:, kept], pairs], format="csr"), names + pair_names, parts)


def _stems(written: list[str]) -> tuple[np.ndarray, int]:
    """A stem number for each written word, -1 for stop words and single letters; and how many stems there are."""
    import Stemmer

    numbers = _Numbers()
    stems = Stemmer.Stemmer("english").stemWords(written)
    of = [-1 if word in _STOP or len(word) < 2 else numbers[stem] for word, stem in zip(written, stems, strict=True)]
    return np.array(of, np.int64), len(numbers)


def _presence(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> csr_matrix:
    from scipy.sparse import coo_matrix

    matrix = coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_rows, n_columns)).tocsc()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _pairs(
    number: np.ndarray, text_of: np.ndarray, n_texts: int, n_words: int, minimum_texts: int
) -> tuple[csr_matrix, np.ndarray]:
    """Pairs of kept words that stand side by side in at least `minimum_texts` texts."""
    first, second = number[:-1], number[1:]
    beside = (first >= 0) & (second >= 0) & (first != second) & (text_of[:-1] == text_of[1:])
    keys, of = np.unique(first[beside] * max(1, n_words) + second[beside], return_inverse=True)
    presence = _presence(text_of[:-1][beside], of, n_texts, len(keys))
    kept = np.flatnonzero(np.diff(presence.indptr) >= minimum_texts)
    parts = np.stack([keys[kept] // max(1, n_words), keys[kept] % max(1, n_words)], axis=1)
    return presence[:, kept], parts


def _names(written: list[str], stem_of: np.ndarray, counts: np.ndarray, kept: np.ndarray) -> list[str]:
    """The commonest way of writing each kept stem; then the shortest, then the first in the alphabet."""
    best: dict[int, tuple[int, int, str]] = {}
    for word, stem, count in zip(written, stem_of.tolist(), counts.tolist(), strict=True):
        entry = (-count, len(word), word)
        if stem >= 0 and (stem not in best or entry < best[stem]):
            best[stem] = entry
    return [best[stem][2] for stem in kept.tolist()]
