"""How often a watch does what."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from sememe.errors import InputError


@dataclass(frozen=True)
class WatchConfig:
    """The settings of `sememe papers watch`.

    Raises:
        InputError: a value is not allowed.
    """

    every: int = field(default=60, metadata={"help": "minutes between two imports of the sources"})
    at: str = field(default="07:00", metadata={"help": "when digests leave, by this machine's clock"})
    base_url: str = field(
        default="http://127.0.0.1:8765", metadata={"help": "where the pages are, for the links in e-mails"}
    )

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"{self.every} minutes is too often", where="--every", hint="Use 1 or more")
        _ = self.time

    @property
    def time(self) -> datetime.time:
        """The time of day of `at`."""
        try:
            return datetime.time.fromisoformat(self.at)
        except ValueError:
            raise InputError(f"{self.at!r} is no time of day", where="--at", hint="Such as 07:00") from None
