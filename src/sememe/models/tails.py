"""Running only a model's last blocks, from states that an earlier pass over the same prompts has left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sememe.models.sites import find_blocks

if TYPE_CHECKING:
    from sememe.models.language import LanguageModel


@dataclass(frozen=True, eq=False)
class Pass:
    """What a whole pass over prompts of equal length has left.

    Attributes:
        logits: tensor (prompts, vocabulary), the scores for what follows each prompt.
        states: for each block the tensor that entered it (prompts, tokens, width).
        extras: what each block gave beside its states; None where it gave nothing else.

    """

    logits: Any
    states: list[Any]
    extras: list[tuple[Any, ...] | None]


def last_logits(lm: LanguageModel, ids: Any, lengths: Sequence[int] | None = None) -> Any:
    """The scores for what follows each prompt: tensor (prompts, vocabulary).

    Args:
        lm: the model.
        ids: tensor (prompts, tokens).
        lengths: how many tokens each prompt has, when shorter ones are filled up on the right; there causal attention
            never looks, so the filling changes nothing.

    """
    import torch

    call = {"attention_mask": torch.ones_like(ids), "use_cache": False}
    if lengths is None:
        return lm.model(input_ids=ids, **call, logits_to_keep=1).logits[:, -1]
    ends = sorted({length - 1 for length in lengths})
    logits = lm.model(input_ids=ids, **call, logits_to_keep=torch.tensor(ends, device=ids.device)).logits
    return logits[torch.arange(len(ids)), [ends.index(length - 1) for length in lengths]]


def run_whole(lm: LanguageModel, ids: Any) -> Pass:
    """A whole pass whose states are kept, for `run_tail`.

    Args:
        lm: the model.
        ids: tensor (prompts, tokens) of prompts of equal length.

    """
    import torch

    blocks = find_blocks(lm.model)
    states: list[Any] = []
    extras: list[tuple[Any, ...] | None] = []

    def enter(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        states.append(inputs[0] if inputs else named["hidden_states"])

    def leave(_module: Any, _inputs: Any, output: Any) -> None:
        extras.append(tuple(output[1:]) if isinstance(output, tuple) else None)

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    handles += [block.register_forward_hook(leave) for block in blocks]
    try:
        with torch.inference_mode():
            logits = last_logits(lm, ids)
    finally:
        for handle in handles:
            handle.remove()
    return Pass(logits, states, extras)


def run_tail(lm: LanguageModel, first: int, states: Any, extras: list[tuple[Any, ...] | None]) -> Any:
    """The scores for what follows each prompt, computed from block `first` on.

    Patch sites of these blocks around it (`LanguageModel.patch`) to see what a change there does. Not while another
    thread uses the model: the blocks before `first` are passed by for everybody.

    Args:
        lm: the model.
        first: the first block that is computed.
        states: tensor (prompts, tokens, width), what enters that block.
        extras: those of `run_whole`.

    Returns:
        Tensor (prompts, vocabulary).

    """
    import torch

    blocks = find_blocks(lm.model)
    ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
    with torch.inference_mode(), _passed_by(blocks[:first], extras), _entering(blocks[first], states):
        return last_logits(lm, ids)


@contextmanager
def _passed_by(blocks: list[Any], extras: list[tuple[Any, ...] | None]) -> Iterator[None]:
    """While it is open, these blocks hand on what they get. They keep their places: masks are chosen by them."""

    def skipping(extra: tuple[Any, ...] | None) -> Any:
        def forward(hidden_states: Any, *_: Any, **__: Any) -> Any:
            return hidden_states if extra is None else (hidden_states, *extra)

        return forward

    try:
        for block, extra in zip(blocks, extras, strict=False):
            block.forward = skipping(extra)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


@contextmanager
def _entering(block: Any, states: Any) -> Iterator[None]:
    """While it is open, `states` enter a block, whatever was computed for it."""

    def enter(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if inputs:
            return (states, *inputs[1:]), named
        return inputs, {**named, "hidden_states": states}

    handle = block.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
