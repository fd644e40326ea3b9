"""Checkpoints of training: all that decides the steps to come, so that a stopped run ends in the same weights."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact, disk
from sememe.artifact import CARD
from sememe.errors import ArtifactError

KIND = "training-checkpoint"
LOG = "log.jsonl"
SECONDS = 30.0  # between checkpoints, at least
SHARE = 0.05  # of the time may go into writing them
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: steps that are done.
        log: one row of figures a step.
        checks: `step` and `value` of every check.
        best_step: the check with the highest value.
        best: the trained weights then, by name.

    """

    step: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    best: dict[str, Any] = field(default_factory=dict)


class Checkpoint:
    """Keeps the state of a run in a folder; with None for a folder, does nothing.

    Args:
        path: the folder.
        run: what the run is, as JSON values; a checkpoint of another one is refused.
        weights: what the optimiser trains, by name.
        optimizer: an Adam.
        arrays: further tensors that change, by name.
        seconds: between checkpoints, at least.

    """

    def __init__(
        self,
        path: Path | None,
        run: Mapping[str, Any],
        weights: Mapping[str, Any],
        optimizer: Any,
        arrays: Mapping[str, Any],
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._path, self._run, self._weights = path, json.loads(json.dumps(run)), weights
        self._optimizer, self._arrays = optimizer, arrays
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def restore(self) -> Progress:
        """Go back to the last checkpoint, if there is one.

        Raises:
            ArtifactError: it is damaged, or of a run with other options, data or start.

        """
        import torch

        if self._path is None or not is_checkpoint(self._path):
            return Progress()
        arrays, card = artifact.load(self._path, KIND)
        differing = [name for name in self._run if card.get(name) != self._run[name]]
        if differing:
            raise ArtifactError(
                f"is a checkpoint of another run: its {' and '.join(differing)} differ",
                where=str(self._path),
                hint="Give the same options and documents, or remove the folder to begin again",
            )
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(torch.from_numpy(arrays[f"weight.{name}"]))
                if f"exp_avg.{name}" in arrays:
                    moments = {m: torch.from_numpy(arrays[f"{m}.{name}"].copy()).to(weight.device) for m in _MOMENTS}
                    self._optimizer.state[weight] = {"step": torch.tensor(float(card["step"])), **moments}
            for name, tensor in self._arrays.items():
                tensor.copy_(torch.from_numpy(arrays[f"array.{name}"]))
        best = {name: torch.from_numpy(arrays[f"best.{name}"].copy()) for name in card["best_names"]}
        rows = [json.loads(line) for line in (self._path / LOG).read_bytes().splitlines()]
        return Progress(card["step"], rows, card["checks"], card["best_step"], best)

    def keep(self, progress: Progress, *, now: bool = False) -> None:
        """Write a checkpoint when the last one is old enough, or `now`."""
        started = time.monotonic()
        if self._path is None or (started < self._next and not now):
            return
        arrays: dict[str, np.ndarray] = {}
        for name, weight in self._weights.items():
            arrays[f"weight.{name}"] = _numpy(weight)
            state = self._optimizer.state.get(weight, {})
            arrays.update({f"{moment}.{name}": _numpy(state[moment]) for moment in _MOMENTS if moment in state})
        arrays.update({f"array.{name}": _numpy(tensor) for name, tensor in self._arrays.items()})
        arrays.update({f"best.{name}": _numpy(tensor) for name, tensor in progress.best.items()})
        card = {
            **self._run,
            "step": progress.step,
            "checks": progress.checks,
            "best_step": progress.best_step,
            "best_names": sorted(progress.best),
        }
        artifact.save(self._path, KIND, arrays, card, {LOG: log_bytes(progress.log)})
        ended = time.monotonic()
        self._next = ended + max(self._seconds, (ended - started) / SHARE)


def is_checkpoint(path: Path) -> bool:
    """Whether a folder holds a checkpoint."""
    disk.recover(path)
    return (path / CARD).is_file()


def remove_work(path: Path) -> None:
    """Remove the folder of a finished run: its checkpoint, and what it needed while it ran."""
    shutil.rmtree(path, ignore_errors=True)


def log_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()


def _numpy(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
