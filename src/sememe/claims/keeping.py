"""Parts of a long run, kept until it is done: a kill loses the part that was being measured, and no other."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sememe
from sememe import disk
from sememe.claims.machine import versions


class Kept:
    """What was measured so far.

    Only what the same code, the same versions and the same data folder measured is used again.

    Args:
        folder: where it is.
        data: the folder that data sets are read from.

    Attributes:
        seconds: how long it took to measure what was found.

    """

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder, self._data = folder, data
        self.seconds = 0.0

    def part(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stopped run measured, or what `make` measures now; anything that JSON holds, in the same order.

        Args:
            name: of the part, within the claim and scale.
            make: measures it; may have parts of its own.

        """
        key = hashlib.sha256(f"{_marks()} {self._data.resolve()} {name}".encode()).hexdigest()[:24]
        path = self._folder / f"{key}.json"
        if path.is_file():
            stored: dict[str, Any] = json.loads(disk.read_file(path))
            self.seconds += stored["seconds"]
            return dict(stored["found"])
        before, started = self.seconds, time.perf_counter()
        found = make()
        seconds = time.perf_counter() - started + self.seconds - before
        disk.make_folder(self._folder)
        disk.write_file(path, json.dumps({"name": name, "seconds": seconds, "found": found}, allow_nan=False).encode())
        return found

    def clear(self) -> None:
        """Forget everything: the run is done, and the next one measures anew."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)


def _marks() -> str:
    """Of the code of Sememe and the versions of what it stands on."""
    package = Path(sememe.__file__).parent
    code = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        code.update(
            f"{file.relative_to(package).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
        )
    return f"{code.hexdigest()} {json.dumps(versions(), sort_keys=True)}"
