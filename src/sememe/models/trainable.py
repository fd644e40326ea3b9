"""TrainableEncoder: an encoder whose weights can be trained, and which stays an `Encoder` while they are."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from sememe import disk
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.causal_encoder import encoder_from_language_model, is_language_model
from sememe.models.encoder import Encoder, is_compared_by_cosine
from sememe.models.heads import Dense, Head, Normalize, new_dense
from sememe.models.layout import refuse_other_folder
from sememe.models.lora import LoraConfig, add_adapters, merge_adapters
from sememe.models.static import StaticEncoder
from sememe.models.texts import as_texts, slabs
from sememe.models.tokens import NO_LIMIT, TextTokenizer
from sememe.models.transformer import Rows, TransformerEncoder

if TYPE_CHECKING:
    from sememe.models.multi_vector import MultiVectorEncoder

_SENTENCE_ENDS = (".", "!", "?")
# What stands behind the vocabulary proper is what a tokenizer added: never a random word.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class EncoderChanges:
    """What is changed on an encoder before it is trained.

    Attributes:
        normalize: end with vectors of length one (cosine), or with their own length (dot); None: as the encoder's
            vectors are compared.
        dense: put a linear layer of so many outputs behind the pooling.
        lora: train low-rank adapters instead of the weights; they are merged when the encoder is saved.
        seed: of a new layer's weights.
        query_prompt: a text in front of every query, such as `"query: "`; None: as the encoder has it.
        document_prompt: the same for documents.

    """

    normalize: bool | None = None
    dense: int | None = None
    lora: LoraConfig | None = None
    seed: int = 0
    query_prompt: str | None = None
    document_prompt: str | None = None


class TokenStates(NamedTuple):
    """The vectors of the tokens of several texts."""

    vectors: Any
    """Tensor (texts, tokens, width), filled up on the right."""
    mask: Any
    """Boolean tensor (texts, tokens): which tokens are real."""


class TrainableEncoder(ABC):
    """An encoder with gradients.

    Attributes:
        encoder: the same weights as an `Encoder`, or as a `MultiVectorEncoder` where tokens are compared; after each
            step of training it gives the vectors of that step.
        module: a torch module that holds every weight.
        width: of the vectors.
        token_width: of the vectors of tokens.
        frames: the ids before and after a text, by its side: `query` or `document`.
        normalizes: whether vectors have length one, so that they are compared by cosine; else by dot product.
        max_tokens: how many tokens of a text are read, those that frame it not counted.
        device: where it computes.
        pads: whether texts that are computed together must be filled up to one length.

    """

    pads = True
    encoder: Encoder | MultiVectorEncoder
    module: Any
    width: int
    token_width: int
    frames: Mapping[str, tuple[list[int], list[int]]]
    normalizes: bool
    max_tokens: int
    device: Any

    def __init__(self, tokenizer: TextTokenizer, prompts: Mapping[str, str]) -> None:
        self._tokens = TextTokenizer(_backend(tokenizer), NO_LIMIT, add_special_tokens=False)
        before, after = tokenizer.around
        self.frames = {side: ([*before, *self._prompt(side, prompts)], after) for side in ("query", "document")}

    @staticmethod
    def load(
        name_or_path: str | Path, changes: EncoderChanges | None = None, *, device: str | None = None
    ) -> TrainableEncoder:
        """Load an encoder to train it on.

        A causal language model that is no encoder yet becomes one: `encoder_from_language_model`.

        Args:
            name_or_path: as for `Encoder.load`, or for `LanguageModel.load`.
            changes: what to change on it first.
            device: a torch device.

        Raises:
            ModelError: there is no such model, or it is of a kind that is not supported.
            InputError: the change does not fit it.

        """
        kind = encoder_from_language_model if is_language_model(name_or_path) else Encoder.load
        return as_trainable(kind(name_or_path, device=device), changes)

    @property
    def similarity(self) -> str:
        """How its vectors are compared: `cosine` or `dot`."""
        return "cosine" if self.normalizes else "dot"

    @property
    def vocabulary_size(self) -> int:
        """How many token ids there are."""
        return int(self._backend.get_vocab_size())

    @property
    def ordinary_ids(self) -> np.ndarray:
        """The ids that stand for a piece of text, int64."""
        special = {number for number, token in self._backend.get_added_tokens_decoder().items() if token.special}
        return np.array([number for number in range(self.vocabulary_size) if number not in special], np.int64)

    @property
    def sentence_end_ids(self) -> np.ndarray:
        """The ids of the marks that end a sentence, int64."""
        found = [self._backend.token_to_id(mark) for mark in _SENTENCE_ENDS]
        return np.array([number for number in found if number is not None], np.int64)

    @property
    @abstractmethod
    def mask_id(self) -> int | None:
        """The id that stands for a hidden token, if there is one."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of whole texts, without what frames a text.

        Raises:
            InputError: an item is not a valid text.

        """
        checked, rows = as_texts(texts), []
        for slab in slabs(checked):
            rows += [encoding.ids for encoding in self._tokens.encode(checked[slab])]
        return rows

    def framed(self, ids: Sequence[int], side: str = "document") -> list[int]:
        """Ids with what the model expects around a text of a side, `query` or `document`; cut to what it reads."""
        before, after = self.frames[side]
        return [*before, *ids[: self.max_tokens], *after]

    @abstractmethod
    def vectors(self, rows: Rows) -> Any:
        """Tensor (n, width) of n framed texts."""

    @abstractmethod
    def token_states(self, rows: Rows) -> TokenStates:
        """The vectors of the tokens themselves, as they are before the pooling."""

    def parameters(self) -> dict[str, Any]:
        """What is trained, by name."""
        return {name: weight for name, weight in self.module.named_parameters() if weight.requires_grad}

    def count_parameters(self) -> int:
        """How many numbers the encoder has, trained or not."""
        return sum(weight.numel() for weight in self.module.parameters())

    @abstractmethod
    def copy(self) -> TrainableEncoder:
        """A copy with weights of its own, none of which is trained."""

    def train(self, training: bool = True) -> None:
        """Switch dropout on or off."""
        self.module.train(training)

    def save(self, path: str | Path, files: Mapping[str, bytes] | None = None) -> None:
        """Write a folder that `Encoder.load` and sentence-transformers load, in one step.

        Args:
            path: the folder; an older encoder there is replaced.
            files: further files by name, such as a card.

        Raises:
            ArtifactError: the folder holds anything else, or cannot be written.

        """
        refuse_other_folder(Path(path))
        with disk.new_folder(Path(path)) as folder:
            self._write(folder)
            for name, data in (files or {}).items():
                disk.write_file(folder / name, data)

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write the files of the model."""

    @property
    def _backend(self) -> Any:
        return _backend(self._tokens)

    def _prompt(self, side: str, prompts: Mapping[str, str]) -> list[int]:
        names = ("query",) if side == "query" else _DOCUMENT_PROMPTS
        prompt = next((prompts[name] for name in names if prompts.get(name)), "")
        return list(self._tokens.encode([prompt])[0].ids) if prompt else []


def as_trainable(encoder: Encoder, changes: EncoderChanges | None = None) -> TrainableEncoder:
    """Make an encoder trainable. It stays the same encoder: its weights change when they are trained.

    Raises:
        InputError: the change does not fit it, or it is of a kind that has no weights to train.

    """
    require("torch", "models")
    changes = changes or EncoderChanges()
    encoder = encoder.with_prompts(changes.query_prompt, changes.document_prompt)
    if isinstance(encoder, TransformerEncoder):
        return _TrainableTransformer(_changed(encoder, changes), changes.lora)
    if isinstance(encoder, StaticEncoder):
        if changes.dense or changes.lora:
            raise InputError("static vectors take neither a dense layer nor adapters", where=encoder.name)
        return _TrainableTable(encoder, changes.normalize)
    raise InputError(f"{type(encoder).__name__} has no weights that could be trained", where=encoder.name)


@final
class _TrainableTransformer(TrainableEncoder):
    encoder: TransformerEncoder

    def __init__(self, encoder: TransformerEncoder, lora: LoraConfig | None) -> None:
        import torch

        super().__init__(encoder.text_tokenizer, encoder.prompts)
        self._lora = lora
        if lora is not None:
            encoder.model = add_adapters(encoder.model, lora)
        self.encoder = encoder
        heads = [head.module for head in encoder.heads if hasattr(head, "module")]
        self.module = torch.nn.ModuleDict({"transformer": encoder.model, "heads": torch.nn.ModuleList(heads)})
        self.width, self.normalizes = encoder.width, isinstance(next(reversed(encoder.heads), None), Normalize)
        self.max_tokens, self.device = encoder.max_tokens, encoder.model.device
        self.token_width = int(encoder.model.config.hidden_size)

    @property
    def mask_id(self) -> int | None:
        found: int | None = self.encoder.tokenizer.mask_token_id
        return found

    def vectors(self, rows: Rows) -> Any:
        return self.encoder.pooled(rows)

    def token_states(self, rows: Rows) -> TokenStates:
        import torch

        vectors, lengths = self.encoder.token_states(rows)
        return TokenStates(vectors, torch.arange(vectors.shape[1], device=vectors.device) < lengths[:, None])

    def copy(self) -> TrainableEncoder:
        heads = copy.deepcopy(self.encoder.heads)
        model = copy.deepcopy(self.encoder.model)
        own = self.encoder
        twin = TransformerEncoder(
            model, own.tokenizer, name=own.name, fingerprint=own.fingerprint, layout=own.layout, heads=heads
        )
        return _frozen(_TrainableTransformer(twin, None))

    def _write(self, folder: Path) -> None:
        if self._lora is not None:
            self.encoder.model = merge_adapters(self.encoder.model)
            self._lora = None
        self.encoder.write(folder)


@final
class _TrainableTable(TrainableEncoder):
    pads = False
    encoder: StaticEncoder

    def __init__(self, encoder: StaticEncoder, normalize: bool | None) -> None:
        import torch

        super().__init__(encoder.text_tokenizer, encoder.prompts)
        if normalize is None:
            normalize = encoder.ends_normalized or is_compared_by_cosine(encoder)
        encoder.ends_normalized = encoder.normalizes = normalize
        encoder.layout = replace(encoder.layout, similarity="cosine" if encoder.ends_normalized else "dot")
        self.encoder, self.normalizes = encoder, encoder.ends_normalized
        self.module = torch.nn.Module()
        # The parameter and the encoder's table are one piece of memory.
        self.module.table = torch.nn.Parameter(torch.from_numpy(encoder.table))
        self.width = self.token_width = encoder.width
        self.max_tokens, self.device = NO_LIMIT, torch.device("cpu")

    @property
    def mask_id(self) -> int | None:
        return None

    def vectors(self, rows: Rows) -> Any:
        import torch

        lengths = torch.tensor([0, *map(len, rows)]).cumsum(0)
        ids = torch.from_numpy(np.concatenate([np.asarray(row, np.int64) for row in rows]))
        means = torch.nn.functional.embedding_bag(ids, self.module.table, lengths[:-1], mode="mean")
        return torch.nn.functional.normalize(means, dim=-1) if self.normalizes else means

    def token_states(self, rows: Rows) -> TokenStates:
        import torch

        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.zeros(mask.shape, dtype=torch.long)
        ids[mask] = torch.from_numpy(np.concatenate([np.asarray(row, np.int64) for row in rows]))
        return TokenStates(torch.nn.functional.embedding(ids, self.module.table) * mask[..., None], mask)

    def copy(self) -> TrainableEncoder:
        own = self.encoder
        twin = StaticEncoder(
            own.table.copy(),
            _backend(own.text_tokenizer),
            name=own.name,
            fingerprint=own.fingerprint,
            normalizes=own.ends_normalized,
            layout=own.layout,
        )
        return _frozen(_TrainableTable(twin, None))

    def _write(self, folder: Path) -> None:
        self.encoder.write(folder)


def _frozen(encoder: TrainableEncoder) -> TrainableEncoder:
    encoder.module.requires_grad_(False)
    return encoder


def _backend(tokenizer: TextTokenizer) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer.json)


def _changed(encoder: TransformerEncoder, changes: EncoderChanges) -> TransformerEncoder:
    """The encoder with other heads, around the same transformer."""
    heads = list(encoder.heads)
    ends_normalized = bool(heads) and isinstance(heads[-1], Normalize)
    normalize = changes.normalize
    if normalize is None:
        normalize = ends_normalized or is_compared_by_cosine(encoder)
    if ends_normalized:
        heads.pop()
    if changes.dense is not None:
        heads.append(_new_dense(encoder, heads, changes))
    if normalize:
        heads.append(Normalize())
    layout = replace(encoder.layout, similarity="cosine" if normalize else "dot", truncate_dim=None)
    marks = f"{encoder.fingerprint} {[head.kind for head in heads]}"
    return TransformerEncoder(
        encoder.model,
        encoder.tokenizer,
        name=encoder.name,
        fingerprint=hashlib.sha256(marks.encode()).hexdigest(),
        layout=layout,
        heads=heads,
    )


def _new_dense(encoder: TransformerEncoder, heads: Sequence[Head], changes: EncoderChanges) -> Dense:
    width = int(encoder.model.config.hidden_size) * len(encoder.pooling.modes)
    for head in heads:
        width = head.width(width)
    return new_dense(width, changes.dense or 0, seed=changes.seed, device=encoder.model.device)
