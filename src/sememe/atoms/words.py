"""Texts as sparse presence of terms: stemmed words and pairs of neighbouring words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

MAX_TOKENS = 640  # of one text; a label needs no more
# Words are letters and digits, from a letter on; spaces, `_` and `-` join words to pairs, and numbers and other
# characters part them.
_TOKEN = re.compile(r"[^\W\d_][^\W_]*|\d+|[^\s\w-]")
_ACRONYMS = re.compile(r"[^\Waeiouy_]{2,}s")
_LOWER_SHARE = 0.2
_PREFIXES = frozenset("anti bi co cross free inter intra multi non post pre quasi self semi sub super un".split())  # noqa: SIM905
_STOP = frozenset(
    """
    a able about above across additional additionally after again against all allow allows almost along already also
    although always among an and another any approach are as at available be because been before being below best
    better between both but by can cannot case cases certain common consider considered considering consists could
    current currently did different do does doing don done due during e each easily either else enough especially et
    etc even every example existing far few first following for found from further g general generally get give
    given gives good has have having hence here high how however i ie if important in including into introduce is it
    its itself just key know known large later least less let like ll low made main make makes making many may me
    means method methods might more moreover most much multiple must my namely near need needed needs neither new
    next no nor not note novel now number obtain obtained of often on once one only or order other others otherwise
    our out over own paper particular particularly per perform performance performed perhaps possible potential
    present presented previous problem problems propose proposed provide provided provides rather re recent recently
    related require required requires respectively result results s same second see several shall she should show
    showing shown shows similar since single small so some specific specifically still studied study such t take
    than that the their them themselves then there thereby therefore these they third this those though three
    through throughout thus to together too toward towards two type typically under unlike until up upon us use used
    useful user uses using usually various ve very via want was way ways we well were what when where whereas
    whether which while who whole whose why will with within without work works would yet you your
    mathbb mathbf mathcal mathrm mathsf textbf textit texttt emph frac
    """.split()  # noqa: SIM905
)


def says_little(word: str) -> bool:
    """Whether a word stands in abstracts of all fields, so that it says nothing of what one is about."""
    return word.casefold() in _STOP


@dataclass(frozen=True)
class Terms:
    """Which term occurs in which text.

    Attributes:
        presence: (n_texts, n_terms) of 0/1, float32.
        names: the term as it is written most often, such as "LLM" or "gradient descent".
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


def terms(
    texts: Iterable[str], *, minimum_texts: int = 2, minimum_pair_texts: int = 3, maximum_share: float = 0.3
) -> Terms:
    """Count terms.

    Args:
        texts: read once, in order.
        minimum_texts: rarer terms are dropped.
        minimum_pair_texts: rarer pairs are dropped.
        maximum_share: words in more than this share of the texts are dropped, stop words of any language among them.
    """
    from scipy.sparse import hstack

    written = _Numbers()
    lookup = written.__getitem__
    numbers = [np.fromiter(map(lookup, _TOKEN.findall(text)[:MAX_TOKENS]), np.int64) for text in texts]
    n_texts = len(numbers)
    text_of = np.repeat(np.arange(n_texts), np.array([len(row) for row in numbers], np.int64))
    flat = np.concatenate([*numbers, np.empty(0, np.int64)])
    lower_of, names = _spellings(list(written), np.bincount(flat, minlength=len(written)))
    flat = lower_of[flat]
    stem_of, n_stems = _stems(list(names))
    stem = stem_of[flat]
    counted = stem >= 0
    words = _presence(text_of[counted], stem[counted], n_texts, n_stems)
    frequency = np.diff(words.indptr)
    kept = np.flatnonzero((frequency >= minimum_texts) & (frequency <= max(minimum_texts, maximum_share * n_texts)))
    number = np.full(n_stems + 1, -1, np.int64)
    number[kept] = np.arange(len(kept))
    number = number[stem_of]
    pairs, parts, spelled = _pairs(flat, number, text_of, n_texts, max(minimum_pair_texts, minimum_texts))
    spelling = _commonest(number, np.bincount(flat, minlength=len(names)))
    shown = list(names.values())
    singles = np.column_stack([np.arange(len(kept)), np.full(len(kept), -1)])
    means_something = np.array([shown[word] not in _PREFIXES for word in spelling], np.float32)
    alone = words[:, kept].multiply(means_something[None]).tocsc()
    alone.eliminate_zeros()
    return Terms(
        hstack([alone, pairs], format="csr"),
        [shown[word] for word in spelling] + [f"{shown[first]} {shown[second]}" for first, second in spelled],
        np.concatenate([singles, parts]),
    )


def _spellings(written: list[str], counts: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    """For each way of writing the number of its lower-case form; and how each lower-case form is shown.

    A form is shown in lower case unless that is rare, as for names and acronyms: then as it is written most often.
    """
    numbers = _Numbers()
    lower_of = np.array([numbers[word.lower()] for word in written], np.int64)
    variants: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for word, count in zip(written, counts.tolist(), strict=True):
        variants[word.lower()].append((-count, word))
    names = {}
    for lower in numbers:
        found = variants[lower]
        in_lower = -sum(count for count, word in found if word == lower)
        common = in_lower >= _LOWER_SHARE * -sum(count for count, _ in found)
        names[lower] = lower if common else min(found)[1]
    return lower_of, names


def _stems(words: list[str]) -> tuple[np.ndarray, int]:
    """A stem number for each lower-case word, -1 for what is no term of its own; and how many stems there are."""
    import Stemmer

    known = set(words)
    # The stemmer leaves the s of "llms" and "gps", which have no vowel.
    singular = [word[:-1] if _ACRONYMS.fullmatch(word) and word[:-1] in known else word for word in words]
    numbers = _Numbers()
    stems = Stemmer.Stemmer("english").stemWords(singular)
    of = [
        -1 if word in _STOP or len(word) < 2 or word[0].isdigit() else numbers[stem]
        for word, stem in zip(words, stems, strict=True)
    ]
    return np.array(of, np.int64), len(numbers)


def stems_of(term: str) -> tuple[str, ...]:
    """The stems of the words of a term, under which its spellings are one."""
    import Stemmer

    return tuple(Stemmer.Stemmer("english").stemWords(term.lower().split()))


def _presence(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> csc_matrix:
    from scipy.sparse import coo_matrix

    matrix = coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_rows, n_columns)).tocsc()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _pairs(
    flat: np.ndarray, number: np.ndarray, text_of: np.ndarray, n_texts: int, minimum_texts: int
) -> tuple[csc_matrix, np.ndarray, np.ndarray]:
    """Pairs of kept words that stand side by side in at least `minimum_texts` texts.

    Args:
        flat: the words of all texts, one after the other.
        number: for each word the number of its term, -1 for none.
        text_of: the text of each place in `flat`.
        n_texts: how many texts there are.
        minimum_texts: rarer pairs are dropped.

    Returns:
        Which pair is in which text; the terms that each consists of; the words that it is mostly written with.
    """
    beside = np.flatnonzero(text_of[:-1] == text_of[1:])
    first, second = number[flat[beside]], number[flat[beside + 1]]
    together = (first >= 0) & (second >= 0) & (first != second)
    beside, first, second = beside[together], first[together], second[together]
    n_terms, n_words = max(1, int(number.max(initial=0)) + 1), max(1, len(number))
    keys, of = np.unique(first * n_terms + second, return_inverse=True)
    presence = _presence(text_of[beside], of, n_texts, len(keys))
    kept = np.flatnonzero(np.diff(presence.indptr) >= minimum_texts)
    column = np.full(len(keys), -1, np.int64)
    column[kept] = np.arange(len(kept))
    spelled, place, counts = np.unique(flat[beside] * n_words + flat[beside + 1], return_index=True, return_counts=True)
    spelled = spelled[_commonest(column[of[place]], counts)]
    parts = np.column_stack([keys[kept] // n_terms, keys[kept] % n_terms])
    return presence[:, kept], parts, np.column_stack([spelled // n_words, spelled % n_words])


def _commonest(group: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each group, numbered from 0, its member with the highest count; the first one of equals."""
    order = np.lexsort((np.arange(len(group)), -counts, group))
    order = order[group[order] >= 0]
    first = np.ones(len(order), bool)
    first[1:] = group[order[1:]] != group[order[:-1]]
    best: np.ndarray = order[first]
    return best
