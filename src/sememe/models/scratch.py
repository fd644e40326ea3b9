"""Encoders from scratch: a tokenizer trained on the user's texts, and a small BERT or a table of random weights.

What such an encoder can do, it learned from the objective, not from somebody's pretraining.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sememe.errors import InputError
from sememe.extras import require
from sememe.models.device import pick_device
from sememe.models.encoder import Encoder
from sememe.models.heads import Normalize
from sememe.models.layout import Layout
from sememe.models.pooling import Pooling
from sememe.models.static import StaticEncoder
from sememe.models.transformer import TransformerEncoder

_MOST_LETTERS = 1000
_STANDARD_DEVIATION = 0.02
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class ScratchConfig:
    """The size of an encoder from scratch.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    layers: int = field(default=2, metadata={"help": "transformer layers; 0: one vector a token, no transformer"})
    hidden: int = field(default=128, metadata={"help": "width of the vectors"})
    heads: int = field(default=2, metadata={"help": "attention heads"})
    vocabulary: int = field(default=8000, metadata={"help": "most word pieces"})
    positions: int = field(default=256, metadata={"help": "most tokens of a text, the framing ones included"})
    dropout: float = field(default=0.1, metadata={"help": "share of activations dropped in training"})
    seed: int = field(default=0, metadata={"help": "seed of the weights"})

    def __post_init__(self) -> None:
        problems = [] if self.layers >= 0 else ["layers must be 0 or more"]
        if self.hidden < 1 or self.heads < 1 or self.hidden % self.heads:
            problems.append("hidden must be a multiple of heads")
        if self.vocabulary < 16 or self.positions < 3:
            problems.append("vocabulary must be at least 16, and positions at least 3")
        if not 0 <= self.dropout < 1:
            problems.append("dropout must be from 0 to below 1")
        if problems:
            raise InputError("; ".join(problems), where="ScratchConfig")


def encoder_from_scratch(
    texts: Iterable[str], config: ScratchConfig | None = None, *, device: str | None = None
) -> Encoder:
    """A BERT with random weights, mean pooling and unit vectors, and WordPiece pieces learned from texts.

    With no layers it is a table of random vectors whose means are taken (`StaticEncoder`).

    Args:
        texts: what the pieces are learned from; they can be iterated again.
        config: its size.
        device: a torch device.

    Raises:
        InputError: the texts have no words.

    """
    require("torch", "models")
    config = config or ScratchConfig()
    tokenizer = word_pieces(texts, config.vocabulary, config.positions)
    marks = f"{tokenizer.backend_tokenizer.to_str()} {asdict(config)}"
    fingerprint = hashlib.sha256(marks.encode()).hexdigest()
    if config.layers == 0:
        return _table(tokenizer.backend_tokenizer, config, fingerprint)
    model = _bert(len(tokenizer), config)
    layout = Layout(
        base=Path("scratch"),
        kind="Transformer",
        pooling=Pooling(("mean",)),
        max_length=config.positions,
        similarity="cosine",
    )
    return TransformerEncoder(
        model.to(pick_device(device)),
        tokenizer,
        name="scratch",
        fingerprint=fingerprint,
        layout=layout,
        heads=[Normalize()],
    )


def _table(tokenizer: Any, config: ScratchConfig, fingerprint: str) -> StaticEncoder:
    """Random vectors, as small as BERT's are at first, so that the same learning rates fit."""
    shape = (tokenizer.get_vocab_size(), config.hidden)
    table = _STANDARD_DEVIATION * np.random.default_rng([config.seed, 5]).standard_normal(shape, dtype=np.float32)
    return StaticEncoder(
        table,
        tokenizer,
        name="scratch",
        fingerprint=fingerprint,
        normalizes=True,
        layout=Layout(base=Path("scratch"), kind="StaticEmbedding", similarity="cosine"),
    )


def word_pieces(texts: Iterable[str], vocabulary: int, max_length: int) -> Any:
    """A tokenizer like BERT's (Devlin et al., 2019), lower-casing, learned from texts; a Hugging Face tokenizer.

    Args:
        texts: they can be iterated again.
        vocabulary: most pieces.
        max_length: most tokens of a text.

    Raises:
        InputError: the texts have no words.

    """
    from tokenizers import AddedToken, Tokenizer, processors

    transformers = require("transformers", "models")
    pieces = Tokenizer(_word_piece_model(texts, vocabulary))
    pieces.normalizer, pieces.pre_tokenizer = _bert_like()
    pieces.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in _SPECIAL])
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, pieces.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        **{f"{token[1:-1].lower()}_token": token for token in _SPECIAL},
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _word_piece_model(texts: Iterable[str], vocabulary: int) -> Any:
    """The pieces of a vocabulary; equal texts give equal pieces."""
    from tokenizers import Tokenizer, models, trainers

    trained = Tokenizer(models.WordPiece(unk_token=_SPECIAL[1]))
    trained.normalizer, trained.pre_tokenizer = _bert_like()
    letters = _letters(texts)
    if not letters:
        raise InputError("there are no words to learn word pieces from", where="the corpus")
    # The trainer numbers inner letters in the order in which a hash table gives words, and breaks ties by number.
    # Letters that it knows beforehand have a fixed one.
    known = [*_SPECIAL, *(f"##{letter}" for letter in letters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocabulary, len(known) + len(letters)),
        special_tokens=known,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        min_frequency=2,
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    ids = {piece: number for number, (piece, _) in enumerate(sorted(trained.get_vocab().items(), key=lambda e: e[1]))}
    return models.WordPiece(ids, unk_token=_SPECIAL[1])


def _letters(texts: Iterable[str]) -> list[str]:
    """The most frequent letters of texts, in the order of their code points."""
    normalizer, _ = _bert_like()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    frequent = sorted(counts, key=lambda letter: (-counts[letter], letter))
    return sorted([letter for letter in frequent if not letter.isspace()][:_MOST_LETTERS])


def _bert_like() -> tuple[Any, Any]:
    from tokenizers import normalizers, pre_tokenizers

    return normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()


def _bert(vocabulary: int, config: ScratchConfig) -> Any:
    import torch
    from transformers import BertConfig, BertModel

    size = BertConfig(
        vocab_size=vocabulary,
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden,
        max_position_embeddings=config.positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return BertModel(size, add_pooling_layer=False)
