"""The folder of a feedback encoder, and the form in which ANCE-PRF was published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sememe import artifact, disk
from sememe.errors import ArtifactError, ModelError
from sememe.models.device import pick_device
from sememe.models.heads import WEIGHTS, Dense, Head, LayerNorm
from sememe.models.layout import Layout
from sememe.models.loading import load_transformer
from sememe.models.pooling import Pooling
from sememe.models.source import checked, fingerprint_folder
from sememe.models.transformer import TransformerEncoder

KIND = "feedback-encoder"
CARD = artifact.CARD
ENCODER = "encoder"

_HEAD, _NORM = "embeddingHead", "norm"


class Settings(NamedTuple):
    """What a feedback encoder is beside its weights; see `sememe.models.feedback_encoder.PrfEncoder`."""

    k: int
    separator: str
    window: int
    lowercase: bool
    base: Mapping[str, Any]


def write(path: Path, encoder: TransformerEncoder, settings: Settings) -> None:
    """Write a feedback encoder's folder in one step.

    Raises:
        ArtifactError: the folder holds anything else, or cannot be written.

    """
    if path.is_dir() and any(path.iterdir()):
        _read_card(path)  # only one of its own kind is replaced
    with disk.new_folder(path) as folder:
        encoder.save_pretrained(folder / ENCODER)
        card = {"fingerprint": fingerprint_folder(folder / ENCODER), **settings._asdict()}
        disk.write_file(folder / CARD, artifact.seal(KIND, card))


def read_encoder(path: Path, device: str | None) -> tuple[TransformerEncoder, Settings]:
    """Read a feedback encoder's folder.

    Raises:
        ArtifactError: it is missing, damaged, something else, or from a newer version.
        ModelError: its transformer cannot be loaded.

    """
    card = _read_card(path)
    folder = path / ENCODER
    if not folder.is_dir() or fingerprint_folder(folder) != card["fingerprint"]:
        raise ArtifactError(
            "is damaged: its checksum differs from the card's",
            where=str(folder),
            hint="Make it again, or restore it from a copy",
        )
    encoder = TransformerEncoder.from_folder(checked(folder), name=str(path), device=device)
    return encoder, Settings(**{name: card[name] for name in Settings._fields})


def read_published(folder: Path, device: str | None) -> TransformerEncoder:
    """An ANCE-style checkpoint: RoBERTa, its first token, a linear layer, a layer normalisation.

    Raises:
        ModelError: it is another kind of checkpoint.

    """
    import torch

    target = pick_device(device)
    model, tokenizer = load_transformer(checked(folder))
    arrays = artifact.load_arrays(folder / WEIGHTS)
    names = [f"{layer}.{part}" for layer in (_HEAD, _NORM) for part in ("weight", "bias")]
    missing = [name for name in names if name not in arrays]
    if missing or model.config.model_type != "roberta":
        reason = f"it lacks {missing[0]}" if missing else f"it is a {model.config.model_type}"
        raise ModelError(
            f"is no ANCE-style encoder: {reason}",
            where=str(folder),
            hint="Encoders in the format of sentence-transformers are loaded with Encoder.load and "
            "PrfEncoder.from_encoder",
        )
    weights = {name: torch.from_numpy(arrays[name]).float() for name in names}
    width_out, width_in = weights[f"{_HEAD}.weight"].shape
    linear, norm = torch.nn.Module(), torch.nn.Module()
    linear.linear, norm.norm = torch.nn.Linear(width_in, width_out), torch.nn.LayerNorm(width_out)
    linear.linear.load_state_dict({part: weights[f"{_HEAD}.{part}"] for part in ("weight", "bias")})
    norm.norm.load_state_dict({part: weights[f"{_NORM}.{part}"] for part in ("weight", "bias")})
    heads: list[Head] = [Dense(linear.eval().to(target), "Identity"), LayerNorm(norm.eval().to(target))]
    positions = model.config.max_position_embeddings - (model.config.pad_token_id or 0) - 1
    layout = Layout(
        base=folder,
        kind="Transformer",
        pooling=Pooling(("cls",)),
        max_length=min(512, positions),
        similarity="dot",
    )
    return TransformerEncoder(
        model.to(target),
        tokenizer,
        name=str(folder),
        fingerprint=fingerprint_folder(folder),
        layout=layout,
        heads=heads,
    )


def _read_card(path: Path) -> dict[str, Any]:
    card = artifact.unseal(path, KIND)
    missing = sorted({*Settings._fields, "fingerprint"} - card.keys())
    if missing:
        raise ArtifactError(f"lacks {missing[0]}", where=str(path / CARD), hint="Make it again")
    return card
