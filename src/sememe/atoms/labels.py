"""Labels for atoms: the words that set the texts an atom fires on apart from the others.

A class-based tf-idf: for atom j and term t, with weights w_i = a_ij / max_i a_ij over the texts that j fires on
most strongly,

    p = (sum_i w_i [t in text i] + q) / (sum_i w_i + 1),    q = share of all texts with t,

and t's score is p log(p / q): how common the term is where the atom fires, times how much rarer it is elsewhere. A
pair of neighbouring words is a term too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sememe.atoms.words import Terms, stems_of, terms
from sememe.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOP_ROWS = 50
PAIR_BONUS = 1.25  # "black box" says more than "black" when it is nearly as common
_BLOCK = 256
_CANDIDATES = 24


def label_atoms(codes: csr_matrix, texts: Iterable[str], *, n_words: int = 3) -> list[str]:
    """A label such as "gzip, compressed, file" for each atom; empty for an atom that fires on no text.

    Args:
        codes: (n, n_atoms).
        texts: n of them, in the order of the codes' rows; read once.
        n_words: how many terms a label has at most.

    Raises:
        InputError: there are not as many texts as codes.
    """
    found = terms(texts, minimum_texts=2 if codes.shape[0] >= 20 else 1)
    if found.presence.shape[0] != codes.shape[0]:
        raise InputError(f"{found.presence.shape[0]} texts for {codes.shape[0]} codes", where="texts")
    strongest = _strongest(codes)
    share = (np.asarray(found.presence.sum(axis=0)).ravel() + 0.5) / (codes.shape[0] + 1)
    bonus = np.where(found.parts[:, 1] >= 0, PAIR_BONUS, 1.0)
    labels = []
    for start in range(0, codes.shape[1], _BLOCK):
        weights = strongest[start : start + _BLOCK]
        mass = weights @ found.presence
        totals = np.asarray(weights.sum(axis=1)).ravel()
        for row, total in enumerate(totals):
            here = slice(mass.indptr[row], mass.indptr[row + 1])
            candidates = mass.indices[here]
            p = (mass.data[here] + share[candidates]) / (total + 1)
            scores = p * np.log(p / share[candidates]) * bonus[candidates]
            labels.append(_label(candidates, scores, found, n_words))
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


def _label(candidates: np.ndarray, scores: np.ndarray, found: Terms, n_words: int) -> str:
    """The best of the candidate terms that share no word with a better one."""
    if len(scores) > _CANDIDATES:
        best = np.argpartition(-scores, _CANDIDATES)[:_CANDIDATES]
        candidates, scores = candidates[best], scores[best]
    chosen: list[str] = []
    used: set[int] = set()
    for place in np.lexsort((candidates, -scores)):
        words = set(found.parts[candidates[place]].tolist()) - {-1}
        if scores[place] <= 0 or words & used:
            continue
        chosen.append(found.names[candidates[place]])
        used |= words
        if len(chosen) == n_words:
            break
    return ", ".join(chosen)


def texts_with_words(labels: list[str], texts: Iterable[str]) -> csr_matrix:
    """Whether each text holds one of the terms of each label (n_texts, n_labels), 0/1; an empty label fits nothing.

    Args:
        labels: as `label_atoms` gives them: terms separated by commas, each a word or a pair of words.
        texts: read once.
    """
    from scipy.sparse import csr_matrix

    found = terms(texts, minimum_texts=1, minimum_pair_texts=1, maximum_share=1.0)
    column = {stems_of(name): number for number, name in enumerate(found.names)}
    pairs = [
        (column[term], number)
        for number, label in enumerate(labels)
        for term in map(stems_of, label.split(","))
        if term in column
    ]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    chosen = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(found.names), len(labels)))
    fits = (found.presence @ chosen).tocsr()
    fits.data[:] = 1.0
    return fits
