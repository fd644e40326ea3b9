"""Loading weights and tokenizers with transformers: from a local folder, quietly, and never with code from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sememe.errors import ModelError
from sememe.extras import require

_OPTIONS = {"local_files_only": True, "trust_remote_code": False}

# Of models that encode and decode, only the encoder is loaded.
_ENCODER_ONLY = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}


def load_transformer(folder: Path) -> tuple[Any, Any]:
    """A transformer without an output layer, in float32, and its tokenizer.

    Raises:
        ModelError: transformers cannot load it.

    """
    transformers = require("transformers", "models")
    with _errors_of(folder):
        config = transformers.AutoConfig.from_pretrained(folder, **_OPTIONS)
        kind = getattr(transformers, _ENCODER_ONLY.get(config.model_type, "AutoModel"))
    return _load(folder, kind, "float32")


def load_language_model(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """A causal language model and its tokenizer.

    Raises:
        ModelError: transformers cannot load it.

    """
    return _load(folder, require("transformers", "models").AutoModelForCausalLM, dtype)


def load_classifier(folder: Path) -> tuple[Any, Any]:
    """A transformer with a classification layer, in float32, and its tokenizer.

    Raises:
        ModelError: transformers cannot load it.

    """
    return _load(folder, require("transformers", "models").AutoModelForSequenceClassification, "float32")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no load reports from transformers; both come back afterwards."""
    logging = require("transformers", "models").utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _load(folder: Path, kind: Any, dtype: Any) -> tuple[Any, Any]:
    with _errors_of(folder), quiet():
        model = kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, **_OPTIONS)
        tokenizer = require("transformers", "models").AutoTokenizer.from_pretrained(folder, **_OPTIONS)
    if not tokenizer.is_fast:
        raise ModelError("has no fast tokenizer", where=str(folder), hint="Add its tokenizer.json")
    return model, tokenizer


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"cannot be loaded by transformers ({reason})", where=str(folder)) from error
