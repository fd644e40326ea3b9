"""Tiny random models in real formats: what the tests of this room run on, without any download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "the cat sat on a mat and was very happy about it because cats like mats that are soft and warm "
    "retrieval of documents with sparse vectors is fast when an index is small and its memory is cached"
)
TEXTS = [
    "the cat sat on the mat",
    "hi",
    "Sparse vectors make a small index: it is fast, and cached in memory. 😀 emoji too",
    "warm " * 30,
    "naïve café, 日本語, ünïcode",
    "documents",
]


def word_pieces() -> Any:
    """A WordPiece tokenizer like BERT's, with [CLS] and [SEP], trained on a sentence."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        [WORDS], trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_pairs(max_length: int = 64) -> Any:
    """A byte-level BPE tokenizer like GPT-2's: no special token around a text, the empty text has no tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<|end|>"], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|end|>",
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
    )


def randomised(model: Any, scale: float = 0.25) -> Any:
    """The model with weights large enough that a wrong site, mask or order shows in the numbers."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def bert_folder(folder: Path, *, positions: int = 48) -> Path:
    """A bare BERT of two layers of width 32."""
    from transformers import BertConfig, BertModel

    tokenizer = word_pieces()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=positions,
    )
    randomised(BertModel(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def causal_model(family: str) -> Any:
    """A causal language model of a family, with two or three layers of width 32."""
    import transformers

    tokenizer = byte_pairs()
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    grouped = {**sizes, "num_key_value_heads": 2, "head_dim": 12}
    gpt2 = {name: sizes[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    gpt2 |= {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
    local = {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 4, "window_size": 8}
    configs: dict[str, tuple[str, dict[str, Any]]] = {
        "llama": ("LlamaConfig", grouped),
        "qwen3": ("Qwen3Config", grouped),
        "gemma2": ("Gemma2Config", {**grouped, "sliding_window": 8, "query_pre_attn_scalar": 8}),
        "mistral": ("MistralConfig", {**grouped, "sliding_window": 8}),
        "mixtral": ("MixtralConfig", {**grouped, "num_local_experts": 2}),
        "gpt2": ("GPT2Config", gpt2),
        "gpt_neox": ("GPTNeoXConfig", sizes),
        "gpt_neo": ("GPTNeoConfig", {**sizes, **local}),
        "gptj": ("GPTJConfig", {**gpt2, "rotary_dim": 4}),
        "phi": ("PhiConfig", sizes),
        "opt": ("OPTConfig", {**sizes, "ffn_dim": 48, "word_embed_proj_dim": 32}),
        "bloom": ("BloomConfig", {**gpt2, "hidden_size": 32}),
        "falcon": ("FalconConfig", sizes),
    }
    name, options = configs[family]
    if family == "gpt_neo":
        options = {
            key: value for key, value in options.items() if key not in ("num_hidden_layers", "num_attention_heads")
        }
    config = getattr(transformers, name)(**options)
    return randomised(transformers.AutoModelForCausalLM.from_config(config))
