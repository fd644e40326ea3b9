"""What heads attend to: their attention patterns on single prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import ModelError

if TYPE_CHECKING:
    from sememe.models import LanguageModel


def attention_patterns(lm: LanguageModel, ids: Sequence[int]) -> np.ndarray:
    """The attention of every head on one prompt: float32 (layers, heads, tokens, tokens), from row to column.

    Raises:
        ModelError: this architecture does not give its attention away.

    """
    import torch

    row = torch.tensor([list(ids)], device=lm.model.device)
    with torch.inference_mode(), _eager(lm):
        call = {"attention_mask": torch.ones_like(row), "use_cache": False, "output_attentions": True}
        found = lm.model.base_model(input_ids=row, **call).attentions
    if not found or any(part is None for part in found):
        raise ModelError(f"{type(lm.model).__name__} does not give its attention away", where=lm.name)
    return np.stack([part[0].float().cpu().numpy() for part in found])


@contextmanager
def _eager(lm: LanguageModel) -> Iterator[None]:
    """While it is open, attention is computed step by step; the fused kernels never have the pattern."""
    before = lm.model.config._attn_implementation
    lm.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        lm.model.set_attn_implementation(before)
