"""A circuit that was found, with everything that speaks for and against it; a folder on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact
from sememe.circuits.drawing import circuit_svg
from sememe.circuits.head_outputs import name_of, place_of
from sememe.circuits.patching import true_heads
from sememe.errors import ArtifactError

KIND = "circuit"
DRAWING = "circuit.svg"


@dataclass(frozen=True, eq=False)
class Circuit:
    """Ranked heads, and what each method says about every head.

    Attributes:
        evidence: float64 (heads,) by name: `reliable` (ours, what heads are ranked by), `attribution` (signed, nats),
            `importance` (HISP), `unique`, `unique_negative`, `total` and `normalised` (the paper's codes), `null_mean`,
            `null_bound` and `z` of the normalised score, `random_projection`, `mean_difference`, and `patching`
            (signed, nats) if it was asked for.
        codes: int32 (prompts, heads), the positive prompts first.
        attention: float16 (layers, heads, tokens, tokens) of each example.
        card: model, task, parameters, times, examples, faithfulness, agreement.

    """

    evidence: Mapping[str, np.ndarray]
    codes: np.ndarray
    attention: list[np.ndarray]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """How many layers the model has."""
        return int(self.card["n_layers"])

    @property
    def n_heads(self) -> int:
        """How many heads a layer has."""
        return int(self.card["n_heads"])

    @property
    def score(self) -> np.ndarray:
        """What heads are ranked by: float64 (heads,)."""
        return self.evidence["reliable"]

    @property
    def ranked(self) -> np.ndarray:
        """All heads' places, the best first."""
        order: np.ndarray = np.argsort(-self.score, kind="stable")
        return order

    @property
    def heads(self) -> np.ndarray:
        """The places of the circuit's heads, the best first: those with at least a tenth of the best score."""
        kept = true_heads(self.score)
        chosen: np.ndarray = self.ranked[kept[self.ranked]]
        return chosen

    @property
    def edges(self) -> list[tuple[int, int, int]]:
        """Pairs of the circuit's heads as (from, to, unique pairs of codes), the most first; see `edge_scores`."""
        return [(int(a), int(b), int(count)) for a, b, count in self.card["edges"]]

    def name(self, place: int) -> str:
        """A head's usual name, `layer.head`."""
        return name_of(int(place), self.n_heads)

    def place(self, name: str) -> int:
        """The place of the head called `layer.head`.

        Raises:
            InputError: there is no such head.

        """
        return place_of(name, self.n_layers, self.n_heads)

    def grid(self, name: str = "reliable") -> np.ndarray:
        """One kind of evidence as a map: float64 (layers, heads)."""
        return self.evidence[name].reshape(self.n_layers, self.n_heads)

    def code_table(self, place: int) -> list[tuple[int, int, int]]:
        """A head's codes as (code, how often in positives, how often in negatives); unique ones first."""
        n = int(self.card["n_pairs"])
        codes = self.codes[:, place]
        rows = [
            (int(code), int((codes[:n] == code).sum()), int((codes[n:] == code).sum())) for code in np.unique(codes)
        ]
        return sorted(rows, key=lambda row: (row[2] > 0, -row[1], row[0]))

    def save(self, path: str | Path) -> None:
        """Write it as a folder with `model.safetensors`, `card.json` and a drawing, `circuit.svg`.

        Raises:
            ArtifactError: the folder is something else, or cannot be written.

        """
        arrays = {f"evidence.{name}": np.asarray(values) for name, values in self.evidence.items()}
        arrays["codes"] = self.codes
        arrays |= {f"attention.{number}": pattern for number, pattern in enumerate(self.attention)}
        artifact.save(path, KIND, arrays, self.card, {DRAWING: circuit_svg(self).encode()})

    @classmethod
    def load(cls, path: str | Path) -> Circuit:
        """Open a folder that `save` wrote.

        Raises:
            ArtifactError: it is missing, damaged, or no circuit.

        """
        arrays, card = artifact.load(path, KIND)
        try:
            evidence = {
                name.removeprefix("evidence."): array for name, array in arrays.items() if name.startswith("evidence.")
            }
            attention = [arrays[f"attention.{number}"] for number in range(len(card["examples"]))]
            circuit = cls(evidence, arrays["codes"], attention, card)
            n = circuit.n_layers * circuit.n_heads
            fits = all(values.shape == (n,) for values in evidence.values()) and circuit.codes.shape[1] == n
        except (KeyError, IndexError, TypeError) as error:
            raise ArtifactError(f"lacks {error}", where=str(path), hint="Make it again") from None
        if not fits or "reliable" not in evidence:
            raise ArtifactError("holds arrays that do not fit its card", where=str(path), hint="Make it again")
        return circuit

    @staticmethod
    def is_circuit(path: str | Path) -> bool:
        """Whether a folder is one of these, as its card says."""
        card = Path(path) / artifact.CARD
        return card.is_file() and artifact.load_json(card).get("kind") == KIND
