"""In-batch attention: a language model that looks into the other texts of its batch, as much as a retriever says.

Cai et al., "Revela: Dense Retriever Learning via Language Modeling" (ICLR 2026, arXiv 2506.16552), equations 5 to 9.
The model runs twice with the same weights. The first pass is the plain one and leaves the keys and values of every
layer; in the second each head reads in the other texts too, as much as the weights say. There are two ways to read: the
paper's adds it to the head's own causal attention, ours lets the own tokens and those of the others share one softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sememe.errors import InputError, ModelError
from sememe.extras import require

FAMILIES = ("llama", "qwen2", "qwen3")
"""Model types whose attention modules call a registered function with everything that it needs."""

_NAME = "sememe_in_batch"
_TINY = 1e-6
_LEAST = 1e-30  # of a weight whose logarithm is taken


def similarity_weights(similarities: Any, temperature: float) -> Any:
    """How much each text looks into each other one: a softmax over the others, 0 for itself.

    Args:
        similarities: tensor (n, n), n at least 2.
        temperature: above 0.

    Raises:
        InputError: there are fewer than two texts, a similarity is NaN or infinite, or the temperature is not above 0.

    """
    torch = require("torch", "models")
    n = len(similarities)
    if n < 2 or not temperature > 0 or not torch.isfinite(similarities.detach()).all():
        raise InputError(
            f"{n} texts, temperature {temperature}, or similarities that are not finite",
            where="similarity_weights",
            hint="Give at least two texts and a temperature above 0",
        )
    own = torch.eye(n, dtype=torch.bool, device=similarities.device)
    return (similarities / temperature).masked_fill(own, float("-inf")).softmax(dim=1)


@dataclass(frozen=True)
class Own:
    """What a head has of its own text in the second pass.

    Attributes:
        queries: tensor (n, heads, tokens, d).
        scores: causal, before the softmax; tensor (n, heads, tokens, tokens).
        values: tensor (n, heads, tokens, d).

    """

    queries: Any
    scores: Any
    values: Any


@dataclass(frozen=True)
class Others:
    """What a head may read in other texts.

    Attributes:
        keys: of the first pass; tensor (n, heads, tokens, d).
        values: likewise.
        weights: tensor (n, n), 0 on the diagonal.
        mask: which tokens are real; boolean tensor (n, tokens).

    """

    keys: Any
    values: Any
    weights: Any
    mask: Any


Reading = Callable[[Own, Others, float], Any]
"""What a head gives in the second pass, a tensor (n, heads, tokens, d); the number scales the inner products."""


def added_attention(own: Own, others: Others, scale: float, *, normalize: bool) -> Any:
    """The paper's: what a head finds in its own text, and what it finds in the others added to it (equation 9).

    Args:
        own: the own text.
        others: the other texts.
        scale: of the inner products.
        normalize: see `cross_attention`.

    """
    found = _softmax(own.scores).to(own.queries.dtype) @ own.values
    return found + cross_attention(
        own.queries, others.keys, others.values, others.weights, others.mask, scale=scale, normalize=normalize
    )


def shared_attention(own: Own, others: Others, scale: float, *, at_once: int = 4) -> Any:
    """Ours: what a head finds in its own text and in the others together, by one softmax over the tokens of all.

    A token of text j counts w_ij times in text i, an own token once, so that what a head gives remains a mean of
    values, as it was when the model was trained.

    Args:
        own: the own text.
        others: the other texts.
        scale: of the inner products.
        at_once: how many texts read at once; without influence on the result.

    """
    torch = require("torch", "models")
    checkpoint = require("torch.utils.checkpoint", "models").checkpoint
    weights = others.weights
    counted = weights.clamp(min=_LEAST).log().masked_fill(weights == 0, float("-inf"))

    def read(some: slice) -> Any:
        scores = torch.einsum("ihld,jhmd->ihljm", own.queries[some], others.keys).to(counted.dtype) * scale
        scores = scores.masked_fill(~others.mask, float("-inf")) + counted[some, None, None, :, None]
        together = torch.cat([own.scores[some].to(counted.dtype), scores.flatten(3)], dim=-1)
        attention = _softmax(together).to(own.queries.dtype)
        here, there = attention[..., : own.scores.shape[-1]], attention[..., own.scores.shape[-1] :]
        found = torch.einsum("ihljm,jhmd->ihld", there.unflatten(-1, scores.shape[-2:]), others.values)
        return here @ own.values[some] + found

    # As below: computed anew for the gradient.
    parts = [slice(start, start + at_once) for start in range(0, len(weights), at_once)]
    return torch.cat([checkpoint(read, part, use_reentrant=False, preserve_rng_state=False) for part in parts])


def cross_attention(
    queries: Any, keys: Any, values: Any, weights: Any, mask: Any, *, scale: float, normalize: bool, at_once: int = 4
) -> Any:
    """What every text reads in the others: ``sum over j of w_ij softmax(scale Q_i K_j^T) V_j``.

    No causal mask: every position sees all tokens of another text.

    Args:
        queries: tensor (n, heads, tokens, d) of the second pass.
        keys: tensor (n, heads, tokens, d) of the first pass.
        values: likewise.
        weights: tensor (n, n), 0 on the diagonal.
        mask: boolean tensor (n, tokens): which tokens are real.
        scale: of the inner products.
        normalize: divide what is read in a text by the attention-weighted mean length of its values, so that no text is
            read louder than another (V-normalisation; section 3.2 of the paper).
        at_once: how many texts are read at once; without influence on the result.

    Returns:
        Tensor (n, heads, tokens, d).

    """
    torch = require("torch", "models")
    checkpoint = require("torch.utils.checkpoint", "models").checkpoint

    def read(some: slice) -> Any:
        scores = torch.einsum("ihld,jhmd->ijhlm", queries, keys[some]) * scale
        scores = scores.masked_fill(~mask[some][None, :, None, None], float("-inf"))
        attention = _softmax(scores).to(values.dtype)
        found = torch.einsum("ijhlm,jhmd->ijhld", attention, values[some])
        if normalize:
            lengths = torch.einsum("ijhlm,jhm->ijhl", attention, values[some].norm(dim=-1))
            found = found / (lengths[..., None] + _TINY)
        return torch.einsum("ij,ijhld->ihld", weights[:, some], found)

    # The scores of all pairs of texts in all layers would fill the memory: they are computed anew for the gradient.
    parts = [slice(start, start + at_once) for start in range(0, len(keys), at_once)]
    return sum(checkpoint(read, part, use_reentrant=False, preserve_rng_state=False) for part in parts)


READINGS: Mapping[str, Reading] = {
    "shared": shared_attention,
    "added": partial(added_attention, normalize=False),
    "v-normalized": partial(added_attention, normalize=True),
}
"""How a head reads in the second pass: ours, the paper's, and the paper's for prose."""


@dataclass
class InBatch:
    """What the two passes share.

    Attributes:
        mask: which tokens are real; boolean tensor (n, tokens).
        read: how a head reads in the second pass.
        weights: tensor (n, n); None in the first pass.
        memory: keys and values of each layer, filled by the first pass.

    """

    mask: Any
    read: Reading
    weights: Any = None
    memory: dict[int, tuple[Any, Any]] = field(default_factory=dict)


def prepare_model(model: Any) -> None:
    """Let a language model of transformers attend in the batch.

    Raises:
        ModelError: its family is not supported.

    """
    transformers = require("transformers", "models")
    family = str(model.config.model_type)
    if family not in FAMILIES:
        raise ModelError(
            f"{type(model).__name__} is no language model that can look into its batch",
            where=family,
            hint=f"Supported: {', '.join(FAMILIES)}",
        )
    masking = require("transformers.masking_utils", "models")
    transformers.AttentionInterface.register(_NAME, _attention)
    transformers.AttentionMaskInterface.register(_NAME, masking.eager_mask)
    model.set_attn_implementation(_NAME)


def run_passes(model: Any, ids: Any, mask: Any, weights: Any, read: Reading) -> tuple[Any, Any]:
    """The logits of the plain pass and of the pass that looks into the batch; two tensors (n, tokens, vocabulary).

    Args:
        model: the language model, prepared.
        ids: int64 tensor (n, tokens), filled up on the right.
        mask: boolean tensor (n, tokens).
        weights: tensor (n, n), see `similarity_weights`.
        read: how a head reads in the second pass, one of `READINGS`.

    """
    call = {"input_ids": ids, "attention_mask": mask.long(), "use_cache": False}
    state = InBatch(mask, read)
    plain = model(**call, in_batch=state).logits
    # No detaching: the model also learns what to keep for others.
    state.weights = weights
    return plain, model(**call, in_batch=state).logits


def _attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    **options: Any,
) -> tuple[Any, None]:
    scaling, in_batch = options["scaling"], options.get("in_batch")
    groups = query.shape[1] // key.shape[1]
    keys, values = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scores = query @ keys.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    if in_batch is not None and in_batch.weights is not None:
        kept_keys, kept_values = in_batch.memory[module.layer_idx]
        others = Others(kept_keys, kept_values, in_batch.weights, in_batch.mask)
        output = in_batch.read(Own(query, scores, values), others, scaling)
    else:
        output = _softmax(scores).to(query.dtype) @ values
        if in_batch is not None:
            in_batch.memory[module.layer_idx] = keys, values
    return output.transpose(1, 2).contiguous(), None


def _softmax(scores: Any) -> Any:
    torch = require("torch", "models")
    return scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
