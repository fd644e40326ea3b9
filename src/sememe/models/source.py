"""From a name to a folder on disk: a known model, a path, the hub's cache, and only then the hub."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sememe import disk
from sememe.errors import ModelError
from sememe.extras import require
from sememe.models import catalogue

# All that a model is made of, and nothing that could run: no pickles, no Python.
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_UNWANTED = ["onnx/*", "openvino/*", "*training*", "*eval*", "*optimizer*", "*scheduler*"]
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")


def find_folder(name: str | Path, kind: str) -> Path:
    """The folder of a model: a path when there is one, else the hub's cache, else the hub itself.

    Args:
        name: a folder, or a hub id, `owner/name` or `owner/name@revision`.
        kind: `encoder` or `language model`, for the error.

    Raises:
        ModelError: it leads nowhere, or the folder has no weights in safetensors format.

    """
    path = Path(name).expanduser()
    if path.is_dir():
        disk.recover(path)
        return checked(path)
    text = str(name)
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(text):
        what = "is a file, not a model folder" if path.exists() else "no such folder"
        raise ModelError(what, where=text, hint="Give the folder that holds config.json and model.safetensors")
    return checked(_from_hub(text, kind))


def checked(folder: Path) -> Path:
    """The same folder, after looking whether its weights are safetensors.

    Raises:
        ModelError: there are no weights, or only pickled ones, which can run code when they are opened.

    """
    if any(folder.glob("*.safetensors")) or any(folder.glob("*/*.safetensors")):
        return folder
    pickled = [file.name for pattern in _PICKLED for file in sorted(folder.glob(pattern))]
    if pickled:
        raise ModelError(
            f"has only pickled weights ({pickled[0]}), which can run code when they are opened",
            where=str(folder),
            hint="Convert them to model.safetensors where you trust them, for example with save_pretrained",
        )
    raise ModelError("has no model.safetensors", where=str(folder), hint="Check the path")


def fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over the names and the contents of a model's files."""
    total = hashlib.sha256()
    for file in sorted(files):
        with open(file, "rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 over what decides a folder's vectors: weights, configurations and tokenizer, not its README."""
    return fingerprint(file for pattern in _WANTED for depth in ("", "*/") for file in folder.glob(depth + pattern))


def is_offline() -> bool:
    """Whether the user has forbidden the network to Hugging Face libraries."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def lasting_name(name: str | Path) -> str:
    """What to call a model so that the name still leads to it from another folder."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else str(name)


def _from_hub(name: str, kind: str) -> Path:
    repository, _, revision = name.partition("@")
    cached = _snapshot(repository, revision, local_files_only=True)
    if isinstance(cached, Path) and any(cached.glob("**/*.safetensors")):
        return cached
    if is_offline():
        raise catalogue.unknown(name, kind, "not in the cache, and the network is switched off by HF_HUB_OFFLINE")
    found = _snapshot(repository, revision, local_files_only=False)
    if isinstance(found, Path):
        return found
    raise catalogue.unknown(name, kind, f"not in the cache, and the hub says: {found}")


def _snapshot(repository: str, revision: str, *, local_files_only: bool) -> Path | str:
    """The repository's folder in the cache, or why there is none."""
    hub: Any = require("huggingface_hub", "models")
    try:
        folder = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=_WANTED,
            ignore_patterns=_UNWANTED,
            local_files_only=local_files_only,
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError, hub.errors.HFValidationError) as error:
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    return Path(folder)
