"""Folders of EleutherAI's sparsify (eai-sparsify): `cfg.json` and `sae.safetensors`, read without it.

What it computes: p = max(W_enc (x - b_dec) + b_enc, 0), the k largest stay, and x' = a W_dec + b_dec.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sememe.artifact import load_json
from sememe.atoms.atoms import Atoms
from sememe.atoms.foreign import ForeignCoder, check_shapes, plain, read_config, read_tensors, texts, whole_number
from sememe.atoms.hook_names import site_of
from sememe.errors import ArtifactError

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
RUN = "config.json"
"""Beside the folders of a run's hookpoints: how it was trained."""

_FIGURES = ("activation", "expansion_factor", "normalize_decoder", "num_latents", "k", "d_in")


def import_sparsify(path: str | Path) -> Atoms:
    """Read one hookpoint's folder that sparsify wrote (such as `run/layers.12`) as atoms with a `k`.

    The folder's name is the hookpoint; the model's name is read from the run's `config.json` where it is there.

    Returns:
        Atoms with a card as `sememe.atoms.saelens.import_saelens` makes it; `fired` is 0: sparsify keeps none.

    Raises:
        ArtifactError: it is not such a folder; it is damaged or holds NaN; or it is a transcoder or groupmax coder.
    """
    folder = Path(path)
    config = read_config(folder, CONFIG, "sparsify")
    _refuse_others(config, folder / CONFIG)
    tensors = read_tensors(folder, WEIGHTS, ("encoder.weight", "encoder.bias", "W_dec", "b_dec", "W_skip"))
    if "W_skip" in tensors:
        raise ArtifactError("has a skip connection, which atoms have not", where=str(folder / WEIGHTS))
    decoder = tensors.get("W_dec", np.zeros(0))
    n, d = decoder.shape if decoder.ndim == 2 else (0, 0)
    if "W_dec" in tensors and 0 in (n, d):
        raise ArtifactError(f"tensor W_dec has shape {decoder.shape}, not (atoms, dimensions)", where=str(folder))
    shapes = {"W_dec": (n, d), "encoder.weight": (n, d), "encoder.bias": (n,), "b_dec": (d,)}
    check_shapes(tensors, shapes, folder / WEIGHTS)
    k = whole_number(config.get("k"), "k", folder / CONFIG, n)
    coder = ForeignCoder(
        decoder, tensors["encoder.weight"], tensors["encoder.bias"], tensors["b_dec"], np.zeros(n, np.float32), k
    )
    imported = {"format": "sparsify", **plain(config, _FIGURES)}
    card = {"coder": "imported", "source": _source(folder), "imported": imported, "certificate": {}}
    return Atoms(coder.to_weights(folder), np.zeros(n, np.int64), card)


def _refuse_others(config: Mapping[str, Any], path: Path) -> None:
    if config.get("transcode") or config.get("skip_connection"):
        raise ArtifactError(
            "is a transcoder: it predicts one place from another; atoms reconstruct what they read", where=str(path)
        )
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise ArtifactError(f"has the activation {str(activation)[:40]!r}; only topk is read", where=str(path))


def _source(folder: Path) -> dict[str, Any]:
    hook = folder.absolute().name
    site = site_of(hook)
    source: dict[str, Any] = {} if site is None else {"site": site, "hook": hook}
    run = folder.absolute().parent / RUN
    if run.is_file():
        known = texts(load_json(run), ("model", "dataset"))
        source |= {{"model": "model", "dataset": "corpus"}[name]: value for name, value in known.items()}
    return source
