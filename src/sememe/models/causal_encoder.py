"""A causal language model as an encoder: its state at an end token behind the text.

As RepLLaMA makes one (Ma et al., SIGIR 2024, arXiv 2310.08319) and Revela trains it (Cai et al., ICLR 2026, arXiv
2506.16552): no layer is added, and vectors have length one. Before it is trained it finds nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sememe import artifact
from sememe.errors import ModelError
from sememe.extras import require
from sememe.models import catalogue, source
from sememe.models.conversion import converted
from sememe.models.device import pick_device
from sememe.models.encoder import Encoder
from sememe.models.heads import Normalize
from sememe.models.layout import MODULES, Layout
from sememe.models.loading import load_transformer
from sememe.models.pooling import Pooling
from sememe.models.transformer import TransformerEncoder

MOST_TOKENS = 512
# A space at the end would melt into the first word of a text: what is trained would not be what is searched with.
PROMPTS = {"query": "query:", "document": "passage:"}


def is_language_model(name_or_path: str | Path) -> bool:
    """Whether a name stands for a causal language model that is no encoder yet.

    Raises:
        ModelError: it leads nowhere.

    """
    known = catalogue.kind_of(str(name_or_path))
    if known is not None:
        return known == "language model"
    _, folder = source.locate(name_or_path, "encoder")
    config = folder / "config.json"
    if (folder / MODULES).is_file() or not config.is_file():
        return False
    found = artifact.load_json(config)
    names = found.get("architectures") if isinstance(found, dict) else None
    return any(str(name).endswith("ForCausalLM") for name in names or ())


def encoder_from_language_model(name_or_path: str | Path, *, device: str | None = None) -> Encoder:
    """A causal language model that gives a vector a text, to be trained as a retriever.

    An end token is put behind each text, `query:` before a query and `passage:` before a document.

    Args:
        name_or_path: as for `LanguageModel.load`.
        device: a torch device; by default the GPU when there is one.

    Raises:
        ModelError: there is no such model, or its tokenizer has no end token.

    """
    require("torch", "models")
    name, place = source.locate(name_or_path, "language model")
    folder = converted(place) if place.is_file() else place
    model, tokenizer = load_transformer(folder)
    positions = getattr(model.config, "max_position_embeddings", None) or MOST_TOKENS
    fingerprint = hashlib.sha256(f"{source.fingerprint_folder(folder)} {PROMPTS}".encode()).hexdigest()
    return TransformerEncoder(
        model.to(pick_device(device)),
        _ending(tokenizer, name),
        name=name,
        fingerprint=fingerprint,
        layout=Layout(
            base=folder,
            kind="Transformer",
            pooling=Pooling(("lasttoken",)),
            max_length=min(MOST_TOKENS, int(positions)),
            prompts=PROMPTS,
            similarity="cosine",
        ),
        heads=[Normalize()],
    )


def _ending(tokenizer: Any, name: str) -> Any:
    """The tokenizer with its end token behind every text."""
    from tokenizers import processors

    transformers = require("transformers", "models")
    end = tokenizer.eos_token
    if end is None:
        raise ModelError("its tokenizer has no end token to read a text's vector from", where=name)
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, backend.token_to_id(end))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=end,
        pad_token=tokenizer.pad_token or end,
        model_input_names=["input_ids", "attention_mask"],
    )
