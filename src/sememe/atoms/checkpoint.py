"""Checkpoints of training: all that decides the steps to come, so that a stopped run ends in the same weights."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import artifact
from sememe.artifact import CARD
from sememe.errors import ArtifactError
from sememe.extras import require

if TYPE_CHECKING:
    from sememe.atoms.coders.coder import Coder, Parameters
    from sememe.atoms.config import AtomsConfig
    from sememe.atoms.revival import Revival
    from sememe.atoms.rows import Rows

KIND = "atoms-checkpoint"
SECONDS = 30.0  # between checkpoints: what a killed run loses at most
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class State:
    """What changes in training."""

    p: Parameters
    optimizer: Any
    coder: Coder
    revival: Revival


class Checkpoint:
    """Keeps the state of a run in a folder; with None for a folder, does nothing.

    Args:
        path: the folder.
        config, rows: what the run is; a checkpoint of another one is refused.
        state: what to keep; `restore` fills it.
    """

    def __init__(self, path: Path | None, config: AtomsConfig, rows: Rows, state: State) -> None:
        self._path, self._state = path, state
        self._run = {"parameters": asdict(config), "data": _fingerprint(rows)} if path is not None else {}
        self._last = time.monotonic()

    def restore(self) -> int:
        """Go back to the last checkpoint, if there is one; the number of steps that it has done.

        Raises:
            ArtifactError: it is damaged, or of a run with other options or other vectors.
        """
        torch = require("torch", "models")
        if self._path is None or not (self._path / CARD).is_file():
            return 0
        arrays, card = artifact.load(self._path, KIND)
        differing = [name for name in self._run if card.get(name) != self._run[name]]
        if differing:
            raise ArtifactError(
                f"is a checkpoint of another run: its {' and '.join(differing)} differ",
                where=str(self._path),
                hint="Give the same options and vectors, or remove the folder to begin again",
            )
        for name, parameter in self._state.p.items():
            parameter.copy_(torch.from_numpy(arrays[name]))
            moments = {moment: torch.from_numpy(arrays[f"{name}.{moment}"].copy()) for moment in _MOMENTS}
            self._state.optimizer.state[parameter] = {"step": torch.tensor(float(card["step"])), **moments}
        self._state.revival.fired[:] = arrays["fired"]
        self._state.coder.state.update(card["state"])
        return int(card["step"])

    def keep(self, step: int) -> None:
        """Write a checkpoint when the last one is old enough."""
        if self._path is None or time.monotonic() - self._last < SECONDS:
            return
        arrays = {name: parameter.numpy() for name, parameter in self._state.p.items()}
        for name, parameter in self._state.p.items():
            arrays.update({f"{name}.{m}": self._state.optimizer.state[parameter][m].numpy() for m in _MOMENTS})
        arrays["fired"] = self._state.revival.fired
        artifact.save(self._path, KIND, arrays, {**self._run, "step": step, "state": self._state.coder.state})
        self._last = time.monotonic()


def remove_checkpoint(path: Path) -> None:
    """Remove the checkpoint of a finished run, if there is one."""
    if (path / CARD).is_file():
        shutil.rmtree(path)


def _fingerprint(rows: Rows) -> str:
    """Of the vectors and of their split."""
    digest = hashlib.sha256()
    for array in (rows.mean, np.float64(rows.scale), rows.train, rows.held_out):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
