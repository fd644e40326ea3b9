"""Labels for atoms: the words that set the texts an atom fires on apart from the others.

A class-based tf-idf: for atom j and term t, with weights w_i = a_ij / max_i a_ij over the texts that j fires on
most strongly,

    p = (sum_i w_i [t in text i] + q) / (sum_i w_i + 1),    q = share of all texts with t,

and t's score is p log(p / q): how common the term is where the atom fires, times how much rarer it is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sememe.atoms.words import Terms, terms

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOP_ROWS = 50
_BLOCK = 256
_CANDIDATES = 24


def label_atoms(codes: csr_matrix, texts: Iterable[str], *, n_words: int = 3) -> list[str]:
    """A label such as "gzip, compressed, file" for each atom; empty for an atom that fires on no text.

    Args:
        codes: (n, n_atoms).
        texts: n of them, in the order of the codes' rows.
        n_words: how many terms a label has at most.
    """
    found = terms(texts, minimum_texts=2 if codes.shape[0] >= 20 else 1)
    strongest = _strongest(codes)
    share = (found.presence.sum(axis=0).A1 + 0.5) / (codes.shape[0] + 1)
    labels = []
    for start in range(0, codes.shape[1], _BLOCK):
        weights = strongest[start : start + _BLOCK]
        mass = (weights @ found.presence).toarray()
        p = (mass + share) / (np.asarray(weights.sum(axis=1)) + 1)
        scores = np.where(mass > 0, p * np.log(p / share), -np.inf)
        labels += [_label(row, found, n_words) for row in scores]
    return labels


def _strongest(codes: csr_matrix) -> csr_matrix:
    """(n_atoms, n): each atom's strongest activations, relative to its strongest one."""
    columns = codes.tocsc()
    keep = np.zeros(columns.nnz, bool)
    data = columns.data.copy()
    for j in range(columns.shape[1]):
        start, end = columns.indptr[j], columns.indptr[j + 1]
        if start == end:
            continue
        order = np.argsort(-columns.data[start:end], kind="stable")[:TOP_ROWS]
        keep[start + order] = True
        data[start:end] /= data[start:end].max()
    columns.data = np.where(keep, data, 0).astype(np.float32)
    columns.eliminate_zeros()
    return columns.T.tocsr()


def _label(scores: np.ndarray, found: Terms, n_words: int) -> str:
    """The best terms that share no word with a better one."""
    count = min(_CANDIDATES, len(scores))
    best = np.argpartition(-scores, count - 1)[:count] if count else np.empty(0, int)
    best = best[np.lexsort((best, -scores[best]))]
    chosen: list[str] = []
    used: set[int] = {-1}
    for term in best:
        first, second = found.parts[term].tolist()
        if not np.isfinite(scores[term]) or scores[term] <= 0 or first in used or (second in used and second != -1):
            continue
        chosen.append(found.names[term])
        used |= {first, second}
        if len(chosen) == n_words:
            break
    return ", ".join(chosen)
