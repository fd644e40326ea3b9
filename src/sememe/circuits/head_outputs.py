"""What each attention head writes into the residual stream, read at `layers.N.attention.heads`.

A head's output is its part of what enters the attention's output projection, times the matching part of that matrix
(section 3.1 of arXiv 2405.12522, "head result"); the projection's bias belongs to no head. That works for every
causal language model whose sites are known, grouped-query attention included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sememe.errors import InputError
from sememe.models.running import Texts
from sememe.models.sites import find_sites

if TYPE_CHECKING:
    from sememe.models import LanguageModel

HEAD_SITES = "layers.*.attention.heads"
Pool = Literal["mean", "last", "all"]


@dataclass(frozen=True, eq=False)
class HeadOutputs:
    """What the heads wrote.

    Attributes:
        outputs: float32 (rows, layers * heads, width); heads in the order L0H0, L0H1, and so on.
        prompts: which prompt each row is of (rows,).
        labels: the (layer, head) of each place.

    """

    outputs: np.ndarray
    prompts: np.ndarray
    labels: list[tuple[int, int]]


def head_outputs(lm: LanguageModel, prompts: Texts, pool: Pool = "mean", *, batch_size: int = 32) -> HeadOutputs:
    """Each head's output in the residual stream.

    Args:
        lm: the model.
        prompts: texts, or the token ids of texts.
        pool: a row for each prompt, the `mean` over its positions (the first token included, as in the paper) or its
            `last` position; or `all`: a row for each token.
        batch_size: how much is computed at once.

    Raises:
        InputError: the pooling is not known, or a prompt has no tokens.

    """
    weights = head_weights(lm)
    z = pooled_inputs(lm, prompts, pool, batch_size=batch_size)
    counts = [len(rows) for rows in z]
    stacked = np.concatenate(z)  # (rows, layers, heads, head width)
    return HeadOutputs(
        project(stacked, weights), np.repeat(np.arange(len(counts)), counts), labels(lm.n_layers, lm.n_heads)
    )


def project(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """From heads' inputs (rows, layers, heads, head width) to outputs (rows, layers * heads, width), float32."""
    rows, n_layers, n_heads, _ = z.shape
    out = np.empty((rows, n_layers, n_heads, weights.shape[-1]), np.float32)
    for layer in range(n_layers):
        for head in range(n_heads):
            np.matmul(z[:, layer, head], weights[layer, head], out=out[:, layer, head])
    return out.reshape(rows, n_layers * n_heads, -1)


def pooled_inputs(lm: LanguageModel, prompts: Texts, pool: Pool, *, batch_size: int = 32) -> list[np.ndarray]:
    """What enters the output projections, pooled: for each prompt float32 (rows, layers, heads, head width).

    Pooling commutes with the projection, so it is done first, where the vectors are shorter.
    """
    if pool not in get_args(Pool):
        raise InputError(f"{pool!r} is not known", where="pool", hint=f"Use {', '.join(get_args(Pool))}")
    found = []
    for record in lm.activations(prompts, HEAD_SITES, batch_size=batch_size):
        if not record.tokens.ids:
            raise InputError("has no tokens", where=f"prompt {record.index}")
        z = np.stack(list(record.sites.values()), axis=1)  # (tokens, layers, heads * head width)
        if pool == "mean":
            z = z.mean(axis=0, keepdims=True)
        elif pool == "last":
            z = z[-1:]
        found.append(z.reshape(len(z), lm.n_layers, lm.n_heads, -1))
    return found


def head_weights(lm: LanguageModel) -> np.ndarray:
    """Each head's part of the output projection: float32 (layers, heads, head width, width)."""
    sites = find_sites(lm.model)
    matrices = []
    for layer in range(lm.n_layers):
        linear = sites[f"layers.{layer}.attention.heads"].module
        weight = linear.weight.detach().float().cpu().numpy()
        # GPT-2's Conv1D stores its matrix as (in, out), torch's Linear as (out, in).
        matrix = weight.T if hasattr(linear, "in_features") else weight
        matrices.append(matrix.reshape(lm.n_heads, -1, matrix.shape[1]))
    return np.stack(matrices).astype(np.float32)


def labels(n_layers: int, n_heads: int) -> list[tuple[int, int]]:
    """The (layer, head) of every place of a flat list of heads."""
    return [(layer, head) for layer in range(n_layers) for head in range(n_heads)]


def unit_rms(outputs: np.ndarray) -> np.ndarray:
    """Outputs (n, heads, width) scaled so that each head has a root mean square of 1 over prompts and coordinates.

    Late layers write far longer vectors, and a dictionary that is shared by all heads spends itself on them
    (section 8). A head that writes nothing stays as it is.
    """
    rms = np.sqrt(np.mean(np.square(outputs, dtype=np.float64), axis=(0, 2), keepdims=True))
    scaled: np.ndarray = (outputs / np.where(rms > 0, rms, 1.0)).astype(np.float32)
    return scaled


def name_of(place: int, n_heads: int) -> str:
    """A head's usual name, `layer.head`."""
    return f"{place // n_heads}.{place % n_heads}"


def place_of(name: str, n_layers: int, n_heads: int) -> int:
    """The place of the head called `layer.head`.

    Raises:
        InputError: there is no such head.

    """
    layer, _, head = name.partition(".")
    if not (layer.isdigit() and head.isdigit()) or int(layer) >= n_layers or int(head) >= n_heads:
        raise InputError(
            f"there is no head {name!r}", hint=f"Heads are called 0.0 to {n_layers - 1}.{n_heads - 1} (layer.head)"
        )
    return int(layer) * n_heads + int(head)
