"""What sentence-transformers puts behind the pooling: dense layers and normalisations, in its file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sememe import artifact, disk
from sememe.errors import InputError, ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


class Head(Protocol):
    """A step from pooled vectors to pooled vectors."""

    @property
    def kind(self) -> str:
        """Its class name in sentence-transformers."""

    def __call__(self, vectors: Any) -> Any:
        """Tensor (n, width in) to tensor (n, width out)."""

    def width(self, width: int) -> int:
        """The width out, for a width in."""

    def files(self) -> dict[str, bytes]:
        """The files of its folder, by name."""


@dataclass(frozen=True)
class Normalize:
    """Vectors scaled to length one."""

    kind: str = field(default="Normalize", init=False)

    def __call__(self, vectors: Any) -> Any:
        import torch

        return torch.nn.functional.normalize(vectors, p=2, dim=-1)

    def width(self, width: int) -> int:
        return width

    def files(self) -> dict[str, bytes]:
        return {}


@dataclass(frozen=True)
class Dense:
    """A linear layer with an activation, and with a residual connection where the model has one."""

    module: Any
    """A torch module with the linear layer as `linear`, and as `residual` that of the residual connection."""
    activation: str
    use_residual: bool = False
    kind: str = field(default="Dense", init=False)

    def __call__(self, vectors: Any) -> Any:
        import torch

        out = getattr(torch.nn, self.activation)()(self.module.linear(vectors))
        if not self.use_residual:
            return out
        return out + (self.module.residual(vectors) if hasattr(self.module, "residual") else vectors)

    def width(self, width: int) -> int:
        return int(self.module.linear.out_features)

    def files(self) -> dict[str, bytes]:
        linear = self.module.linear
        config = {
            "in_features": linear.in_features,
            "out_features": linear.out_features,
            "bias": linear.bias is not None,
            "activation_function": f"torch.nn.modules.{_torch_home(self.activation)}.{self.activation}",
            **({"use_residual": True} if self.use_residual else {}),
        }
        return {CONFIG: artifact.dump_json(config), WEIGHTS: _weights(self.module)}


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation of the pooled vectors."""

    module: Any
    """A torch module with the normalisation as `norm`."""
    kind: str = field(default="LayerNorm", init=False)

    def __call__(self, vectors: Any) -> Any:
        return self.module.norm(vectors)

    def width(self, width: int) -> int:
        return width

    def files(self) -> dict[str, bytes]:
        dimension = self.module.norm.normalized_shape[0]
        return {CONFIG: artifact.dump_json({"dimension": dimension}), WEIGHTS: _weights(self.module)}


def new_dense(width_in: int, width_out: int, *, seed: int, device: Any) -> Dense:
    """A linear layer with random weights.

    Raises:
        InputError: there are no outputs.

    """
    import torch

    if width_out < 1:
        raise InputError(f"a dense layer of {width_out} outputs cannot be made", where="dense")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = torch.nn.Module()
        module.linear = torch.nn.Linear(width_in, width_out, bias=False)
    return Dense(module.to(device), "Identity")


def read_head(kind: str, folder: Path, device: Any) -> Head:
    """One step from its folder.

    Raises:
        ModelError: it is of a kind, or has an option, that is not supported.
        ArtifactError: its files are missing or damaged.

    """
    reader = _READERS.get(kind)
    if reader is None:
        supported = ", ".join(["Transformer", "StaticEmbedding", "Pooling", *_READERS])
        raise ModelError(f"has a module of kind {kind!r}", where=str(folder.parent), hint=f"Supported: {supported}")
    config = artifact.load_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise ModelError(f"{kind} works on {config['module_input_name']}", where=str(folder))
    try:
        return reader(config, folder, device)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"has a configuration that makes no {kind} ({error!r})", where=str(folder / CONFIG)) from error


def _read_normalize(config: Mapping[str, Any], folder: Path, device: Any) -> Head:
    return Normalize()


def _read_dense(config: Mapping[str, Any], folder: Path, device: Any) -> Head:
    import torch

    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in _ACTIVATIONS:
        raise ModelError(
            f"unknown activation {activation!r}", where=str(folder), hint=f"Supported: {', '.join(_ACTIVATIONS)}"
        )
    width_in, width_out = int(config["in_features"]), int(config["out_features"])
    module = torch.nn.Module()
    module.linear = torch.nn.Linear(width_in, width_out, bias=bool(config.get("bias", True)))
    use_residual = bool(config.get("use_residual", False))
    if use_residual and width_in != width_out:
        module.residual = torch.nn.Linear(width_in, width_out, bias=False)
    return Dense(_filled(module, folder, device), name, use_residual)


def _read_layer_norm(config: Mapping[str, Any], folder: Path, device: Any) -> Head:
    import torch

    module = torch.nn.Module()
    module.norm = torch.nn.LayerNorm(int(config["dimension"]))
    return LayerNorm(_filled(module, folder, device))


_READERS: dict[str, Callable[[Mapping[str, Any], Path, Any], Head]] = {
    "Dense": _read_dense,
    "LayerNorm": _read_layer_norm,
    "Normalize": _read_normalize,
}


def _filled(module: Any, folder: Path, device: Any) -> Any:
    """The module with the weights of its folder."""
    import torch

    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"has no {WEIGHTS}", where=str(folder), hint="Pickled weights are not opened; convert them")
    arrays = artifact.load_arrays(folder / WEIGHTS)
    tensors = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"does not fit its configuration ({reason})", where=str(folder / WEIGHTS)) from None
    return module.eval().to(device)


def _weights(module: Any) -> bytes:
    from safetensors.torch import save

    return bytes(save({name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}))


def _torch_home(activation: str) -> str:
    return "linear" if activation == "Identity" else "activation"


def write_head(head: Head, folder: Path) -> None:
    """Write one step's folder."""
    folder.mkdir()
    for name, data in head.files().items():
        disk.write_file(folder / name, data)
