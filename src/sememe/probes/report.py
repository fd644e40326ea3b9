"""What a probe found, for every reader: facts and tables for people, figures for programs, plots, a folder to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from sememe import artifact
from sememe.errors import ArtifactError

KIND = "probe"
PROBES = "probes"
"""The folder of a study whose reports its page shows."""


@dataclass(frozen=True)
class Table:
    """Rows of text under column names.

    Attributes:
        title: what it is of.
        columns: names.
        rows: one text a column.
        right: the columns that are right-aligned.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()


@dataclass(frozen=True)
class ProbeReport:
    """The result of one probe.

    Attributes:
        probe: `bias`, `linear`, `order`, `similarity` or `bench`.
        subject: what was probed, in words.
        facts: name and value.
        tables: for people.
        warnings: what a reader must know before using the figures.
        figures: JSON values: everything that was measured.
        plots: file name -> SVG.
    """

    probe: str
    subject: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[Table]
    warnings: Sequence[str]
    figures: Mapping[str, Any]
    plots: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write a folder with `card.json`, `model.safetensors` (the numbers of the first table's figures) and plots.

        Raises:
            ArtifactError: `path` is a folder of something else, or cannot be written.
        """
        card = {
            "probe": self.probe,
            "subject": self.subject,
            "facts": [list(fact) for fact in self.facts],
            "tables": [asdict(table) for table in self.tables],
            "warnings": list(self.warnings),
            "figures": dict(self.figures),
            "plots": sorted(self.plots),
        }
        numbers = np.array(sorted(_numbers(self.figures)), np.float64)
        files = {name: svg.encode() for name, svg in self.plots.items()}
        artifact.save(path, KIND, {"figures": numbers}, card, files)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; plots stay on disk.

        Raises:
            ArtifactError: it is missing, damaged, or not a probe's report.
        """
        card = artifact.load_card(path, KIND)
        try:
            return cls(
                card["probe"],
                card["subject"],
                [(name, value) for name, value in card["facts"]],
                [Table(**table) for table in card["tables"]],
                card["warnings"],
                card["figures"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"is no report of a probe ({error})", where=str(path), hint="Run it again") from error


def reports_in(folder: Path) -> list[tuple[str, ProbeReport]]:
    """The reports in a folder by name; none when there is no such folder.

    Raises:
        ArtifactError: one of them is damaged.
    """
    if not folder.is_dir():
        return []
    found = sorted(place for place in folder.iterdir() if (place / artifact.CARD).is_file())
    return [(place.name, ProbeReport.load(place)) for place in found]


def _numbers(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers(item)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []
