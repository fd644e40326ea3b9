"""Contexts: where in the text each atom of a language model fires, strongest first, and some where it fires weakly.

A label that was read off the strongest contexts alone misleads: most of what an atom does is in the middle of its
range. So contexts from there stand beside them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import artifact
from sememe.atoms.logit_effects import LogitEffects
from sememe.atoms.pieces import read_pieces
from sememe.atoms.reading import Reading
from sememe.errors import ArtifactError, InputError
from sememe.progress import progress

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

KIND = "contexts"
PIECES = "pieces.json"
N_TOP, N_LOWER = 12, 4  # contexts an atom
BEFORE, AFTER = 24, 8  # tokens around the peak
SAME = 8, 2  # tokens around the peak by which two contexts are the same text
N_BINS = 24  # of the histogram of activations
LENGTH = BEFORE + 1 + AFTER


@dataclass(frozen=True, eq=False)
class Contexts:
    """Contexts of every atom: (n_atoms, N_TOP + N_LOWER) of them, the strongest N_TOP first, unused ones -1.

    Attributes:
        tokens: token ids, with 24 before the peak and 8 behind it (n_atoms, n, 33), int32; -1 outside of the document.
        activations: of the atom on each of these tokens, float16.
        documents: ordinals of their documents (n_atoms, n), int32; -1 where an atom has fewer contexts.
        positions: where the peak stands in its document (n_atoms, n), int32.
        histogram: how many activations fall into each of 24 equal parts of [0, the atom's largest] (n_atoms, 24).
        largest: the largest activation of each atom (n_atoms,), float32; 0 where it never fires.
        pieces: what each token id that occurs looks like.
        effects: the tokens that each atom promotes and suppresses; None where it has no direct effect on the output.
        atoms: the fingerprint of the atoms, "" when it was not given.
    """

    tokens: np.ndarray
    activations: np.ndarray
    documents: np.ndarray
    positions: np.ndarray
    histogram: np.ndarray
    largest: np.ndarray
    pieces: dict[int, str]
    effects: LogitEffects | None = None
    atoms: str = ""

    def promoted(self, atom: int) -> list[tuple[str, float]]:
        """The tokens that an atom promotes most, with the rise of their logits; empty without effects."""
        return self._pieces_of(atom, "promoted", "gains")

    def suppressed(self, atom: int) -> list[tuple[str, float]]:
        """The tokens that an atom suppresses most, with the fall of their logits; empty without effects."""
        return self._pieces_of(atom, "suppressed", "losses")

    def _pieces_of(self, atom: int, tokens: str, amounts: str) -> list[tuple[str, float]]:
        if self.effects is None:
            return []
        ids, by = getattr(self.effects, tokens)[atom], getattr(self.effects, amounts)[atom]
        return [(self.pieces[int(token)], float(amount)) for token, amount in zip(ids, by, strict=True)]

    def of(self, atom: int) -> list[Context]:
        """The contexts of an atom: the strongest in order, then weaker ones in order."""
        return [
            Context(
                [self.pieces[int(token)] for token in tokens[tokens >= 0]],
                activations[tokens >= 0].astype(np.float32),
                int((tokens[:BEFORE] >= 0).sum()),
                int(self.documents[atom, place]),
                int(self.positions[atom, place]),
                place < N_TOP,
            )
            for place, (tokens, activations) in enumerate(zip(self.tokens[atom], self.activations[atom], strict=True))
            if self.documents[atom, place] >= 0
        ]

    def save(self, path: str | Path) -> None:
        """Write the folder `path`."""
        arrays = {
            name: getattr(self, name)
            for name in ("tokens", "activations", "documents", "positions", "histogram", "largest")
        }
        if self.effects is not None:
            arrays |= {f"effects.{name}": array for name, array in vars(self.effects).items()}
        pieces = {str(token): piece for token, piece in sorted(self.pieces.items())}
        files = {PIECES: json.dumps(pieces, ensure_ascii=False).encode()}
        artifact.save(path, KIND, arrays, {"n_atoms": len(self.tokens), "atoms": self.atoms}, files)

    @classmethod
    def load(cls, path: str | Path) -> Contexts:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        arrays, card = artifact.load(path, KIND)
        pieces = artifact.load_json(Path(path) / PIECES)
        try:
            effects = {name: arrays.pop(name) for name in list(arrays) if name.startswith("effects.")}
            return cls(
                **arrays,
                pieces={int(token): piece for token, piece in pieces.items()},
                effects=LogitEffects(**{name.removeprefix("effects."): a for name, a in effects.items()})
                if effects
                else None,
                atoms=card.get("atoms", ""),
            )
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"is not what was saved ({error})", where=str(path)) from error


@dataclass(frozen=True, eq=False)
class Context:
    """One place where an atom fires.

    Attributes:
        pieces: the tokens as text.
        activations: of the atom on each of them.
        peak: which of them the context was chosen for.
        document, position: where that is.
        top: whether it is one of the strongest, not one from lower down.
    """

    pieces: list[str]
    activations: np.ndarray
    peak: int
    document: int
    position: int
    top: bool


def collect_contexts(
    codes: csc_matrix, reading: Reading, tokenizer: Any, effects: LogitEffects | None = None
) -> Contexts:
    """The contexts of all atoms. Places with the same tokens around them count once.

    Needs the codes of all rows in memory: 8 bytes an activation, 64 MB for 250,000 tokens with 32 active atoms.

    Args:
        codes: (n_rows, n_atoms), a row for each of the reading's rows, by columns.
        reading: the text behind the rows.
        tokenizer: `lm.tokenizer`.
        effects: to be kept with them.

    Raises:
        InputError: there are not as many codes as rows.
    """
    if codes.shape[0] != len(reading.tokens):
        raise InputError(f"{codes.shape[0]} codes for {len(reading.tokens)} rows", where="collect_contexts")
    n_atoms, n = codes.shape[1], N_TOP + N_LOWER
    tokens = np.full((n_atoms, n, LENGTH), -1, np.int32)
    activations = np.zeros((n_atoms, n, LENGTH), np.float16)
    documents, positions = np.full((n_atoms, n), -1, np.int32), np.full((n_atoms, n), -1, np.int32)
    histogram, largest = np.zeros((n_atoms, N_BINS), np.int32), np.zeros(n_atoms, np.float32)
    codes.sort_indices()
    with progress("Collecting contexts", n_atoms, unit="atoms") as bar:
        for atom in range(n_atoms):
            here = slice(codes.indptr[atom], codes.indptr[atom + 1])
            rows, values = codes.indices[here], codes.data[here]
            if len(rows):
                largest[atom] = values.max()
                histogram[atom] = np.histogram(values, N_BINS, (0, largest[atom]))[0]
            for place, chosen in _choose(values, rows, reading):
                row = rows[chosen]
                tokens[atom, place], activations[atom, place] = _window(reading, int(row), rows, values)
                documents[atom, place] = reading.documents[row]
                positions[atom, place] = reading.tokens[row] - reading.starts[reading.documents[row]]
            bar.advance()
    used = [np.unique(tokens[tokens >= 0])]
    if effects is not None:
        used += [effects.promoted.ravel(), effects.suppressed.ravel()]
    pieces = read_pieces(tokenizer, np.concatenate(used))
    return Contexts(tokens, activations, documents, positions, histogram, largest, pieces, effects)


def _choose(values: np.ndarray, rows: np.ndarray, reading: Reading) -> list[tuple[int, int]]:
    """Where to keep which activations: the strongest of as many documents, and some spread over what is left."""
    order = np.argsort(-values, kind="stable")
    _, first = np.unique(reading.documents[rows[order]], return_index=True)
    best = order[np.sort(first)].tolist()  # one a document, the strongest first
    chosen: list[tuple[int, int]] = []
    seen: set[bytes] = set()
    rest: list[int] = []
    for number, at in enumerate(best):
        if len(chosen) == N_TOP:
            rest += best[number:]
            break
        window = reading.ids[slice(*_bounds(reading, int(rows[at]), *SAME))].tobytes()
        if window not in seen:
            seen.add(window)
            chosen.append((len(chosen), at))
    if rest:
        spread = np.unique(np.linspace(0, len(rest) - 1, N_LOWER + 2)[1:-1].round().astype(np.int64))
        chosen += [(N_TOP + place, rest[at]) for place, at in enumerate(spread)]
    return chosen


def _bounds(reading: Reading, row: int, before: int = BEFORE, after: int = AFTER) -> tuple[int, int]:
    """Where the window around a row starts and ends among the tokens."""
    token, document = int(reading.tokens[row]), int(reading.documents[row])
    first = max(token - before, int(reading.starts[document]))
    return first, min(token + after + 1, int(reading.starts[document + 1]))


def _window(reading: Reading, row: int, rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and activations around a row; the rows of a document lie together, one a token."""
    token, document = int(reading.tokens[row]), int(reading.documents[row])
    first, last = _bounds(reading, row)
    offset = BEFORE - (token - first)
    found = np.full(LENGTH, -1, np.int32)
    found[offset : offset + last - first] = reading.ids[first:last]
    active = np.zeros(LENGTH, np.float16)
    near = slice(*np.searchsorted(rows, [row - (token - first), row + (last - token)]))
    same = reading.documents[rows[near]] == document
    places = reading.tokens[rows[near][same]] - token + BEFORE
    active[places] = values[near][same]
    return found, active
