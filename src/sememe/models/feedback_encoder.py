"""PrfEncoder: a query encoder that reads the query together with the passages a first search found.

ANCE-PRF: Yu, Xiong and Callan, CIKM 2021 (arXiv 2108.13454); reproduced by Li et al., ECIR 2022 (arXiv 2112.06400). The
encoder of the documents, and so the index, stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sememe.errors import InputError, ModelError
from sememe.extras import require
from sememe.models.device import token_budget
from sememe.models.encoder import Encoder
from sememe.models.feedback_files import Settings, read_encoder, read_published, write
from sememe.models.texts import as_texts, batches
from sememe.models.tokens import NO_LIMIT, TextTokenizer
from sememe.models.transformer import TransformerEncoder


class Reading(NamedTuple):
    """What a `PrfEncoder` made of a query and its passages."""

    vector: np.ndarray
    """Shape (d,), float32."""
    n_feedback_tokens_used: int
    """How many tokens of the passages were read; the rest did not fit the window."""


class PrfEncoder:
    """A transformer encoder that reads ``[CLS] query [SEP] passage 1 [SEP] ... [SEP] passage k [SEP]``.

    What the tokenizer puts before and after a text of its own stays; one separator token goes between the parts. With
    no passages the tokens, and so the vector, are those of the plain query. What does not fit the window is cut from
    the last passages; the closing token is always there.

    Attributes:
        encoder: the transformer.
        k: how many passages it reads. It must be used with exactly so many, or with all there are.
        separator: the token between the parts.
        window: how many tokens it reads, special tokens included.
        lowercase: whether texts are lower-cased before they are cut into tokens.
        base: name, fingerprint and dimensions of the encoder whose vectors it searches among.

    """

    def __init__(self, encoder: TransformerEncoder, settings: Settings) -> None:
        self.encoder = encoder
        self.k, self.separator = settings.k, settings.separator
        self.window, self.lowercase = settings.window, settings.lowercase
        self.base = settings.base
        self._settings = settings
        own = encoder.text_tokenizer
        self._tokens = TextTokenizer(_backend(own), self.window, add_special_tokens=False)
        self._before, self._after = own.around
        self._between = _id(encoder.tokenizer, self.separator)

    @classmethod
    def from_encoder(
        cls, encoder: Encoder, k: int = 3, window: int | None = None, lowercase: bool = False
    ) -> PrfEncoder:
        """Make an untrained one: the encoder's own weights read query and passages together.

        Args:
            encoder: the encoder of the index.
            k: how many passages to read.
            window: how many tokens to read, special tokens included; the encoder's own limit by default.
            lowercase: lower-case texts before they are cut into tokens. ANCE and its kin need it: their tokenizer
                knows upper case, their training did not.

        Raises:
            InputError: `k` or `window` is out of range, or the encoder is not a transformer.
            ModelError: its tokenizer has no token that could separate the parts.

        """
        if not isinstance(encoder, TransformerEncoder):
            raise InputError(
                f"{encoder.name} has no transformer that could read query and passages together",
                hint="Use the vectors themselves: average or rocchio",
            )
        longest = _longest(encoder)
        limit = encoder.text_tokenizer.max_length
        window = min(limit, longest) if window is None else window
        problems = [] if k >= 1 else [f"k must be at least 1, not {k}"]
        if not 1 <= window <= longest:
            problems.append(f"the window must be from 1 to {longest} tokens, as many as the model reads, not {window}")
        if problems:
            raise InputError("; ".join(problems), where="PrfEncoder")
        base = {"name": encoder.name, "fingerprint": encoder.fingerprint, "dimensions": encoder.dimensions}
        return cls(encoder, Settings(k, _separator(encoder.tokenizer), window, lowercase, base))

    @classmethod
    def from_published(
        cls, folder: str | Path, base: Encoder, k: int = 3, *, lowercase: bool = True, device: str | None = None
    ) -> PrfEncoder:
        """Load a checkpoint in the form in which ANCE-PRF was published.

        That is a folder of Hugging Face transformers with a RoBERTa, whose first token goes through a linear layer
        (`embeddingHead`) and a layer normalisation (`norm`).

        Args:
            folder: the folder, with `model.safetensors`.
            base: the encoder of the index, such as `sentence-transformers/msmarco-roberta-base-ance-firstp`; the
                checkpoint does not say which it belongs to.
            k: how many passages it was trained with; the checkpoint does not say that either.
            lowercase: as it was trained. Without lower-casing ANCE-PRF loses 0.02 nDCG@10 on TREC DL 2020.
            device: a torch device.

        Raises:
            ModelError: it is another kind of checkpoint, or gives vectors of another width than `base`.

        """
        require("torch", "models")
        encoder = read_published(Path(folder), device)
        if encoder.dimensions != base.dimensions:
            raise ModelError(
                f"gives vectors of {encoder.dimensions} dimensions, {base.name} of {base.dimensions}",
                where=str(folder),
                hint="Give the encoder that it was trained for",
            )
        made = cls.from_encoder(encoder, k, lowercase=lowercase)
        of_index = {"name": base.name, "fingerprint": base.fingerprint, "dimensions": base.dimensions}
        return cls(encoder, made._settings._replace(base=of_index))

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> PrfEncoder:
        """Read what `save_pretrained` wrote.

        Raises:
            ArtifactError: it is missing, damaged, something else, or from a newer version.
            ModelError: its transformer cannot be loaded.

        """
        require("torch", "models")
        return cls(*read_encoder(Path(path), device))

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder with `card.json` and `encoder/`, which sentence-transformers loads; an older one is replaced.

        Raises:
            ArtifactError: the folder holds anything else, or cannot be written.

        """
        write(Path(path), self.encoder, self._settings)

    def encode(self, query: str, passages: Sequence[str]) -> Reading:
        """The vector of a query and the passages found for it, the best first.

        Args:
            query: the query.
            passages: at most `k` texts; fewer only when the index has no more, none for the plain query.

        Raises:
            InputError: there are more than `k` passages, or the query leaves no room for them.

        """
        vectors, used = self.encode_batch([query], [passages])
        return Reading(vectors[0], int(used[0]))

    def encode_batch(
        self, queries: Sequence[str], passages: Sequence[Sequence[str]], *, batch_size: int = 32
    ) -> tuple[np.ndarray, np.ndarray]:
        """`encode` for many queries: vectors (n, d), float32, and the numbers of feedback tokens used (n,).

        Args:
            queries: n texts.
            passages: the passages of each.
            batch_size: how much is computed at once: up to this many texts of 64 tokens.

        """
        asked = as_texts(queries)
        if len(asked) != len(passages):
            raise InputError(f"there are {len(asked)} queries and passages for {len(passages)}")
        parts = [
            self._ids(query, as_texts(of_query), f"query {number}")
            for number, (query, of_query) in enumerate(zip(asked, passages, strict=True))
        ]
        ids, used = [row for row, _ in parts], np.array([n_used for _, n_used in parts], np.int64)
        vectors = np.empty((len(ids), self.encoder.dimensions), np.float32)
        skip = 0 if self.encoder.pooling.include_prompt else self._prompt_length()
        for batch in batches([len(row) for row in ids], token_budget(batch_size, self.encoder.model.device)):
            rows = [ids[number] for number in batch]
            vectors[batch] = self.encoder.vectors_of(rows, skip=skip)[:, : self.encoder.dimensions]
        return vectors, used

    def framed(self, query: str, passages: Sequence[str]) -> list[int]:
        """The token ids that the encoder reads for a query and the passages found for it.

        Raises:
            InputError: there are more than `k` passages, or the query leaves no room for them.

        """
        return self._ids(query, as_texts(passages), "the query")[0]

    def has_room(self, query: str) -> bool:
        """Whether a query leaves room for a token of a passage; one that does not can only be encoded alone."""
        n_tokens = self._tokens.count(self.as_read(self._prompt() + query))
        return len(self._before) + n_tokens + 2 + len(self._after) <= self.window

    def with_weights(self, encoder: TransformerEncoder) -> PrfEncoder:
        """The same settings, read with other weights."""
        return PrfEncoder(encoder, self._settings)

    def as_read(self, text: str) -> str:
        """A text as it goes to the tokenizer. The first search must use the query in this form too."""
        return text.lower() if self.lowercase else text

    def check_base(self, fingerprint: str) -> None:
        """Refuse an index whose vectors come from another encoder than the one this belongs to.

        Args:
            fingerprint: of the index's encoder.

        Raises:
            ModelError: they differ.

        """
        if fingerprint != self.base["fingerprint"]:
            raise ModelError(
                f"the feedback encoder belongs to {self.base['name']} (fingerprint {self.base['fingerprint'][:12]}), "
                f"the index was built with another encoder (fingerprint {fingerprint[:12]})",
                hint="Use one made for this index's encoder, or average or rocchio, which fit every index",
            )

    def _ids(self, query: str, passages: list[str], where: str) -> tuple[list[int], int]:
        """The ids of query and passages, and how many are of passages."""
        if len(passages) > self.k:
            raise InputError(f"the feedback encoder reads {self.k} passages, not {len(passages)}", where=where)
        room = self.window - len(self._before) - len(self._after)
        head, *rest = self._tokenized([self._prompt() + query, *passages])
        if not passages:
            return [*self._before, *head[: max(0, room)], *self._after], 0
        room -= len(head) + 1
        if room < 1:
            n_tokens = self._tokens.count(self.as_read(self._prompt() + query))
            raise InputError(
                f"the query has {n_tokens} tokens, which leaves no room for a passage in a window of {self.window}",
                where=where,
                hint="Shorten the query, or search without feedback",
            )
        fed: list[int] = []
        used = 0
        for number, passage in enumerate(rest):
            if number and len(fed) + 1 >= room:
                break
            fed += [self._between] if number else []
            taken = passage[: room - len(fed)]
            fed += taken
            used += len(taken)
        return [*self._before, *head, self._between, *fed, *self._after], used

    def _tokenized(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokens.encode([self.as_read(text) for text in texts])]

    def _prompt(self) -> str:
        """What the base encoder puts in front of a query."""
        prompts = self.encoder.prompts
        name = "query" if "query" in prompts else self.encoder.default_prompt_name
        return "" if name is None else prompts[name]

    def _prompt_length(self) -> int:
        prompt = self._prompt()
        return len(self._before) + len(self._tokenized([prompt])[0]) if prompt else 0


def _backend(tokens: TextTokenizer) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokens.json)


def _separator(tokenizer: Any) -> str:
    token = tokenizer.sep_token or tokenizer.eos_token
    if not token:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} has neither a separator nor an end-of-text token",
            hint="Use the vectors themselves: average or rocchio",
        )
    return str(token)


def _id(tokenizer: Any, token: str) -> int:
    found = tokenizer.get_vocab().get(token)
    if found is None:
        raise ModelError(f"the tokenizer has no token {token!r}, which should separate query and passages")
    return int(found)


def _longest(encoder: TransformerEncoder) -> int:
    """How many tokens the model has positions for."""
    config = encoder.model.config
    positions = getattr(config, "max_position_embeddings", None) or -1
    if positions == -1:
        return NO_LIMIT
    # RoBERTa counts positions from behind its padding token.
    offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return int(positions - offset)
