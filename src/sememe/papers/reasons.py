"""Why a paper is shown: a linear score taken apart into atoms and words, exactly."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sememe.lexical.words import tokenizer
from sememe.papers.telling import tells
from sememe.search.hits import Explanation

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.papers.features import Features
    from sememe.papers.paper import Paper

Kind = Literal["atom", "term", "author", "keyword", "votes"]
SHOWN = 6
"""Reasons shown with a paper."""
_SURFACE = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks for a paper, or against it.

    Attributes:
        kind: what it is.
        label: what a reader sees.
        weight: its part of the score.
        atom: the number of the atom, where it is one.

    """

    kind: Kind
    label: str
    weight: float
    atom: int | None = None


@dataclass(frozen=True, eq=False)
class Score:
    """A linear score of papers: s(p) = <vector, x / |x|> + <words, u> + offset + sum_j edits_j a_j(x) / |x|.

    x is a paper's vector, u its words, a(x) the code of x over atoms. Because it is linear, its parts add up exactly.

    Attributes:
        vector: shape (d,), float64.
        words: shape (m,), float64.
        offset: the same for all papers.
        edits: by atom, what is added to the weight <vector, d_j> that it has anyway.

    """

    vector: np.ndarray
    words: np.ndarray
    offset: float = 0.0
    edits: Mapping[int, float] | None = None

    def of(self, features: Features, rows: np.ndarray, atoms: Atoms | None = None) -> np.ndarray:
        """The scores of papers (k,), float64.

        Args:
            features: of all papers.
            rows: which papers (k,).
            atoms: needed when there are edits.

        """
        if 2 * len(rows) > len(features):  # cheaper than to gather the rows
            scores = (features.units @ self._vector + features.words @ self._words)[rows]
        else:
            scores = features.units[rows] @ self._vector + features.words[rows] @ self._words
        scores = scores.astype(np.float64) + self.offset
        if self.edits and atoms is not None and len(rows):
            codes = atoms.pursue(features.vectors[rows])[:, list(self.edits)]
            scores = scores + codes @ np.fromiter(self.edits.values(), float) / features.lengths[rows]
        return np.asarray(scores, np.float64)

    def explained(self, features: Features, rows: np.ndarray, atoms: Atoms) -> list[Explanation]:
        """The part of each score that comes from the papers' vectors, by atoms; edits are in the atoms' parts."""
        parts = atoms.contributions(self.vector, features.vectors[rows])
        codes = atoms.pursue(features.vectors[rows]) if self.edits and len(rows) else None
        found = []
        for place, (row, part) in enumerate(zip(rows.tolist(), parts, strict=True)):
            values, length = part.values, float(features.lengths[row])
            if codes is not None and self.edits:
                added = np.asarray([self.edits.get(atom, 0.0) for atom in part.atoms.tolist()])
                values = values + added * codes[place, part.atoms].toarray().ravel()
            order = np.argsort(-np.abs(values), kind="stable")
            labels = [atom_label(atoms, int(atom)) for atom in part.atoms[order]]
            values = values[order] / length
            found.append(Explanation(part.atoms[order], values, labels, part.bias / length, part.residual / length))
        return found

    @property
    def _vector(self) -> np.ndarray:
        return self.vector.astype(np.float32)  # as the features are: else a product would copy all of them

    @property
    def _words(self) -> np.ndarray:
        return self.words.astype(np.float32)

    def terms(self, features: Features, row: int) -> list[tuple[str, float]]:
        """The stems of a paper's words and their parts of its score, the largest first."""
        here = slice(features.words.indptr[row], features.words.indptr[row + 1])
        columns = features.words.indices[here]
        parts = features.words.data[here] * self.words[columns]
        order = np.argsort(-np.abs(parts), kind="stable")
        return [(features.vocabulary[columns[place]], float(parts[place])) for place in order if parts[place]]


def reasons_for(
    paper: Paper,
    explanation: Explanation | None,
    terms: Sequence[tuple[str, float]],
    *,
    language: str = "english",
    n: int = SHOWN,
) -> list[Reason]:
    """The strongest reasons for a paper: atoms, then words as the paper spells them.

    Args:
        paper: what is shown.
        explanation: the part of its score that atoms have; None where there are no atoms.
        terms: stems and their parts of the score.
        language: whose stems they are.
        n: how many reasons; half of them are kept free for either kind.

    """
    atoms = [] if explanation is None else explanation.top(len(explanation.atoms))
    from_atoms = [Reason("atom", one.label, one.contribution, one.atom) for one in atoms if one.contribution > 0]
    spelled = spellings(f"{paper.title}\n{paper.abstract}", language)
    from_terms = [
        Reason("term", spelled[stem], part)
        for stem, part in terms
        if part > 0 and stem in spelled and tells(spelled[stem])
    ]
    n_terms = min(len(from_terms), max(n // 2, n - len(from_atoms)))
    return from_atoms[: n - n_terms] + from_terms[:n_terms]


def atom_label(atoms: Atoms, atom: int) -> str:
    """An atom's label, or its number when it has none."""
    return atoms.labels[atom] or f"atom {atom}"


def spellings(text: str, language: str) -> dict[str, str]:
    """How a text spells each of its stems most often, the first of equals."""
    stems, counted = tokenizer(language), Counter(_SURFACE.findall(text))
    best: dict[str, str] = {}
    for word in counted:
        for stem in stems(word):
            if stem not in best or counted[word] > counted[best[stem]]:
                best[stem] = word
    return best
