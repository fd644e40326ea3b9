"""Labels for atoms of language models: the token they fire on, if it is one, and the words around it.

Many atoms of a language model stand for one token whatever the text, others for a topic. A label says which: `"film"
(83%)` for an atom of whose strongest firings 83% are on that token, then the words of class-based tf-idf over the text
around them (`sememe.atoms.labels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.labels import label_atoms
from sememe.atoms.reading import Reading

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STRONGEST = 50  # firings from which the token is read
TOKEN_SHARE = 0.5  # from which an atom is one of a token


@dataclass(frozen=True, eq=False)
class TokenLabels:
    """What atoms fire on.

    Attributes:
        token: the token, as lower-case text without spaces around, "" where there is none (n_atoms,).
        share: which part of the strongest firings are on it (n_atoms,).
        words: labels by words, such as "film, actor, director" (n_atoms,).
    """

    token: list[str]
    share: np.ndarray
    words: list[str]

    def texts(self) -> list[str]:
        """The labels as people read them."""
        return [
            ", ".join(part for part in (f'"{token}" ({share:.0%})' if token else "", words) if part)
            for token, share, words in zip(self.token, self.share, self.words, strict=True)
        ]

    def fits(self, reading: Reading, rows: np.ndarray, decode: Any) -> Any:
        """Whether each label fits each of some rows (n_rows, n_atoms), sparse: by its token, or else by its words.

        Args:
            reading: the text behind all rows.
            rows: the numbers of those that are asked about.
            decode: token ids -> text.
        """
        from scipy.sparse import csc_matrix

        from sememe.atoms.labels import texts_with_words

        names = _names(reading.ids[reading.tokens[rows]], decode)
        rows_of: dict[str, np.ndarray] = {}
        for name in set(self.token) - {""}:
            rows_of[name] = np.flatnonzero(names == name)
        by_words = texts_with_words(
            ["" if token else words for token, words in zip(self.token, self.words, strict=True)],
            (reading.around(int(row)) for row in rows),
        ).tocsc()
        columns = [
            rows_of[token] if token else by_words.indices[by_words.indptr[atom] : by_words.indptr[atom + 1]]
            for atom, token in enumerate(self.token)
        ]
        starts = np.concatenate([[0], np.cumsum([len(column) for column in columns])])
        indices = np.concatenate([*columns, np.empty(0, np.int64)])
        return csc_matrix((np.ones(len(indices), bool), indices, starts), shape=(len(rows), len(columns)))


def label_tokens(codes: csr_matrix, reading: Reading, rows: np.ndarray, decode: Any) -> TokenLabels:
    """Labels from some rows, such as those that the atoms were learned from.

    Args:
        codes: of these rows (n, n_atoms).
        reading: the text behind all rows.
        rows: their numbers (n,), ascending.
        decode: token ids -> text, such as `lm.tokenizer.decode`.
    """
    names = _names(reading.ids[reading.tokens[rows]], decode)
    columns = codes.tocsc()
    tokens, shares = [], np.zeros(codes.shape[1])
    for atom in range(codes.shape[1]):
        here = slice(columns.indptr[atom], columns.indptr[atom + 1])
        strongest = columns.indices[here][np.argsort(-columns.data[here], kind="stable")[:STRONGEST]]
        found, counts = np.unique(names[strongest], return_counts=True)
        share = counts.max() / len(strongest) if len(strongest) else 0.0
        is_token = share >= TOKEN_SHARE and found[counts.argmax()] != ""
        tokens.append(str(found[counts.argmax()]) if is_token else "")
        shares[atom] = share
    words = label_atoms(codes, (reading.around(int(row)) for row in rows))
    return TokenLabels(tokens, shares, words)


def _names(ids: np.ndarray, decode: Any) -> np.ndarray:
    """Token ids as lower-case text without spaces around, so that " The" and "the" are one."""
    unique, place = np.unique(ids, return_inverse=True)
    names = np.array([str(decode([int(token)])).strip().lower() for token in unique], dtype=object)
    found: np.ndarray = names[place]
    return found
