"""A training run as it can be looked at: while it goes on, after it was stopped, or when its encoder is saved."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sememe import artifact
from sememe.errors import ArtifactError
from sememe.training.checkpoint import LOG
from sememe.training.encoders import KIND, WORK_ENDING, work_folder

State = Literal["saved", "unfinished"]


@dataclass(frozen=True)
class TrainingRun:
    """What is known of a run.

    Attributes:
        name: of the encoder's folder.
        state: `saved`, or `unfinished`: it goes on, or was stopped and can go on with `--resume`.
        card: what made the encoder and how it measured; empty before it is saved.
        rows: the figures of each step, in the order of steps: `step`, `loss`, `learning_rate`, and what the objective
            measured.

    """

    name: str
    state: State
    card: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]

    @classmethod
    def read(cls, path: str | Path) -> TrainingRun:
        """Read a run by the folder that it writes; the folder of a run that is not finished will do as well.

        Raises:
            ArtifactError: nothing was trained there, or its card or log is damaged.

        """
        path = _result(Path(path))
        if (path / artifact.CARD).is_file():
            return cls(path.name, "saved", artifact.unseal(path, KIND), _rows(path / LOG, live=False))
        log = work_folder(path) / LOG if path.name else path / LOG
        if not log.is_file():
            hint = "Name the folder of an encoder that sememe train encoder made, or is making"
            raise ArtifactError("holds no training run", where=str(path), hint=hint)
        return cls(path.name, "unfinished", {}, _rows(log, live=True))

    @staticmethod
    def is_run(path: str | Path) -> bool:
        """Whether a folder holds an encoder that was trained here, or a run that is making one."""
        path = _result(Path(path))
        if path.name and (work_folder(path) / LOG).is_file():
            return True
        card = path / artifact.CARD
        return card.is_file() and artifact.load_json(card).get("kind") == KIND


def _result(path: Path) -> Path:
    """The folder that a run writes, by that or by the folder that it works in; absolute, so that it has a name."""
    path = Path(os.path.abspath(path))
    name = path.name.removesuffix(WORK_ENDING)
    return path.with_name(name) if name else path


def _rows(log: Path, *, live: bool) -> list[dict[str, float]]:
    """The rows of a log; the last line of a live one may be half written and then does not count."""
    try:
        lines = log.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror}", where=str(log)) from error
    if live and lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise ArtifactError("is not a row of figures", where=f"{log}:{number}")
        rows.append(row)
    return rows
