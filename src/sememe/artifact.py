"""Saving and loading what was learned: a folder with `model.safetensors` and `card.json`, never a pickle.

The card says what made the arrays, from what, with which version, and how they measured. It also holds the
checksum of every other file, so that a damaged or half-copied artifact is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from sememe import disk
from sememe.errors import ArtifactError
from sememe.version import __version__

ARRAYS = "model.safetensors"
CARD = "card.json"
CHECKSUM = "sha256"
FORMAT_VERSION = 1
MAX_CARD_BYTES = 64 << 20
MAX_HEADER_BYTES = 100_000_000

Result = TypeVar("Result")


def save(
    path: str | Path,
    kind: str,
    arrays: Mapping[str, np.ndarray],
    card: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write an artifact folder in one step; an older one at `path` is replaced only when the new one stands.

    Args:
        path: the folder.
        kind: what it is, such as `atoms`; a loader refuses other kinds.
        arrays: what was learned, by name.
        card: JSON values: parameters, source, measurements. No time stamps, so that equal work gives equal bytes.
        files: further files by name, such as a tokenizer's.

    Raises:
        ArtifactError: `path` is a file or a folder of something else, or cannot be written.

    """
    path = Path(path)
    check_replaceable(path, kind)
    contents = {ARRAYS: save_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})}
    contents.update(files or {})
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    with disk.new_folder(path) as folder:
        for name, data in contents.items():
            disk.write_file(folder / name, data)
        disk.write_file(folder / CARD, seal(kind, {**card, "files": checksums}))


def check_replaceable(path: Path, kind: str) -> None:
    """Refuse a folder of something else, before the work whose result it is to hold.

    Raises:
        ArtifactError: the folder holds files and no card.

    """
    if path.is_dir() and list(path.iterdir()) and not (path / CARD).is_file():
        raise ArtifactError(
            f"is not {_a(kind)} folder, so it is not replaced", where=str(path), hint="Choose another path"
        )


def load(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read an artifact folder and check it whole.

    Returns:
        The arrays by name, and the card.

    Raises:
        ArtifactError: it is missing, damaged, half-written, of another kind or from a newer version.

    """
    path = Path(path)
    return _read_whole(path, lambda: _load(path, kind))


def _load(path: Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    card = _load_card(path, kind)
    return _load_files(path, card), card


def _read_whole(path: Path, read: Callable[[], Result]) -> Result:
    """Read a folder that another process may be replacing: what looks like damage may be two versions, or none."""
    while True:
        before = disk.standing(path)
        try:
            return read()
        except ArtifactError:
            if disk.standing(path) == before:
                raise


def _load_files(path: Path, card: Mapping[str, Any]) -> dict[str, np.ndarray]:
    for name, expected in sorted(card["files"].items()):
        if name != Path(name).name:
            raise ArtifactError(f"lists a file outside its folder: {name!r}", where=str(path / CARD))
        data = disk.read_file(path / name)
        if hashlib.sha256(data).hexdigest() != expected:
            raise ArtifactError(
                "is damaged: its checksum differs from the card's",
                where=str(path / name),
                hint="Make it again, or restore it from a copy",
            )
        if name == ARRAYS:
            arrays = _arrays(data, path / name)
    return arrays


def load_card(path: str | Path, kind: str) -> dict[str, Any]:
    """Read only the card of an artifact folder.

    Raises:
        ArtifactError: there is no readable card, or it is of another kind or from a newer version.

    """
    path = Path(path)
    return _read_whole(path, lambda: _load_card(path, kind))


def seal(kind: str, card: Mapping[str, Any]) -> bytes:
    """The bytes of a card with its kind, versions and own checksum, for `unseal`."""
    # A card that was loaded brings an old header along.
    whole = {**card, "kind": kind, "format_version": FORMAT_VERSION, "sememe_version": __version__}
    return dump_json({**whole, CHECKSUM: _checksum(whole)})


def _load_card(path: Path, kind: str) -> dict[str, Any]:
    card = unseal(path, kind)
    if not isinstance(card.get("files"), dict) or ARRAYS not in card["files"]:
        raise ArtifactError(f"does not list {ARRAYS}", where=str(path / CARD))
    return card


def unseal(path: Path, kind: str) -> dict[str, Any]:
    """The card that `seal` made, of any folder that holds one.

    Raises:
        ArtifactError: there is no readable card, or it is of another kind, damaged, or from a newer version.

    """
    if not (path / CARD).is_file():
        raise ArtifactError(f"is not {_a(kind)} folder: it has no {CARD}", where=str(path), hint="Check the path")
    card = load_json(path / CARD)
    checksum = card.pop(CHECKSUM, None)
    if card.get("kind") != kind:
        raise ArtifactError(f"is {_a(str(card.get('kind')))}, not {_a(kind)}", where=str(path))
    version = card.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ArtifactError(
            f"has format version {version}; this Sememe ({__version__}) reads up to {FORMAT_VERSION}",
            where=str(path),
            hint="Install a newer Sememe",
        )
    if not _is_intact(card, checksum):
        raise ArtifactError(
            "is damaged or was edited: its own checksum differs",
            where=str(path / CARD),
            hint="Make it again, or restore it from a copy",
        )
    return card


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file, refusing a header that does not fit the file before anything is allocated.

    Raises:
        ArtifactError: the file is missing or damaged.

    """
    return _arrays(disk.read_file(path), path)


def _arrays(data: bytes, path: Path) -> dict[str, np.ndarray]:
    header_bytes = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else -1
    if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise ArtifactError(f"is damaged at byte 0: its header does not fit its {len(data)} bytes", where=str(path))
    try:
        return dict(load_tensors(data))
    except Exception as error:  # safetensors raises a class of its own for each kind of damage
        raise ArtifactError(f"is not a valid safetensors file ({error})", where=str(path)) from error


def dump_json(value: Any) -> bytes:
    """JSON as people and version control like it: sorted, indented, one newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8; JSON can escape it
        return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtifactError: it is missing, too large, nested too deeply, or not a JSON object.

    """
    data = disk.read_file(path, MAX_CARD_BYTES + 1)
    if len(data) > MAX_CARD_BYTES:
        raise ArtifactError(f"is too large for a card (more than {MAX_CARD_BYTES} bytes)", where=str(path))
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"is not valid JSON ({error})", where=str(path)) from error
    if not isinstance(value, dict):
        raise ArtifactError("does not hold a JSON object", where=str(path))
    return value


def _checksum(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(dump_json(dict(card))).hexdigest()


def _is_intact(card: Mapping[str, Any], checksum: Any) -> bool:
    try:
        return bool(checksum == _checksum(card))
    except (ValueError, RecursionError):
        return False  # it holds NaN or is nested too deeply: nothing that `save` writes


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
