"""Labels for atoms of language models: the tokens they fire on, the words around them, or both.

Some atoms of a language model stand for a token, some for a handful of tokens of like meaning, others for a topic. A
label names what predicts the atom best on the text that it is made from: `"mrs", "woman", "lady"` for tokens, `film,
actor, director` for words around, both when either alone predicts less well. What does not predict is left out, so
that a label can be held to its word (`sememe.atoms.detection`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.detection import balanced_accuracy
from sememe.atoms.labels import label_atoms, texts_with_words
from sememe.atoms.reading import Reading

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

MOST_TOKENS = 5
TOKEN_SHARE = 0.04  # of an atom's firings, from which a token is named
SHOWN_SHARE = 0.5  # of the first token, from which its share is written
JUDGED_ROWS = 40_000  # on which tokens and words are compared


@dataclass(frozen=True, eq=False)
class TokenLabels:
    """What atoms fire on.

    Attributes:
        tokens: for each atom the tokens, as lower-case text without spaces around, the most telling first (n_atoms,).
        share: which part of its firings are on the first of them (n_atoms,).
        words: for each atom words of the text around, such as "film, actor, director" (n_atoms,).
    """

    tokens: list[tuple[str, ...]]
    share: np.ndarray
    words: list[str]

    def texts(self) -> list[str]:
        """The labels as people read them."""
        return [
            ", ".join(part for part in (_quoted(tokens, float(share)), words) if part)
            for tokens, share, words in zip(self.tokens, self.share, self.words, strict=True)
        ]

    def fits(self, reading: Reading, rows: np.ndarray, decode: Any) -> csc_matrix:
        """Whether each label fits each of some rows (n_rows, n_atoms), 0/1: by its tokens or by its words.

        Args:
            reading: the text behind all rows.
            rows: the numbers of those that are asked about.
            decode: token ids -> text.
        """
        names = _Names.of(reading, rows, decode)
        by_words = texts_with_words(self.words, (reading.around(int(row)) for row in rows))
        return _either(names.fits(self.tokens), by_words)


def label_tokens(codes: csr_matrix, reading: Reading, rows: np.ndarray, decode: Any) -> TokenLabels:
    """Labels from some rows, such as those that the atoms were learned from.

    Args:
        codes: of these rows (n, n_atoms).
        reading: the text behind all rows.
        rows: their numbers (n,), ascending.
        decode: token ids -> text, such as `lm.tokenizer.decode`.
    """
    names = _Names.of(reading, rows, decode)
    tokens, share = _telling_tokens(codes, names)
    words = label_atoms(codes, (reading.around(int(row)) for row in rows))
    judged = np.unique(np.linspace(0, len(rows) - 1, min(JUDGED_ROWS, len(rows))).astype(np.int64))
    active = codes[judged].astype(bool).astype(np.float64).tocsc()
    by_tokens = _Names.of(reading, rows[judged], decode).fits(tokens)
    by_words = texts_with_words(words, (reading.around(int(row)) for row in rows[judged])).tocsc()
    scores = np.stack([balanced_accuracy(fits, active) for fits in (by_tokens, by_words, _either(by_tokens, by_words))])
    scores[:, np.diff(active.indptr) == 0] = 0.5  # silent on the judged rows: nothing speaks for either
    best = scores.argmax(axis=0)  # of equals the first: tokens, then words
    return TokenLabels(
        [names if choice != 1 else () for names, choice in zip(tokens, best, strict=True)],
        share,
        [text if choice != 0 else "" for text, choice in zip(words, best, strict=True)],
    )


@dataclass(frozen=True, eq=False)
class _Names:
    """The token of each of some rows, as text.

    Attributes:
        names: the different ones.
        of_row: which one each row has (n,).
    """

    names: list[str]
    of_row: np.ndarray

    @classmethod
    def of(cls, reading: Reading, rows: np.ndarray, decode: Any) -> _Names:
        """Lower-case and without spaces around, so that " The" and "the" are one."""
        ids, of_row = np.unique(reading.ids[reading.tokens[rows]], return_inverse=True)
        texts = [str(decode([int(token)])).strip().lower() for token in ids]
        names = sorted(set(texts))
        number = {name: place for place, name in enumerate(names)}
        return cls(names, np.array([number[text] for text in texts], np.int64)[of_row])

    def indicator(self) -> csr_matrix:
        """(n_rows, n_names), 1 where the row has the name."""
        from scipy.sparse import csr_matrix

        n = len(self.of_row)
        return csr_matrix((np.ones(n, np.float32), self.of_row, np.arange(n + 1)), shape=(n, len(self.names)))

    def fits(self, tokens: list[tuple[str, ...]]) -> csc_matrix:
        """(n_rows, n_atoms), 1 where the row's name is among an atom's tokens."""
        from scipy.sparse import csr_matrix

        number = {name: place for place, name in enumerate(self.names)}
        pairs = [(number[t], atom) for atom, chosen in enumerate(tokens) for t in chosen if t in number]
        rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
        wanted = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(self.names), len(tokens)))
        return (self.indicator() @ wanted).tocsc()


def _telling_tokens(codes: csr_matrix, names: _Names) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """For each atom up to five tokens by p log(p / q), p their share of its firings and q of all rows."""
    binary = codes.astype(bool).astype(np.float32)
    counts = (binary.T @ names.indicator()).tocsr()
    fired = np.diff(codes.tocsc().indptr)
    q = np.bincount(names.of_row, minlength=len(names.names)) / max(1, len(names.of_row))
    tokens: list[tuple[str, ...]] = []
    share = np.zeros(codes.shape[1])
    for atom in range(codes.shape[1]):
        here = slice(counts.indptr[atom], counts.indptr[atom + 1])
        found, p = counts.indices[here], counts.data[here] / max(1, fired[atom])
        telling = p * np.log(np.maximum(p, 1e-12) / q[found])
        order = [i for i in np.argsort(-telling, kind="stable")[:MOST_TOKENS] if p[i] >= TOKEN_SHARE and telling[i] > 0]
        tokens.append(tuple(names.names[found[i]] for i in order if names.names[found[i]]))
        share[atom] = p[order[0]] if order else 0.0
    return tokens, share


def _either(first: Any, second: Any) -> csc_matrix:
    both = (first + second).tocsc()
    both.data[:] = 1.0
    return both


def _quoted(tokens: tuple[str, ...], share: float) -> str:
    if not tokens:
        return ""
    first = f'"{tokens[0]}" ({share:.0%})' if share >= SHOWN_SHARE else f'"{tokens[0]}"'
    return ", ".join([first, *(f'"{token}"' for token in tokens[1:])])
