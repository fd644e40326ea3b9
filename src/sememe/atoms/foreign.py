"""What the readers of other tools' folders share: tensors without torch, and the way to atoms of unit norm.

Nothing here unpickles: only safetensors files are opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact, disk
from sememe.atoms.weights import Weights
from sememe.errors import ArtifactError

MAX_CONFIG_BYTES = 1 << 20
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_PICKLES = frozenset({".pt", ".pth", ".bin", ".pkl", ".ckpt"})
_UNIT = 1e-6  # a row of float32 numbers that was divided by its norm is this near to norm 1
_EQUAL = 1e-4
_NOTHING = 1e-30


@dataclass(frozen=True)
class ForeignCoder:
    """A dictionary of rows of any norm: z = W_enc (x - b) + b_enc; a = z where z > limit and z > 0; x' = a D + b.

    Attributes:
        decoder: D (n_atoms, d).
        encoder: W_enc (n_atoms, d).
        encoder_bias: b_enc (n_atoms,).
        bias: b (d,).
        limits: what z has to exceed (n_atoms,); it may be negative.
        k: only the k largest stay; None for no such limit.
        ranked_by_norm: whether the largest are those of z |d| instead of z.
    """

    decoder: np.ndarray
    encoder: np.ndarray
    encoder_bias: np.ndarray
    bias: np.ndarray
    limits: np.ndarray
    k: int | None = None
    ranked_by_norm: bool = False

    def to_weights(self, path: Path) -> Weights:
        """The same with atoms of unit norm: a' = a |d|, so a' d / |d| = a d and every reconstruction stays.

        W_enc, b_enc and the limits are multiplied by |d|. `z' > limit` becomes `z' >= threshold` with the next larger
        float32 number. A row of zeros, whose a' is always 0, becomes an atom that is never active.

        Args:
            path: where the dictionary was read, for errors.

        Raises:
            ArtifactError: a number is too large; or the k largest would be others.
        """
        norms = row_norms(self.decoder)
        empty = norms < _NOTHING
        if self.k is not None and not self.ranked_by_norm and norms.max() > (1 + _EQUAL) * norms.min():
            raise ArtifactError(
                f"chooses its {self.k} largest activations with decoder rows of norms {norms.min():.4g} to "
                f"{norms.max():.4g}; with rows of norm 1 it would choose others",
                where=str(path),
                hint="Train it with rescale_acts_by_decoder_norm, or with decoder rows of equal norm",
            )
        factors = np.where(np.abs(norms - 1) <= _UNIT, 1.0, norms)
        factors[empty] = 0
        arrays = {"bias": self.bias, "encoder_bias": self.encoder_bias, "encoder": self.encoder}
        if (factors != 1).any():
            factor = factors.astype(np.float32)
            with np.errstate(over="ignore"):
                arrays["encoder_bias"] = self.encoder_bias * factor
                arrays["encoder"] = self.encoder * factor[:, None]
        decoder = self.decoder / np.where(empty, 1, factors).astype(np.float32)[:, None]
        decoder[empty] = np.eye(1, decoder.shape[1], dtype=np.float32)
        limits = np.minimum(self.limits * factors, np.finfo(np.float32).max).astype(np.float32)
        above = np.nextafter(limits, np.float32(np.inf))
        arrays |= {"decoder": decoder, "thresholds": np.where(limits > 0, above, np.float32(0))}
        for name, array in arrays.items():
            check_finite(array, name, path)
        k = self.k if self.k is not None and self.k < len(decoder) else None
        return Weights(**{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}, k=k)


def row_norms(decoder: np.ndarray) -> np.ndarray:
    """The norm of each row, float64."""
    norms: np.ndarray = np.sqrt(np.einsum("ij,ij->i", decoder, decoder, dtype=np.float64))
    return norms


def read_config(folder: str | Path, file: str, tool: str) -> dict[str, Any]:
    """The JSON object in `folder/file`.

    Raises:
        ArtifactError: there is no such folder or file, or it is too large, or not a JSON object.
    """
    folder = Path(folder)
    if not folder.is_dir():
        hint = f"Give the folder that {tool} wrote, not a file in it" if folder.exists() else "Check the path"
        raise ArtifactError(f"is not a folder of {tool}", where=str(folder), hint=hint)
    path = folder / file
    if not path.is_file():
        raise ArtifactError(f"is not a folder of {tool}: it has no {file}", where=str(folder), hint="Check the path")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ArtifactError(f"is too large for a configuration (more than {MAX_CONFIG_BYTES} bytes)", where=str(path))
    return artifact.load_json(path)


def read_tensors(folder: str | Path, file: str, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the wanted tensors that a safetensors file has, as finite float32 arrays.

    Raises:
        ArtifactError: it is missing or damaged, a tensor is not of 16, 32 or 64-bit floats, or holds NaN or infinity.
    """
    from safetensors import SafetensorError, deserialize

    path = Path(folder) / file
    if not path.is_file():
        _refuse_pickles(path)
    try:
        records = deserialize(disk.read_file(path))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ArtifactError(f"is not a valid safetensors file ({error})", where=str(path)) from error
    return {name: _array(name, record, path) for name, record in records if name in wanted}


def check_finite(array: np.ndarray, name: str, path: Path) -> None:
    """Refuse NaN and infinity.

    Raises:
        ArtifactError: there are some.
    """
    if not np.isfinite(array).all():
        raise ArtifactError(f"tensor {name} holds NaN, infinity or too large numbers", where=str(path))


def check_shapes(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Refuse missing tensors and those of another shape.

    Raises:
        ArtifactError: it names the first one.
    """
    for name, shape in shapes.items():
        if name not in tensors:
            raise ArtifactError(f"lacks the tensor {name}", where=str(path), hint="Save it again, or copy it whole")
        if tensors[name].shape != shape:
            raise ArtifactError(f"tensor {name} has shape {tensors[name].shape}, not {shape}", where=str(path))


def whole_number(value: Any, name: str, path: Path, most: int) -> int:
    """A count from a configuration.

    Raises:
        ArtifactError: it is not a whole number from 1 to `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ArtifactError(f"{name} is {str(value)[:40]!r}, not a whole number from 1 to {most}", where=str(path))
    return value


def plain(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Those of the named values that are short text or ordinary numbers, for a card."""
    found = {name: values[name] for name in names if name in values}
    return {name: value for name, value in found.items() if _is_plain(value)}


def texts(values: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """Those of the named values that are short text, for a card."""
    return {name: value for name, value in plain(values, names).items() if isinstance(value, str)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return bool(np.isfinite(value))
    return (isinstance(value, str) and len(value) <= 300) or (isinstance(value, int) and abs(value) < 1 << 53)


def _array(name: str, record: Mapping[str, Any], path: Path) -> np.ndarray:
    kind, data = record["dtype"], record["data"]
    if not data:
        return np.zeros(record["shape"], np.float32)
    if kind == "BF16":
        # bfloat16 is the upper half of a float32.
        flat = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _FLOATS:
        with np.errstate(over="ignore"):
            flat = np.frombuffer(data, _FLOATS[kind]).astype(np.float32)
    else:
        raise ArtifactError(
            f"tensor {name} has dtype {kind}", where=str(path), hint="Save it as float32, float16 or bfloat16"
        )
    check_finite(flat, name, path)
    array: np.ndarray = flat.reshape(record["shape"])
    return array


def _refuse_pickles(path: Path) -> None:
    pickles = sorted(file.name for file in path.parent.iterdir() if file.suffix in _PICKLES)
    if pickles:
        raise ArtifactError(
            f"holds {pickles[0]}, a pickle, and no {path.name}; reading a pickle can run any program",
            where=str(path.parent),
            hint="Load it where you trust it, and save it as safetensors",
        )
    raise ArtifactError(f"has no {path.name}", where=str(path.parent), hint="Check the path, or copy it whole")
