"""Folders of SAELens (sae-lens 6): `cfg.json` and `sae_weights.safetensors`, written and read without it.

What it computes, with u = b_dec where `apply_b_dec_to_input`, else 0, and p = W_encᵀ (x - u) + b_enc:

| `architecture` | activation | as atoms |
| --- | --- | --- |
| `standard` | a = max(p, 0) | thresholds 0 |
| `jumprelu` | a = p where p > threshold and p > 0 | `>=` the next larger float32 number |
| `topk` | the k largest of max(p, 0), or of max(p, 0) times the norm of the decoder's row | `k` |
| `batchtopk`, `matryoshka_batchtopk` | in training the largest of a batch, afterwards p > one number | as `jumprelu` |
| `gated` | a = max(e^r W_encᵀ (x - u) + b_mag, 0) where W_encᵀ (x - u) + b_gate > 0 | see `_gated` |

and x' = a W_dec + b_dec. Rows of W_dec are brought to unit norm (`sememe.atoms.foreign.ForeignCoder.to_weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sememe import disk
from sememe.artifact import load_json
from sememe.atoms.atoms import Atoms
from sememe.atoms.foreign import (
    ForeignCoder,
    check_finite,
    check_shapes,
    plain,
    read_config,
    read_tensors,
    row_norms,
    texts,
    whole_number,
)
from sememe.atoms.hook_names import HEADS, site_of
from sememe.atoms.saelens_export import CONFIG, SPARSITY, WEIGHTS, export_saelens
from sememe.errors import ArtifactError

__all__ = ["export_saelens", "import_saelens"]

SCALER = "activation_scaler.json"
SHARES = 10**9
"""The counts of `fired` add up to shares of this number where only shares are known."""

_EXTRA = {  # the tensors beside W_enc, W_dec and b_dec
    "standard": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "batchtopk": ("b_enc", "topk_threshold"),
    "matryoshka_batchtopk": ("b_enc", "topk_threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
_WANTED = {"W_enc", "W_dec", "b_dec", "log_threshold", "scaling_factor"}.union(*_EXTRA.values())
_FIGURES = ("architecture", "d_in", "d_sae", "dtype", "k", "apply_b_dec_to_input", "normalize_activations",
            "rescale_acts_by_decoder_norm")  # fmt: skip
_HISTORY = ("sae_lens_version", "sae_lens_training_version", "training_architecture", "context_size", "prepend_bos",
            "hook_head_index")  # fmt: skip

Tensors = dict[str, np.ndarray]


def import_saelens(path: str | Path) -> Atoms:
    """Read a folder that sae-lens wrote, of version 6 or older, as atoms that code and reconstruct the same.

    Decoder rows of other norms than 1 are normalised and the activations multiplied by their norm. Checkpoints of a
    training run are read too, with the scaling of `activation_scaler.json` folded in.

    Returns:
        Atoms with the card `{"coder": "imported", "source": {"model", "site", "hook", "corpus"}, "imported": {...},
        "n_vectors", "certificate": {}}`, as far as known. `fired` is from `sparsity.safetensors`, in counts of
        `n_vectors` vectors; sae-lens keeps only shares, so for its own folders that number is 10⁹. Without the file
        `fired` is 0 and `n_vectors` is not in the card.

    Raises:
        ArtifactError: it is not such a folder; it is damaged or holds NaN; or it computes something that atoms cannot,
            such as a transcoder or a normalisation of each input.
    """
    folder = Path(path)
    if not folder.exists() and folder.parent.is_dir():
        disk.recover(folder)
    if (folder / "sae.safetensors").is_file():
        raise ArtifactError("is a folder of sparsify", where=str(folder), hint="Use import_sparsify")
    config = _modern(read_config(folder, CONFIG, "SAELens"))
    architecture = _architecture(config, folder / CONFIG)
    tensors = read_tensors(folder, WEIGHTS, _WANTED)
    _check(tensors, architecture, config, folder)
    coder = _without_input_bias(_CODERS[architecture](tensors, config, folder), config)
    weights = _scaled(coder, config, folder).to_weights(folder)
    meta = config["metadata"]
    fired, counted = _fired(folder, weights.n_atoms, meta)
    imported = {"format": "saelens", **plain(config, _FIGURES), **plain(meta, _HISTORY)}
    card = {"coder": "imported", "source": _source(meta), "imported": imported, "certificate": {}, **counted}
    return Atoms(weights, fired, card)


def _modern(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as version 6 writes it; earlier ones had no `metadata` and other names."""
    if isinstance(config.get("metadata"), dict):
        return config
    old = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
    config = {old.get(name, name): value for name, value in config.items()}
    config.setdefault("architecture", "standard")
    if config.get("activation_fn") == "topk":
        arguments = config.get("activation_fn_kwargs")
        k = arguments.get("k") if isinstance(arguments, dict) else None
        config |= {"architecture": "topk", "k": k}
    elif config.get("activation_fn", "relu") != "relu":
        config["architecture"] = f"standard with {config['activation_fn']}"
    scaling = config.get("normalize_activations")
    if isinstance(scaling, bool) or scaling is None:
        config["normalize_activations"] = "expected_average_only_in" if scaling else "none"
    return {**config, "metadata": dict(config)}


def _architecture(config: Mapping[str, Any], path: Path) -> str:
    found = config.get("architecture")
    if isinstance(found, str) and found in _CODERS:
        return found
    hint = f"Readable are {', '.join(_CODERS)}"
    if isinstance(found, str) and "transcoder" in found:
        hint = "It predicts one place from another; atoms reconstruct what they read"
    raise ArtifactError(f"has the architecture {str(found)[:60]!r}, which atoms cannot express", where=str(path),
                        hint=hint)  # fmt: skip


def _check(tensors: Tensors, architecture: str, config: Mapping[str, Any], folder: Path) -> None:
    """Refuse tensors that are missing, do not fit each other or the configuration."""
    path = folder / WEIGHTS
    if "log_threshold" in tensors and "threshold" not in tensors:
        with np.errstate(over="ignore"):
            tensors["threshold"] = np.exp(tensors["log_threshold"])
        check_finite(tensors["threshold"], "log_threshold", path)
    decoder = tensors.get("W_dec", np.zeros(0))
    n, d = decoder.shape if decoder.ndim == 2 else (0, 0)
    if "W_dec" in tensors and 0 in (n, d):
        raise ArtifactError(f"tensor W_dec has shape {decoder.shape}, not (atoms, dimensions)", where=str(path))
    shapes: dict[str, tuple[int, ...]] = {"W_dec": (n, d), "W_enc": (d, n), "b_dec": (d,)}
    for name in _EXTRA[architecture]:
        shapes[name] = () if name == "topk_threshold" else (n,)
    check_shapes(tensors, shapes, path)
    for name, size in (("d_in", d), ("d_sae", n)):
        if config.get(name, size) != size:
            raise ArtifactError(
                f"says {name} is {str(config[name])[:20]}, but the tensors have {size}", where=str(folder / CONFIG)
            )
    if not np.allclose(tensors.get("scaling_factor", np.ones(1)), 1):
        raise ArtifactError("has the factors of a finetuning (scaling_factor)", where=str(path),
                            hint="Fold them into W_dec first")  # fmt: skip


def _coder(tensors: Tensors, bias: str, limits: np.ndarray, **options: Any) -> ForeignCoder:
    encoder = np.ascontiguousarray(tensors["W_enc"].T)
    return ForeignCoder(tensors["W_dec"], encoder, tensors[bias], tensors["b_dec"], limits, **options)


def _standard(tensors: Tensors, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    del config, folder
    return _coder(tensors, "b_enc", np.zeros_like(tensors["b_enc"]))


def _jumprelu(tensors: Tensors, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    del config, folder
    return _coder(tensors, "b_enc", tensors["threshold"])


def _topk(tensors: Tensors, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    n = len(tensors["W_dec"])
    k = whole_number(config.get("k"), "k", folder / CONFIG, n)
    by_norm = config.get("rescale_acts_by_decoder_norm") is True
    return _coder(tensors, "b_enc", np.zeros(n, np.float32), k=k, ranked_by_norm=by_norm)


def _batch_topk(tensors: Tensors, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    """What sae-lens itself saves for inference: every activation above the mean of what was the smallest of a batch.

    With `rescale_acts_by_decoder_norm` that number is one for p |d|.
    """
    del folder
    limits = np.full(len(tensors["W_dec"]), tensors["topk_threshold"])
    if config.get("rescale_acts_by_decoder_norm") is True:
        limits = limits / np.maximum(row_norms(tensors["W_dec"]), np.finfo(np.float32).tiny)
    return _coder(tensors, "b_enc", limits)


def _gated(tensors: Tensors, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    """A gate with the weights of the magnitude is a threshold on the magnitude.

    With w = W_encᵀ (x - u) and m = e^r w + b_mag: w + b_gate > 0 is e^r w > -e^r b_gate, for e^r > 0, and so
    m > b_mag - e^r b_gate.
    """
    del config
    with np.errstate(over="ignore", invalid="ignore"):
        gain = np.exp(tensors["r_mag"])
        limits = tensors["b_mag"] - gain * tensors["b_gate"]
    check_finite(limits, "r_mag", folder / WEIGHTS)
    coder = _coder(tensors, "b_mag", limits)
    with np.errstate(over="ignore"):
        return replace(coder, encoder=coder.encoder * gain[:, None])


_CODERS: dict[str, Callable[[Tensors, Mapping[str, Any], Path], ForeignCoder]] = {
    "standard": _standard,
    "jumprelu": _jumprelu,
    "topk": _topk,
    "batchtopk": _batch_topk,
    "matryoshka_batchtopk": _batch_topk,
    "gated": _gated,
}


def _without_input_bias(coder: ForeignCoder, config: Mapping[str, Any]) -> ForeignCoder:
    """Where b_dec is not subtracted from the input: W x + b_enc = W (x - b) + (b_enc + W b)."""
    if config.get("apply_b_dec_to_input", True):
        return coder
    shift = coder.encoder @ coder.bias.astype(np.float64)
    return replace(coder, encoder_bias=(coder.encoder_bias + shift).astype(np.float32))


def _scaled(coder: ForeignCoder, config: Mapping[str, Any], folder: Path) -> ForeignCoder:
    """Fold in a constant scaling s of the input: W (s x - b) = s W (x - b / s), and x' is divided by s."""
    kind = config.get("normalize_activations", "none")
    if kind == "none":
        return coder
    path = folder / SCALER
    if kind != "expected_average_only_in" or not path.is_file():
        constant = kind == "expected_average_only_in"
        why = f"and there is no {SCALER} that says by how much" if constant else "which atoms cannot express"
        hint = "Fold it into the weights in sae-lens (fold_activation_norm_scaling_factor) and save that"
        raise ArtifactError(f"normalises its input ({str(kind)[:40]}), {why}", where=str(folder / CONFIG),
                            hint=hint if constant else None)  # fmt: skip
    scale = load_json(path).get("scaling_factor")
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 1e-9 < scale < 1e9:
        raise ArtifactError(f"scaling_factor is {str(scale)[:40]!r}, not a positive number", where=str(path))
    s = np.float32(scale)
    return replace(coder, encoder=coder.encoder * s, decoder=coder.decoder / s, bias=coder.bias / s)


def _fired(folder: Path, n_atoms: int, meta: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, int]]:
    path = folder / SPARSITY
    if not path.is_file():
        return np.zeros(n_atoms, np.int64), {}
    tensors = read_tensors(folder, SPARSITY, ("sparsity",))
    check_shapes(tensors, {"sparsity": (n_atoms,)}, path)
    shares = np.clip(10.0 ** np.clip(tensors["sparsity"].astype(np.float64), -10, 0) - 1e-10, 0, 1)
    ours = meta.get("sememe")
    n = ours.get("n_vectors") if isinstance(ours, dict) else None
    n = whole_number(n, "n_vectors", folder / CONFIG, 1 << 53) if n is not None else SHARES
    return np.round(shares * n).astype(np.int64), {"n_vectors": n}


def _source(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights were learned from, under the names of a bank's provenance."""
    named = (("model_name", "model"), ("hook_name", "hook"), ("dataset_path", "corpus"))
    known = texts(meta, [theirs for theirs, _ in named])
    source: dict[str, Any] = {ours: known[theirs] for theirs, ours in named if theirs in known}
    hook = source.get("hook", "")
    one_head = isinstance(meta.get("hook_head_index"), int) and hook.endswith(HEADS)
    site = None if one_head else site_of(hook)
    if site is not None:
        source["site"] = site
    own = meta.get("sememe")
    return source | (texts(own, ("model", "site")) if isinstance(own, dict) else {})
