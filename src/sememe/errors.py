"""Errors that say what was wrong, where, and what to do about it.

Every error that a user can cause is a `SememeError`. The command line prints it as one line and exits with
code 2; `--json` prints it as an object. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations


class SememeError(Exception):
    """The base of all errors that Sememe raises on purpose.

    Args:
        message: what was wrong, without a full stop at the end.
        where: the place: `file:line`, a record's id, an array's name and shape.
        hint: what to do next, as an instruction.

    """

    kind = "error"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f". {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"

    def as_dict(self) -> dict[str, str | None]:
        """The object that `--json` prints under `error`."""
        return {"kind": self.kind, "message": self.message, "where": self.where, "hint": self.hint}


class InputError(SememeError):
    """The caller's data or arguments cannot be used."""

    kind = "input"


class ModelError(SememeError):
    """A model is unknown, unreachable, or not of the kind that was asked for."""

    kind = "model"


class ArtifactError(SememeError):
    """Something on disk is missing, damaged, half-written, or from a newer version."""

    kind = "artifact"


class LockedError(ArtifactError):
    """Another process is writing to the same folder."""

    kind = "locked"


class RemoteError(SememeError):
    """A server cannot be reached, did not answer in time, or refused what was asked."""

    kind = "remote"


class NotFittedError(SememeError):
    """An estimator was used before `fit`."""

    kind = "not-fitted"


class MissingExtraError(SememeError):
    """An optional dependency is not installed; the hint is the exact install line."""

    kind = "missing-extra"
