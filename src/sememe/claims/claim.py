"""What a claim is, and what running it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sememe.claims.keeping import Kept
from sememe.errors import ArtifactError, InputError

SCALES = ("tiny", "small", "full")
SHARED = "SEMEME_SHARED"

Figures = Mapping[str, Sequence[float]]
"""Name -> the value for each seed, in the order of the seeds."""


@dataclass(frozen=True)
class Condition:
    """One part of a threshold.

    Attributes:
        text: what must be so.
        holds: decides it from the figures.
        scales: at which it is asked; at others its figures are not measured.

    """

    text: str
    holds: Callable[[Figures], bool]
    scales: Sequence[str] = SCALES


@dataclass(frozen=True)
class Setting:
    """What a run may use.

    Attributes:
        scale: `tiny`, `small` or `full`.
        shared: the folder that holds `data/NAME`.
        work: a folder for what takes long to make, such as an index; kept from run to run.
        cache: a folder for what several claims share, such as the vectors of a data set.

    """

    scale: str
    shared: Path
    work: Path
    cache: Path

    @cached_property
    def kept(self) -> Kept:
        """Parts that a stopped run has measured."""
        return Kept(self.work / f"kept-{self.scale}", self.shared)

    def data(self, name: str) -> Path:
        """The folder of a data set.

        Raises:
            InputError: it is not there; the hint says how to name the folder that holds it.

        """
        folder = self.shared / "data" / name
        if not folder.is_dir():
            raise InputError(
                f"the data set {name!r} is not there",
                where=str(folder),
                hint=f"Name the folder that holds data/{name} with --data, or in the environment variable {SHARED}",
            )
        return folder


@dataclass(frozen=True)
class Claim:
    """A headline result as an experiment that anybody can run again.

    Attributes:
        id: its name on the command line and of its result files.
        title: what is claimed, in one sentence.
        paper: the paper's own figure, as a fact with its table; None for a claim of ours.
        protocol: what is done.
        baselines: what it is compared with: the paper's own and a strong simple one.
        metric: what is measured, exactly.
        threshold: what must be true for the claim to hold, fixed before the first run.
        seeds: one measurement each, by scale.
        needs: the data sets, by scale.
        extras: modules that must be there, and the extras that install them.
        prepare: makes what all seeds share, and closes it when they are measured.
        measure: what `prepare` made and a seed -> figures.

    """

    id: str
    title: str
    protocol: str
    baselines: Sequence[str]
    metric: str
    threshold: Sequence[Condition]
    seeds: Mapping[str, Sequence[int]]
    prepare: Callable[[Setting], AbstractContextManager[Any]]
    measure: Callable[[Any, int], Mapping[str, float]]
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict)
    paper: str | None = None

    def about(self) -> dict[str, Any]:
        """What a reader must know of the claim beside its figures; it goes into the result file."""
        return {
            "title": self.title,
            "paper": self.paper,
            "protocol": self.protocol,
            "baselines": list(self.baselines),
            "metric": self.metric,
        }


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        id: the claim's.
        scale: `tiny`, `small` or `full`.
        about: the claim in words, see `Claim.about`.
        figures: means over seeds.
        intervals: their 95% intervals over seeds (Student's t); none with a single seed.
        by_seed: the values themselves, in the order of `seeds`.
        conditions: every part of the threshold that is asked at this scale, and whether it held.
        seeds: the seeds.
        versions: of Python and packages.
        machine: see `sememe.claims.machine.describe_machine`.
        seconds: wall time, that of earlier, stopped runs whose parts were kept among it.
        peak_memory_mib: of the process that ended the run; parts of stopped runs are not in it.

    """

    id: str
    scale: str
    about: Mapping[str, Any]
    figures: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    by_seed: Figures
    conditions: Mapping[str, bool]
    seeds: Sequence[int]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    seconds: float
    peak_memory_mib: float

    @property
    def holds(self) -> bool:
        """Whether every part of the threshold held."""
        return all(self.conditions.values())

    @property
    def threshold(self) -> str:
        """The threshold in words."""
        return "; ".join(self.conditions)

    def as_dict(self) -> dict[str, Any]:
        """What a result file holds."""
        conditions = [{"text": text, "held": held} for text, held in self.conditions.items()]  # a list keeps its order
        return {**asdict(self), "conditions": conditions, "holds": self.holds, "threshold": self.threshold}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Result:
        """Make a result from what a result file holds.

        Raises:
            ArtifactError: something is missing from it.

        """
        try:
            fields = {name: values[name] for name in cls.__dataclass_fields__}
            fields["conditions"] = {condition["text"]: condition["held"] for condition in fields["conditions"]}
        except KeyError as error:
            raise ArtifactError(f"lacks {error}", where=where, hint="Run the claim again") from None
        return cls(**fields)


def shared_folder(given: str | Path | None = None) -> Path:
    """The folder that holds `data/`: as given, or of the environment variable, or `../shared`."""
    return Path(given if given is not None else os.environ.get(SHARED, "../shared"))
