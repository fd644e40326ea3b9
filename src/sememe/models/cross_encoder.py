"""CrossEncoder: one transformer that reads a query and a text together and gives a score.

Slow, because every pair is a pass through the model, so it orders the best hits of another search again (Nogueira
and Cho, arXiv 1901.04085).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sememe.errors import InputError, ModelError
from sememe.models import source
from sememe.models.device import pick_device, token_budget
from sememe.models.loading import load_classifier
from sememe.models.texts import as_texts, batches, check_text

DEPTH = 50


class CrossEncoder:
    """Scores texts for a query. Load one with `CrossEncoder.load`.

    Attributes:
        name: what its score is called in `Hit.parts`.
        depth: how many of the best hits it reads.
        max_tokens: how many tokens of query and text together it reads; the text is cut.

    """

    name = "cross-encoder"

    def __init__(self, model: Any, tokenizer: Any, *, depth: int = DEPTH) -> None:
        if depth < 1:
            raise InputError(f"depth must be at least 1, not {depth}", where="CrossEncoder")
        self.model, self.tokenizer, self.depth = model.eval(), tokenizer, depth
        positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
        self.max_tokens = int(min(positions, tokenizer.model_max_length))

    @classmethod
    def load(cls, name_or_path: str | Path, *, depth: int = DEPTH, device: str | None = None) -> CrossEncoder:
        """Load a model with one output, such as `cross-encoder/ms-marco-MiniLM-L6-v2`.

        Args:
            name_or_path: a folder in the format of Hugging Face transformers, or a hub id.
            depth: how many of the best hits to read.
            device: a torch device; by default the GPU when there is one.

        Raises:
            ModelError: there is no such model, or it has more than one output.

        """
        name, folder = source.locate(name_or_path, "encoder")
        model, tokenizer = load_classifier(folder)
        if model.config.num_labels != 1:
            raise ModelError(
                f"has {model.config.num_labels} outputs; a reranker has one score",
                where=name,
                hint="Take a cross-encoder that was trained to rank",
            )
        return cls(model.to(pick_device(device)), tokenizer, depth=depth)

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """The score of each text for the query, the model's raw output; shape (n,), float32.

        Raises:
            InputError: the query or a text is not a valid text.

        """
        import torch

        check_text(query, "query")
        checked = as_texts(texts)
        if not checked:
            return np.zeros(0, np.float32)
        pairs = self.tokenizer([query] * len(checked), checked, truncation="only_second", max_length=self.max_tokens)
        lengths = [len(ids) for ids in pairs["input_ids"]]
        scores = np.empty(len(checked), np.float32)
        with torch.inference_mode():
            for batch in batches(lengths, token_budget(32, self.model.device)):
                inputs = self.tokenizer.pad(
                    {key: [values[number] for number in batch] for key, values in pairs.items()}, return_tensors="pt"
                )
                logits = self.model(**inputs.to(self.model.device)).logits
                scores[batch] = logits[:, 0].float().cpu().numpy()
        return scores
