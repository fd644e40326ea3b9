"""Writing a late-interaction model in the folder format of sentence-transformers' MultiVectorEncoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sememe import artifact, disk
from sememe.errors import ModelError
from sememe.models.heads import CONFIG, Head
from sememe.models.layout import MODULES, SETTINGS, TRANSFORMER_SETTINGS
from sememe.models.loading import quiet
from sememe.models.multi_vector_folders import PRUNING, TokenLayout

_HOMES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}
_ON_TOKENS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


def write_token_layout(folder: Path, model: Any, tokenizer: Any, heads: tuple[Head, ...], layout: TokenLayout) -> None:
    """Write all files of a model into an empty folder that somebody else makes durable.

    Args:
        folder: the folder.
        model: the transformer.
        tokenizer: its tokenizer.
        heads: dense layers that work on every token's vector.
        layout: the settings; the pruning among them is read by Sememe alone.

    Raises:
        ModelError: it has markers that only its own library knows.

    """
    if layout.markers:
        raise ModelError(
            f"has markers ({', '.join(map(repr, layout.markers))}) that this format cannot express",
            where=str(layout.base),
        )
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    disk.write_file(folder / TRANSFORMER_SETTINGS, artifact.dump_json(_transformer(layout)))
    kinds = ["Transformer", *(head.kind for head in heads), "MultiVectorMask", "Normalize"]
    paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds[1:], start=1))]
    for path in paths[1:]:
        (folder / path).mkdir()
    for path, head in zip(paths[1:], heads, strict=False):
        for name, data in head.files().items():
            disk.write_file(folder / path / name, _on_tokens(data) if name == CONFIG else data)
    mask = {
        "skiplist_words": list(layout.skipped),
        "skiplist_tasks": list(layout.skipped_in),
        "keep_only_token_ids": list(layout.kept_ids) or None,
    }
    disk.write_file(folder / paths[-2] / CONFIG, artifact.dump_json(mask))
    disk.write_file(folder / paths[-1] / CONFIG, artifact.dump_json(_ON_TOKENS))
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": _HOMES[kind]}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    settings = {
        "__version__": {},
        "model_type": "MultiVectorEncoder",
        "prompts": {"query": "", "document": "", **layout.prompts},
        "default_prompt_name": None,
        "similarity_fn_name": "maxsim",
        **({} if layout.pruning is None else {PRUNING: layout.pruning}),
    }
    disk.write_file(folder / MODULES, (json.dumps(modules, indent=2) + "\n").encode())
    disk.write_file(folder / SETTINGS, artifact.dump_json(settings))


def _transformer(layout: TokenLayout) -> dict[str, Any]:
    found: dict[str, Any] = {"max_seq_length": layout.max_length, "do_lower_case": layout.lower_case}
    found |= {name: getattr(layout, name) for name in ("query_length", "document_length") if getattr(layout, name)}
    if layout.expansion is not None:
        given = layout.expansion
        found["query_expansion"] = {
            "strategy": "fixed" if given.cuts else "min",
            "length": given.length,
            "attend": given.attend,
            **({} if given.token is None else {"token": given.token}),
        }
    return found


def _on_tokens(config: bytes) -> bytes:
    return artifact.dump_json({**json.loads(config), **_ON_TOKENS})
