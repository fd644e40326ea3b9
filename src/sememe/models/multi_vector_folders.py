"""What a folder of a late-interaction model says: sentence-transformers' MultiVectorEncoder, PyLate and ColBERT.

Only JSON and safetensors are read. PyLate and ColBERT keep their settings in other places and put markers in front of
texts as token ids; both are brought into one form here, in which a marker is a text that the tokenizer keeps whole.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sememe import artifact
from sememe.errors import ModelError
from sememe.models import heads, layout
from sememe.models.layout import MODULES, SETTINGS

MODEL_TYPES = ("MultiVectorEncoder", "ColBERT")
WEIGHTS = "model.safetensors"
PRUNING = "pruning"
"""The setting that says what a model was trained with; other libraries pass it over."""
_METADATA = "artifact.metadata"
_PUNCTUATION = tuple(string.punctuation)
_PYLATE_MARKS = (
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_prefix",
    "document_prefix",
    "skiplist_words",
)


@dataclass(frozen=True)
class Expansion:
    """Filling short queries up with mask tokens, whose vectors count in the score (Khattab and Zaharia 2020)."""

    length: int
    """How many tokens a query has at least."""
    cuts: bool = True
    """Whether longer queries are cut to this length."""
    attend: bool = False
    """Whether the other tokens attend to the mask tokens."""
    token: str | None = None
    """The token to fill with; the tokenizer's mask token by default."""


@dataclass(frozen=True)
class TokenLayout:
    """What a folder holds, whatever wrote it."""

    base: Path
    """The folder of the transformer."""
    heads: tuple[tuple[str, Path], ...] = ()
    """Layers that work on every token's vector: the kind and the folder of each."""
    linear: bool = False
    """Whether a projection lies beside the transformer's weights, as ColBERT stores it."""
    max_length: int | None = None
    query_length: int | None = None
    document_length: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    markers: tuple[str, ...] = ()
    """Prompts that were token ids: where the tokenizer knows them, they are one token."""
    expansion: Expansion | None = None
    skipped: tuple[str, ...] = ()
    """Tokens whose vectors are left out."""
    skipped_in: tuple[str, ...] = ("document",)
    kept_ids: tuple[int, ...] = ()
    """If there are any, only these tokens of a document count."""
    pruning: str | None = None
    """The method that it was trained with, such as `C8x32`."""

    def settings(self) -> dict[str, Any]:
        """What decides the vectors beside weights, tokenizer and lengths."""
        names = ("lower_case", "markers", "expansion", "skipped", "skipped_in", "kept_ids", "linear")
        values = {name: getattr(self, name) for name in names}
        return {**values, "prompts": dict(self.prompts)}


def read_token_layout(folder: Path) -> TokenLayout:
    """Read a folder of a late-interaction model, of a sentence-transformers encoder, or of a bare transformer.

    Of an encoder that gives one vector, the pooling is left out and its dense layers work on every token, as
    sentence-transformers does it.

    Raises:
        ModelError: it has a module or an option that is not supported.
        ArtifactError: a JSON file is damaged.

    """
    settings = artifact.load_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    if not (folder / MODULES).is_file():
        config = artifact.load_json(folder / "config.json") if (folder / "config.json").is_file() else {}
        if "HF_ColBERT" in (config.get("architectures") or ()):
            return _colbert(folder)
        return TokenLayout(base=folder)
    if settings.get("model_type") in MODEL_TYPES or not _has_pooling(folder):
        return _late_interaction(folder, settings)
    found = layout.read_layout(folder)
    return TokenLayout(
        base=found.base,
        heads=tuple(head for head in found.heads if head[0] != "Normalize"),
        max_length=found.max_length,
        lower_case=found.lower_case,
        prompts=found.prompts,
    )


def read_token_head(kind: str, folder: Path, device: Any) -> heads.Head:
    """One layer that works on every token's vector.

    Raises:
        ModelError: it has an option that is not supported, or no weights in safetensors format.
        ArtifactError: its files are damaged.

    """
    if kind != "Dense":
        return heads.read_head(kind, folder, device)
    config = artifact.load_json(folder / heads.CONFIG)
    try:
        return heads._read_dense(config, folder, device)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"has a configuration that makes no Dense ({error!r})", where=str(folder)) from error


def read_linear(folder: Path, device: Any) -> heads.Head:
    """The projection that ColBERT keeps among the transformer's weights.

    Raises:
        ModelError: it is not there.
        ArtifactError: the weights are damaged.

    """
    import torch

    weights = artifact.load_arrays(folder / WEIGHTS).get("linear.weight")
    if weights is None or weights.ndim != 2:
        raise ModelError("has no linear.weight, the projection of a ColBERT model", where=str(folder / WEIGHTS))
    module = torch.nn.Module()
    module.linear = torch.nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    module.load_state_dict({"linear.weight": torch.from_numpy(weights).float()})
    return heads.Dense(module.eval().to(device), "Identity")


def _has_pooling(folder: Path) -> bool:
    return any(str(module.get("type", "")).endswith(".Pooling") for module in layout._modules(folder))


def _late_interaction(folder: Path, settings: Mapping[str, Any]) -> TokenLayout:
    modules = [
        (_kind(module, folder), layout._inside(folder, str(module.get("path", ""))))
        for module in layout._modules(folder)
    ]
    if modules[0][0] != "Transformer":
        raise ModelError(f"begins with a module of kind {modules[0][0]!r}", where=str(folder))
    base = modules[0][1]
    own = {**_pylate_settings(settings), **_own_settings(layout._transformer_settings(base))}
    is_pylate = settings.get("model_type") == "ColBERT"
    found = {kind for kind, _ in modules}
    if "Normalize" not in found and not is_pylate:
        raise ModelError(
            "gives token vectors that are not of unit length", where=str(folder / MODULES),
            hint="Supported are models that end with Normalize",
        )  # fmt: skip
    mask = next((_mask(place) for kind, place in modules if kind == "MultiVectorMask"), {})
    if "MultiVectorMask" not in found:
        words = settings.get("skiplist_words")
        mask = {"skipped": tuple(words) if words is not None else _PUNCTUATION * is_pylate}
    for kind, place in modules:
        if kind == "HierarchicalTokenPooling":
            _refuse_pooling(place)
    prompts, markers = _prompts(settings, folder)
    return TokenLayout(
        base=base,
        heads=tuple(module for module in modules if module[0] == "Dense"),
        prompts=prompts,
        markers=markers,
        pruning=_pruning(settings, folder),
        **own,
        **mask,
    )


def _pruning(settings: Mapping[str, Any], folder: Path) -> str | None:
    found = settings.get(PRUNING)
    if found is None or isinstance(found, str):
        return found
    raise ModelError(f"{PRUNING} is {found!r}, which is no method", where=str(folder / SETTINGS))


_KINDS = ("Transformer", "Dense", "MultiVectorMask", "Normalize", "Dropout", "HierarchicalTokenPooling")


def _kind(module: Mapping[str, Any], folder: Path) -> str:
    reference = str(module.get("type", ""))
    if reference == "pylate.models.Dense.Dense":
        return "Dense"
    kind = layout._kind(module, folder)
    if kind not in _KINDS:
        raise ModelError(f"has a module of kind {kind!r}", where=str(folder / MODULES),
                         hint=f"Supported: {', '.join(_KINDS)}")  # fmt: skip
    return kind


def _own_settings(transformer: Mapping[str, Any]) -> dict[str, Any]:
    """What sentence-transformers keeps beside the transformer."""
    found = {
        name: transformer[name] for name in ("query_length", "document_length") if transformer.get(name) is not None
    }
    if transformer.get("query_expansion") is not None:
        found["expansion"] = _expansion(transformer["query_expansion"])
    return {
        **found,
        "max_length": transformer.get("max_seq_length"),
        "lower_case": bool(transformer.get("do_lower_case", False)),
    }


def _pylate_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What PyLate keeps in the settings of the whole model; where it is silent, what it does by default."""
    if not any(name in settings for name in _PYLATE_MARKS):
        return {}
    found: dict[str, Any] = {"document_length": settings.get("document_length")}
    if "query_expansion" in settings:
        given = settings["query_expansion"]
        found |= {"query_length": settings.get("query_length"), "expansion": given and _expansion(given)}
    elif settings.get("do_query_expansion") is False:
        found |= {"query_length": settings.get("query_length")}
    else:
        attend = settings.get("attend_to_expansion_tokens", settings.get("attend_to_mask_tokens"))
        found |= {"expansion": Expansion(settings.get("query_length") or 32, attend=bool(attend))}
    return found


def _expansion(given: Mapping[str, Any]) -> Expansion:
    length, strategy = given.get("length"), given.get("strategy")
    if strategy not in ("fixed", "min") or not isinstance(length, int) or length < 1:
        raise ModelError(f"fills up queries in an unknown way: {dict(given)!r}", hint="Known: fixed, min")
    return Expansion(length, strategy == "fixed", bool(given.get("attend", False)), given.get("token"))


def _prompts(settings: Mapping[str, Any], folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    prompts, markers = layout._prompts(settings, folder), []
    for name, kind in (("query_prefix", "query"), ("document_prefix", "document")):
        if name in settings:
            prefix = str(settings[name] or "")
            markers.append(prefix)
            prompts[kind] = prefix + prompts.get(kind, "").removeprefix(prefix)
    return prompts, tuple(filter(None, markers))


def _mask(folder: Path) -> dict[str, Any]:
    config = artifact.load_json(folder / heads.CONFIG) if (folder / heads.CONFIG).is_file() else {}
    tasks = config.get("skiplist_tasks") or ["document"]
    return {
        "skipped": tuple(config.get("skiplist_words") or ()),
        "skipped_in": (tasks,) if isinstance(tasks, str) else tuple(tasks),
        "kept_ids": tuple(config.get("keep_only_token_ids") or ()),
    }


def _refuse_pooling(folder: Path) -> None:
    config = artifact.load_json(folder / heads.CONFIG) if (folder / heads.CONFIG).is_file() else {}
    if float(config.get("pool_factor", 1.0)) > 1:
        raise ModelError(
            "merges token vectors by itself (HierarchicalTokenPooling)",
            where=str(folder),
            hint="Take the module out of modules.json and give the index a pruning, such as C25%",
        )


def _colbert(folder: Path) -> TokenLayout:
    """The format of Stanford's ColBERT: settings in `artifact.metadata`, markers that are unused words."""
    given = artifact.load_json(folder / _METADATA) if (folder / _METADATA).is_file() else {}
    markers = (given.get("query_token_id") or "[unused0]", given.get("doc_token_id") or "[unused1]")
    return TokenLayout(
        base=folder,
        linear=True,
        document_length=given.get("doc_maxlen"),
        prompts={"query": f"{markers[0]} ", "document": f"{markers[1]} "},
        markers=tuple(f"{marker} " for marker in markers),
        expansion=Expansion(given.get("query_maxlen") or 32, attend=bool(given.get("attend_to_mask_tokens"))),
        skipped=_PUNCTUATION if given.get("mask_punctuation", True) else (),
    )
