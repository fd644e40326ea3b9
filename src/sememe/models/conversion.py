"""GGUF files, converted once: de-quantising takes transformers 18 s a time, reading the result 0.4 s."""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

from sememe import disk
from sememe.errors import LockedError, ModelError
from sememe.extras import require
from sememe.lock import WriterLock
from sememe.models.loading import quiet
from sememe.progress import is_watched

_WEIGHTS = "model.safetensors"
_PATIENCE = 300.0


def converted(gguf: Path) -> Path:
    """The folder with the weights of a GGUF file as float32 safetensors, made when it is not there yet.

    The folder's name holds the file's checksum, so another version of the file gets another folder.

    Raises:
        ModelError: transformers cannot read the file.
        LockedError: another process has been converting it for five minutes.

    """
    with open(gguf, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = disk.cache_folder() / "models" / f"{gguf.stem}-{digest[:16]}"
    if (target / _WEIGHTS).is_file():
        return target
    disk.make_folder(target.parent)
    lock = _wait_for_lock(target.parent)
    try:
        disk.recover(target)
        if not (target / _WEIGHTS).is_file():
            _convert(gguf, target)
    finally:
        lock.release()
    return target


def _convert(gguf: Path, target: Path) -> None:
    require("accelerate", "models")
    require("gguf", "models")
    from safetensors.torch import save

    model, tokenizer = _load(gguf)
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with disk.new_folder(target) as folder, quiet():
        data = save({name: tensor.contiguous() for name, tensor in state.items()}, metadata={"format": "pt"})
        disk.write_file(folder / _WEIGHTS, data)
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _load(gguf: Path) -> tuple[Any, Any]:
    transformers = require("transformers", "models")
    options = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    # Its bar is welcome where somebody watches, and noise in a log.
    unseen = nullcontext() if is_watched() else redirect_stderr(io.StringIO())
    try:
        with quiet(), unseen:
            tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, dtype="float32", **options)
    except Exception as error:  # its GGUF reader lets through whatever parsing a damaged file runs into
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"cannot be converted by transformers ({reason})", where=str(gguf)) from error
    return model, tokenizer


def _wait_for_lock(folder: Path) -> WriterLock:
    """Two processes that want the same model at once: the second waits for the first."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return WriterLock(folder)
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
