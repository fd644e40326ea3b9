"""Atoms written as a folder of SAELens; see `sememe.atoms.saelens`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import disk
from sememe.artifact import dump_json
from sememe.atoms.foreign import plain, texts
from sememe.atoms.hook_names import HEADS, hook_of
from sememe.errors import ArtifactError, InputError
from sememe.models.catalogue import hub_id

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SPARSITY = "sparsity.safetensors"

_FORMAT = "6.0.0"  # from this version on, sae-lens reads `metadata` instead of flat names


def export_saelens(atoms: Atoms, path: str | Path) -> dict[str, Any]:
    """Write atoms as a folder that `sae_lens.SAE.load_from_disk` loads, with the same codes and reconstructions.

    Atoms with thresholds become `jumprelu` (its `>` with the next smaller float32 number is our `>=`), without
    `standard`, with a `k` `topk`. `sparsity.safetensors` holds log10 of each atom's share of active vectors, where that
    is known. Labels, inner product and certificate have no place there.

    Returns:
        What `cfg.json` holds.

    Raises:
        InputError: the atoms have both a `k` and thresholds.
        ArtifactError: `path` is a folder that holds anything else, or cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    there = {file.name for file in path.iterdir()} if path.is_dir() else set()
    if there and not {CONFIG, WEIGHTS} <= there <= {CONFIG, WEIGHTS, SPARSITY}:
        raise ArtifactError(
            "is not a SAELens folder, or holds more, so it is not replaced",
            where=str(path),
            hint="Choose another path",
        )
    config, arrays = _config(atoms), _arrays(atoms)
    sparsity = _sparsity(atoms)
    with disk.new_folder(path) as folder:
        disk.write_file(folder / WEIGHTS, save(arrays))
        if sparsity is not None:
            disk.write_file(folder / SPARSITY, save({"sparsity": sparsity}))
        disk.write_file(folder / CONFIG, dump_json(config))
    return config


def _config(atoms: Atoms) -> dict[str, Any]:
    origin = atoms.card.get("source", {})
    source, length = texts(origin, ("model", "site", "hook", "corpus")), plain(origin, ("max_tokens",))
    site = source.get("site")
    hook = (hook_of(site) if site else None) or source.get("hook")
    heads = hook is not None and hook.endswith(HEADS)
    architecture = _architecture(atoms)
    return {
        "architecture": architecture,
        "d_in": atoms.dimensions,
        "d_sae": atoms.n_atoms,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        # sae-lens takes the heads' outputs as (..., heads, width) and lays them side by side itself.
        "reshape_activations": HEADS if heads else "none",
        "metadata": {
            "sae_lens_version": _FORMAT,
            "sae_lens_training_version": None,
            "model_name": hub_id(source.get("model", "")) or source.get("model"),
            "hook_name": hook,
            "hook_head_index": None,
            "context_size": length.get("max_tokens"),
            "dataset_path": source.get("corpus"),
            "sememe": {**texts(source, ("model", "site")), **_figures(atoms)},
        },
        **({"k": atoms.weights.k, "rescale_acts_by_decoder_norm": False} if architecture == "topk" else {}),
    }


def _architecture(atoms: Atoms) -> str:
    weights = atoms.weights
    thresholds = bool((weights.thresholds > 0).any())
    if weights.k is None or weights.k >= weights.n_atoms:
        return "jumprelu" if thresholds else "standard"
    if thresholds:
        raise InputError(
            "the atoms have both a k and thresholds, and no architecture of SAELens has",
            where="weights",
            hint="Export atoms of one coder",
        )
    return "topk"


def _arrays(atoms: Atoms) -> dict[str, np.ndarray]:
    weights = atoms.weights
    arrays = {
        "W_enc": weights.encoder.T,
        "W_dec": weights.decoder,
        "b_enc": weights.encoder_bias,
        "b_dec": weights.bias,
    }
    if _architecture(atoms) == "jumprelu":
        below = np.nextafter(weights.thresholds.astype(np.float32), np.float32(0))
        arrays["threshold"] = below
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def _sparsity(atoms: Atoms) -> np.ndarray | None:
    n = _n_vectors(atoms)
    if n is None:
        return None
    return np.log10(atoms.fired / n + 1e-10).astype(np.float32)


def _n_vectors(atoms: Atoms) -> int | None:
    """How many vectors `fired` counts; None when that is not known."""
    card = atoms.card
    if "n_vectors" in card:
        return int(card["n_vectors"])
    if "n_train" in card and "n_held_out" in card:
        return int(card["n_train"] + card["n_held_out"]) or None
    return None


def _figures(atoms: Atoms) -> dict[str, Any]:
    n = _n_vectors(atoms)
    figures = plain(atoms.card, ("coder", "r2", "mean_active"))
    return figures if n is None else {**figures, "n_vectors": n}
