"""TrainableTokens: a late-interaction encoder with gradients; what is compared are the vectors of tokens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from sememe.errors import InputError
from sememe.models.heads import Head, new_dense
from sememe.models.lora import LoraConfig, add_adapters, merge_adapters
from sememe.models.multi_vector import Kind, MultiVectorEncoder
from sememe.models.trainable import EncoderChanges, TokenStates, TrainableEncoder
from sememe.models.transformer import Rows


@final
class TrainableTokens(TrainableEncoder):
    """Token vectors of unit length, after all dense layers.

    `vectors` gives the mean of a text's token vectors, scaled to unit length, where one vector is asked for.

    Args:
        encoder: what is trained, in place.
        changes: what to change on it first; `dense` puts a linear layer on every token.

    Raises:
        InputError: the change does not fit it, or it fills up queries or leaves out tokens, which cannot be trained.

    """

    encoder: MultiVectorEncoder

    def __init__(self, encoder: MultiVectorEncoder, changes: EncoderChanges | None = None) -> None:
        import torch

        changes = changes or EncoderChanges()
        _check(encoder, changes)
        super().__init__(encoder.text_tokenizer("document"), encoder.layout.prompts)
        self._lora: LoraConfig | None = changes.lora
        if changes.lora is not None:
            encoder.model = add_adapters(encoder.model, changes.lora)
        if changes.dense is not None:
            encoder = _projected(encoder, changes)
        self.encoder, self.normalizes, self.device = encoder, True, encoder.model.device
        heads = [head.module for head in encoder.heads if hasattr(head, "module")]
        self.module = torch.nn.ModuleDict({"transformer": encoder.model, "heads": torch.nn.ModuleList(heads)})
        self.module.requires_grad_(True) if changes.lora is None else self.module["heads"].requires_grad_(True)
        self.width = self.token_width = encoder.dimensions
        self._rooms: dict[str, int] = {kind: self._room(kind) for kind in _KINDS}
        self.max_tokens = min(self._rooms.values())

    @staticmethod
    def load(
        name_or_path: str | Path, changes: EncoderChanges | None = None, *, device: str | None = None
    ) -> TrainableTokens:
        """Load token vectors to train them; see `MultiVectorEncoder.load`.

        Raises:
            ModelError: there is no such model, or it is of a kind that is not supported.
            InputError: the change does not fit it.

        """
        return TrainableTokens(MultiVectorEncoder.load(name_or_path, device=device), changes)

    @property
    def mask_id(self) -> int | None:
        found: int | None = self.encoder.tokenizer.mask_token_id
        return found

    def framed(self, ids: Sequence[int], side: str = "document") -> list[int]:
        before, after = self.frames[side]
        return [*before, *ids[: self._rooms[side]], *after]

    def vectors(self, rows: Rows) -> Any:
        import torch

        vectors, mask = self.token_states(rows)
        return torch.nn.functional.normalize((vectors * mask[..., None]).sum(1), dim=-1)

    def token_states(self, rows: Rows) -> TokenStates:
        import torch

        lengths = [len(row) for row in rows]
        vectors = self.encoder.token_states(rows, lengths)
        places = torch.arange(vectors.shape[1], device=self.device)
        return TokenStates(vectors, places < torch.tensor(lengths, device=self.device)[:, None])

    def copy(self) -> TrainableEncoder:
        own = self.encoder
        twin = _with_heads(own, copy.deepcopy(own.model), copy.deepcopy(own.heads))
        frozen = TrainableTokens(twin)
        frozen.module.requires_grad_(False)
        return frozen

    def _write(self, folder: Path) -> None:
        if self._lora is not None:
            self.encoder.model = merge_adapters(self.encoder.model)
            self._lora = None
        self.encoder.write(folder)

    def _room(self, kind: Kind) -> int:
        before, after = self.frames[kind]
        return max(1, self.encoder.text_tokenizer(kind).max_length - len(before) - len(after))


_KINDS: tuple[Kind, Kind] = ("query", "document")


def _projected(encoder: MultiVectorEncoder, changes: EncoderChanges) -> MultiVectorEncoder:
    layer = new_dense(encoder.dimensions, changes.dense or 0, seed=changes.seed, device=encoder.model.device)
    return _with_heads(encoder, encoder.model, (*encoder.heads, layer))


def _with_heads(encoder: MultiVectorEncoder, model: Any, heads: Sequence[Head]) -> MultiVectorEncoder:
    return MultiVectorEncoder(
        model,
        encoder.tokenizer,
        name=encoder.name,
        fingerprint=f"{encoder.fingerprint} {[head.width(0) for head in heads]}",
        layout=replace(encoder.layout, linear=False),
        heads=heads,
        pruning=encoder.pruning,
    )


def _check(encoder: MultiVectorEncoder, changes: EncoderChanges) -> None:
    layout = encoder.layout
    if changes.normalize is False:
        raise InputError("token vectors have length one in late interaction", where="normalize", hint="Leave it out")
    if changes.query_prompt is not None or changes.document_prompt is not None:
        raise InputError("late interaction has no prompts to be given", where="prompts", hint="Leave them out")
    for what, found in (
        ("fills up its queries with mask tokens", layout.expansion),
        ("leaves out some tokens", layout.skipped or layout.kept_ids),
        ("has markers of its own format", layout.markers),
    ):
        if found:
            raise InputError(
                f"{encoder.name} {what}, which is not supported in training",
                where="the encoder",
                hint="Start from a plain encoder such as minilm",
            )
