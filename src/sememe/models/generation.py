"""How text is generated: greedily, or drawn with a temperature."""

from __future__ import annotations

from typing import Any

from sememe.extras import require


def generation_config(model: Any, tokenizer: Any, max_new_tokens: int, temperature: float, top_p: float) -> Any:
    """The settings for transformers' `generate`; what the model's own file says counts only for special tokens.

    Args:
        model: the Hugging Face model.
        tokenizer: its tokenizer.
        max_new_tokens: where to stop at the latest.
        temperature: 0 takes the most likely token each time.
        top_p: the probability of the tokens that are drawn from.

    """
    own = model.generation_config
    end = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    pad = own.pad_token_id if own.pad_token_id is not None else tokenizer.eos_token_id
    drawing = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    return require("transformers", "models").GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=end,
        pad_token_id=0 if pad is None else pad,
        **(drawing if temperature > 0 else {"do_sample": False}),
    )
