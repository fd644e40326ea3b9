"""MultiVectorEncoder: one vector for each token of a text, for late interaction (ColBERT, CRISP)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sememe import disk
from sememe.errors import InputError, ModelError
from sememe.extras import require
from sememe.models import source
from sememe.models.device import pick_device, token_budget
from sememe.models.heads import Head
from sememe.models.layout import refuse_other_folder
from sememe.models.loading import load_transformer
from sememe.models.multi_vector_folders import TokenLayout, read_linear, read_token_head, read_token_layout
from sememe.models.multi_vector_saving import write_token_layout
from sememe.models.parallel import each
from sememe.models.texts import as_texts, batches, slabs
from sememe.models.tokens import TextTokenizer, as_batch
from sememe.models.transformer import _lower_cased, _max_length

Kind = Literal["query", "document"]
_CHARACTERS_PER_TOKEN = 32


class TokenVectors(NamedTuple):
    """The vectors of one text.

    Attributes:
        vectors: one a token, of unit length; shape (n, d), float32.
        spans: the characters of the text that each token stands for, (0, 0) for special tokens, markers and the mask
            tokens that fill up a query; shape (n, 2), int32.

    """

    vectors: np.ndarray
    spans: np.ndarray


class MultiVectorEncoder:
    """Texts to the vectors of their tokens. Load one with `MultiVectorEncoder.load`; computes in float32.

    Attributes:
        name: what it was loaded by.
        fingerprint: SHA-256 of weights, tokenizer and settings: equal fingerprints give equal vectors.
        dimensions: the width of every vector.
        query_length: how many tokens of a query are read, special tokens and markers counted.
        document_length: the same for documents.
        pruning: the method that it was trained with, such as `C8x32`; None for one that was not trained for any.
        layout: its settings.

    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        fingerprint: str,
        layout: TokenLayout,
        heads: Sequence[Head] = (),
        pruning: str | None = None,
    ) -> None:
        self.name, self.layout, self.pruning = name, layout, pruning
        self.model, self.tokenizer, self.heads = model.eval(), tokenizer, tuple(heads)
        self.dimensions = int(model.config.hidden_size)
        for head in self.heads:
            self.dimensions = head.width(self.dimensions)
        limit = _max_length(tokenizer, model.config)
        limit = min(layout.max_length or limit, limit)
        positions = getattr(model.config, "max_position_embeddings", None) or limit
        self.document_length = min(layout.document_length or limit, positions)
        self.query_length = min(_query_length(layout, limit), positions)
        settings = repr(sorted(layout.settings().items()))
        lengths = f"{self.query_length} {self.document_length}"
        self.fingerprint = hashlib.sha256(f"{fingerprint} {lengths} {settings} {pruning}".encode()).hexdigest()
        backend = _lower_cased(tokenizer.backend_tokenizer) if layout.lower_case else tokenizer.backend_tokenizer
        backend = _with_markers(backend, layout.markers)
        self._tokenizers = {
            kind: TextTokenizer(backend, length, side=tokenizer.truncation_side)
            for kind, length in (("query", self.query_length), ("document", self.document_length))
        }
        self._pad = tokenizer.pad_token_id or 0
        self._fill = _fill_token(tokenizer, layout)
        self._skipped = _ids_of(layout.skipped, tokenizer)
        self._takes_types = "token_type_ids" in tokenizer.model_input_names

    def text_tokenizer(self, kind: Kind) -> TextTokenizer:
        """How texts of a kind are cut and framed for the model."""
        return self._tokenizers[kind]

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str | None = None,
        query_length: int | None = None,
        document_length: int | None = None,
    ) -> MultiVectorEncoder:
        """Load the token vectors of a model.

        Args:
            name_or_path: a known name (`minilm`), a hub id, or a folder: a `MultiVectorEncoder` of
                sentence-transformers, a PyLate or ColBERT model, a sentence-transformers encoder or a bare
                transformer. Code that comes with a model is never run.
            device: a torch device; by default the GPU when there is one.
            query_length: read so many tokens of a query, instead of what the model says.
            document_length: the same for documents.

        Raises:
            ModelError: there is no such model, or it is of a kind that is not supported.
            InputError: a length leaves no room.

        """
        require("torch", "models")
        name, place = source.locate(name_or_path, "encoder")
        folder = place.parent if place.is_file() else place
        layout = read_token_layout(folder)
        layout = _with_lengths(layout, query_length, document_length)
        target = pick_device(device)
        model, tokenizer = load_transformer(layout.base)
        heads = [read_token_head(kind, path, target) for kind, path in layout.heads]
        if layout.linear:
            heads = [read_linear(folder, target)]
        fingerprint = source.fingerprint_folder(folder)
        return cls(
            model.to(target),
            tokenizer,
            name=name,
            fingerprint=fingerprint,
            layout=layout,
            heads=heads,
            pruning=layout.pruning,
        )

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that `load` and sentence-transformers' `MultiVectorEncoder` load, in one step.

        Args:
            path: the folder; an older encoder there is replaced.

        Raises:
            ArtifactError: the folder holds anything else, or cannot be written.
            ModelError: the model has markers that the format cannot express.

        """
        refuse_other_folder(Path(path))
        with disk.new_folder(Path(path)) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the files of `save_pretrained` into an empty folder that somebody else makes durable."""
        layout = replace(self.layout, pruning=self.pruning)
        write_token_layout(folder, self.model, self.tokenizer, self.heads, layout)

    def encode(self, texts: Sequence[str], kind: Kind = "document", *, batch_size: int = 32) -> list[TokenVectors]:
        """The token vectors of texts, one record each; what is longer than the model's length is cut off.

        Args:
            texts: the texts.
            kind: `query` or `document`: which prompt, length and skip list holds.
            batch_size: how much is computed at once: up to this many texts of 64 tokens. It has no influence on the
                result.

        Raises:
            InputError: an item is not a string, or the kind is none.

        """
        if kind not in ("query", "document"):
            raise InputError(f"there is no kind {kind!r}", hint="Give query or document")
        checked = as_texts(texts)
        found: list[TokenVectors] = []
        for slab in slabs(checked):
            found += self._slab(checked[slab], kind, batch_size)
        return found

    def _slab(self, texts: list[str], kind: Kind, batch_size: int) -> list[TokenVectors]:
        prompt, tokenizer = self.layout.prompts.get(kind, ""), self._tokenizers[kind]
        encodings = tokenizer.encode([prompt + text for text in texts])
        ids = [self._filled(encoding.ids, kind) for encoding in encodings]
        types = [encoding.type_ids for encoding in encodings]
        real = [len(encoding.ids) for encoding in encodings]
        found: dict[int, TokenVectors] = {}

        def compute(batch: list[int]) -> int:
            states = self._forward([ids[row] for row in batch], [real[row] for row in batch], [types[r] for r in batch])
            for row, vectors in zip(batch, states, strict=True):
                counted = self._counted(ids[row], real[row], kind)
                spans = _spans(tokenizer, encodings[row].ids, len(ids[row]), prompt, texts[row])
                found[row] = TokenVectors(vectors[: len(ids[row])][counted], spans[counted])
            return len(batch)

        device = self.model.device
        for _ in each(compute, list(batches([len(row) for row in ids], token_budget(batch_size, device))), device):
            pass
        return [found[row] for row in range(len(texts))]

    def _filled(self, ids: list[int], kind: Kind) -> list[int]:
        expansion = self.layout.expansion
        if kind == "document" or expansion is None:
            return ids
        return ids + [self._fill] * (expansion.length - len(ids))

    def _counted(self, ids: list[int], n_real: int, kind: Kind) -> np.ndarray:
        """Which tokens give a vector."""
        numbers = np.asarray(ids, np.int64)
        counted = np.ones(len(ids), bool)
        if kind in self.layout.skipped_in:
            counted &= ~np.isin(numbers, self._skipped)
            counted[n_real:] = True
        if kind == "document" and self.layout.kept_ids:
            counted &= np.isin(numbers, self.layout.kept_ids)
        return counted

    def _forward(self, ids: list[list[int]], n_real: list[int], types: list[list[int]]) -> np.ndarray:
        import torch

        expansion = self.layout.expansion
        attended = [len(row) for row in ids] if expansion is not None and expansion.attend else n_real
        with torch.inference_mode():
            vectors: np.ndarray = self.token_states(ids, attended, types).cpu().numpy()
        return vectors

    def token_states(
        self, ids: Sequence[Sequence[int]], attended: Sequence[int], types: Sequence[Sequence[int]] | None = None
    ) -> Any:
        """Vectors of unit length (texts, tokens, dimensions) as a tensor, with their gradient.

        Args:
            ids: token ids, what frames a text included.
            attended: how many tokens of each text the others attend to.
            types: token types; all 0 by default.

        """
        import torch

        device = self.model.device
        batch = torch.from_numpy(as_batch(ids, self._pad)).to(device)
        if batch.shape[1] == 0:
            return torch.zeros(len(ids), 0, self.dimensions, device=device)
        places = torch.arange(batch.shape[1], device=device)
        inputs = {
            "input_ids": batch,
            "attention_mask": (places < torch.tensor(attended, device=device)[:, None]).long(),
        }
        if self._takes_types:
            padded = np.zeros(batch.shape, np.int64)
            filled = as_batch(types or [], 0)
            padded[: len(filled), : filled.shape[1]] = filled
            inputs["token_type_ids"] = torch.from_numpy(padded).to(device)
        states = self.model(**inputs).last_hidden_state
        for head in self.heads:
            states = head(states)
        return torch.nn.functional.normalize(states.float(), dim=-1)


def padded(records: Sequence[TokenVectors]) -> tuple[np.ndarray, np.ndarray]:
    """Token vectors as one array: vectors (texts, tokens, d), zeros behind each text, and the mask (texts, tokens)."""
    lengths = np.array([len(record.vectors) for record in records], np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    width = records[0].vectors.shape[1] if records else 0
    vectors = np.zeros((*mask.shape, width), np.float32)
    vectors[mask] = np.concatenate([record.vectors for record in records] or [np.zeros((0, width), np.float32)])
    return vectors, mask


def _with_lengths(layout: TokenLayout, query_length: int | None, document_length: int | None) -> TokenLayout:
    for name, length in (("query_length", query_length), ("document_length", document_length)):
        if length is not None and length < 1:
            raise InputError(f"is {length}", where=name, hint="Give 1 or more")
    if query_length is not None:
        expansion = layout.expansion
        expansion = expansion and replace(expansion, length=min(expansion.length, query_length))
        layout = replace(layout, query_length=query_length, expansion=expansion)
    return layout if document_length is None else replace(layout, document_length=document_length)


def _query_length(layout: TokenLayout, limit: int) -> int:
    expansion = layout.expansion
    if expansion is not None and expansion.cuts:
        return expansion.length
    given = layout.query_length or limit
    return given if expansion is None else max(given, expansion.length)


def _fill_token(tokenizer: Any, layout: TokenLayout) -> int:
    if layout.expansion is None:
        return 0
    token = layout.expansion.token or tokenizer.mask_token
    number = None if token is None else tokenizer.convert_tokens_to_ids(token)
    if number is None or (number == tokenizer.unk_token_id and token != tokenizer.unk_token):
        raise ModelError(f"fills up queries with {token!r}, which its tokenizer does not know", where=str(layout.base))
    return int(number)


def _ids_of(words: Sequence[str], tokenizer: Any) -> list[int]:
    """The ids of words that are one token; the others would stand for every unknown word."""
    numbers = [(word, tokenizer.convert_tokens_to_ids(word)) for word in words]
    unknown = tokenizer.unk_token_id
    return [n for word, n in numbers if n is not None and (n != unknown or word == tokenizer.unk_token)]


def _with_markers(backend: Any, markers: Sequence[str]) -> Any:
    """The tokenizer with markers as special tokens, where it knows them: as text they would fall apart."""
    from tokenizers import AddedToken, Tokenizer

    found = []
    for marker in markers:
        whole = (candidate for candidate in (marker, marker.split()[0]) if backend.token_to_id(candidate) is not None)
        token = next(whole, None)
        if token is not None and backend.encode(token, add_special_tokens=False).tokens != [token]:
            found.append(AddedToken(token, normalized=False, special=True))
    if not found:
        return backend
    copy = Tokenizer.from_str(backend.to_str())
    copy.add_special_tokens(found)
    return copy


def _spans(tokenizer: TextTokenizer, ids: list[int], n: int, prompt: str, text: str) -> np.ndarray:
    """Characters of the text that each of `ids` stands for, then `n - len(ids)` tokens that stand for none."""
    whole_ids, whole = tokenizer.ids_and_spans(prompt + text[: _CHARACTERS_PER_TOKEN * len(ids)])
    if len(whole_ids) < len(ids) or not tokenizer._cuts_right:
        whole_ids, whole = tokenizer.ids_and_spans(prompt + text)
    shift = 0 if tokenizer._cuts_right else len(whole_ids) - len(ids)
    own = np.asarray(whole, np.int64).reshape(-1, 2)[shift : shift + len(ids)] - len(prompt)
    inside = (own[:, 0] >= 0) & (own[:, 1] > own[:, 0]) & (own[:, 1] <= len(text))
    # Where a text was cut, the special tokens at its end stand in other tokens' places.
    inside &= np.asarray(whole_ids[shift : shift + len(ids)]) == np.asarray(ids)
    spans = np.zeros((n, 2), np.int32)
    spans[: len(own)][inside] = own[inside]
    return spans
