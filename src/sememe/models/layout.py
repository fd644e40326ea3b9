"""The folder format of sentence-transformers: which modules a model has, and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sememe import artifact, disk
from sememe.errors import ArtifactError, ModelError
from sememe.models.pooling import Pooling, read_pooling

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
TRANSFORMER_SETTINGS = "sentence_bert_config.json"

Value = TypeVar("Value")

_TRANSFORMER_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True)
class Layout:
    """What a model folder holds, read from its JSON files only."""

    base: Path
    """The folder of the transformer, or of the static vectors."""
    kind: str
    """`Transformer` or `StaticEmbedding`."""
    pooling: Pooling | None = None
    """None for static vectors, and where the model's own default applies."""
    heads: tuple[tuple[str, Path], ...] = ()
    """What follows the pooling: the kind and the folder of each."""
    max_length: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=lambda: {"query": "", "document": ""})
    default_prompt_name: str | None = None
    truncate_dim: int | None = None
    similarity: str | None = None
    """How its vectors are compared, `cosine` or `dot`; None when the model does not say."""


def read_layout(folder: Path) -> Layout:
    """Read the layout of a model folder; one without `modules.json` is a bare transformer.

    Raises:
        ModelError: it has a module of a kind that is not supported.
        ArtifactError: a JSON file is damaged.

    """
    if not (folder / MODULES).is_file():
        return Layout(base=folder, kind="Transformer")
    modules = [(_kind(module, folder), _inside(folder, str(module.get("path", "")))) for module in _modules(folder)]
    kind, base = modules[0]
    if kind not in ("Transformer", "StaticEmbedding"):
        raise ModelError(
            f"begins with a module of kind {kind!r}",
            where=str(folder),
            hint="Supported: Transformer, StaticEmbedding",
        )
    rest = [module for module in modules[1:] if module[0] != "Dropout"]
    pooling = None
    if kind == "Transformer":
        if not rest or rest[0][0] != "Pooling":
            found = rest[0][0] if rest else "nothing"
            raise ModelError(f"has {found} where its pooling should be", where=str(folder))
        place = rest.pop(0)[1] / "config.json"
        pooling = read_pooling(artifact.load_json(place), str(place))
    settings = _json(folder / SETTINGS)
    transformer = _transformer_settings(base)
    return Layout(
        base=base,
        kind=kind,
        pooling=pooling,
        heads=tuple(rest),
        max_length=_checked(transformer.get("max_seq_length"), int, base, "max_seq_length"),
        lower_case=bool(transformer.get("do_lower_case", False)),
        prompts={"query": "", "document": "", **_prompts(settings, folder)},
        default_prompt_name=_checked(settings.get("default_prompt_name"), str, folder, "default_prompt_name"),
        truncate_dim=_checked(settings.get("truncate_dim"), int, folder, "truncate_dim"),
        similarity=_checked(settings.get("similarity_fn_name"), str, folder, "similarity_fn_name"),
    )


def refuse_other_folder(path: Path) -> None:
    """Refuse to replace a folder that holds anything but an encoder.

    Raises:
        ArtifactError: it does.

    """
    if path.is_dir() and any(path.iterdir()) and not (path / MODULES).is_file():
        raise ArtifactError("is not an encoder's folder, so it is not replaced", where=str(path),
                            hint="Choose another path")  # fmt: skip


def write_layout(folder: Path, kinds: list[str], paths: list[str], layout: Layout) -> None:
    """Write `modules.json` and the settings, in the form that every version of sentence-transformers reads."""
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    settings = {
        "__version__": {},
        "prompts": dict(layout.prompts),
        "default_prompt_name": layout.default_prompt_name,
        "similarity_fn_name": layout.similarity or "cosine",
        **({"truncate_dim": layout.truncate_dim} if layout.truncate_dim is not None else {}),
    }
    disk.write_file(folder / MODULES, (json.dumps(modules, indent=2) + "\n").encode())
    disk.write_file(folder / SETTINGS, artifact.dump_json(settings))


def _modules(folder: Path) -> list[dict[str, Any]]:
    place = folder / MODULES
    try:
        modules = json.loads(disk.read_file(place))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"is not valid JSON ({error})", where=str(place)) from error
    if not isinstance(modules, list) or not modules or not all(isinstance(module, dict) for module in modules):
        raise ModelError("is not a list of modules", where=str(place))
    return modules


def _kind(module: Mapping[str, Any], folder: Path) -> str:
    reference = str(module.get("type", ""))
    if not reference.startswith("sentence_transformers."):
        raise ModelError(
            f"needs code of its own ({reference})",
            where=str(folder / MODULES),
            hint="Sememe never runs code that comes with a model",
        )
    return reference.rsplit(".", 1)[-1]


def _inside(folder: Path, path: str) -> Path:
    target = (folder / path).absolute()
    if ".." in Path(path).parts or Path(path).is_absolute():
        raise ModelError(f"has a module outside its folder: {path!r}", where=str(folder / MODULES))
    return target


def _checked(value: Any, kind: type[Value], where: Path, name: str) -> Value | None:
    if value is None or isinstance(value, kind):
        return value
    raise ModelError(f"{name} is {value!r}, which is no {kind.__name__}", where=str(where))


def _prompts(settings: Mapping[str, Any], where: Path) -> dict[str, str]:
    prompts: dict[str, str] = _checked(settings.get("prompts"), dict, where, "prompts") or {}
    return {name: _checked(text, str, where, f"prompt {name!r}") or "" for name, text in prompts.items()}


def _json(path: Path) -> dict[str, Any]:
    return artifact.load_json(path) if path.is_file() else {}


def _transformer_settings(base: Path) -> dict[str, Any]:
    settings: dict[str, Any] = next(filter(None, (_json(base / name) for name in _TRANSFORMER_SETTINGS)), {})
    task = settings.get("transformer_task", "feature-extraction")
    modalities = settings.get("modality_config") or {"text": {"method_output_name": "last_hidden_state"}}
    text = modalities.get("text") or {}
    if task != "feature-extraction" or text.get("method_output_name") != "last_hidden_state":
        raise ModelError(
            f"is a {task!r} transformer for {', '.join(modalities)}",
            where=str(base),
            hint="Supported are transformers that read plain text and give a vector for each token",
        )
    return settings
