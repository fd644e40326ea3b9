"""Cross-entropy recovered: how much of what a site does for the model's predictions its dictionary keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.patching import Tensors, patched, site_in, skips_first_token
from sememe.atoms.weights import check_vectors
from sememe.errors import InputError
from sememe.models.running import Texts, as_inputs
from sememe.progress import Bar, progress

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms
    from sememe.models import LanguageModel


@dataclass(frozen=True, slots=True)
class Recovered:
    """Losses are means in nats over all tokens of all texts but each text's first.

    What the atoms were learned without stays as it is, in all four: first tokens if they were left out, and massive
    activations, which are longer than the `norm_limit` of the atoms' card.

    Attributes:
        loss_clean: of the model as it is.
        loss_spliced: with x' in place of what passes the site, x' the dictionary's reconstruction of it.
        loss_mean_ablated: with one vector, the mean, in place of it.
        loss_zero_ablated: with zeros in place of it.
        recovered_zero: (loss_zero_ablated - loss_spliced) / (loss_zero_ablated - loss_clean), the figure that the
            field reports as "loss recovered". Zeros can hurt a model far more than knowing nothing would, so it is
            kind: near 1 for many dictionaries.
        recovered_mean: the same with the mean in place of zeros: a dictionary that knows no more than the mean has 0.
            Both are NaN when the ablation costs nothing, and below 0 when splicing is worse than it.
        n_tokens: how many tokens were predicted.
    """

    loss_clean: float
    loss_spliced: float
    loss_mean_ablated: float
    loss_zero_ablated: float
    recovered_zero: float
    recovered_mean: float
    n_tokens: int


def cross_entropy_recovered(
    lm: LanguageModel,
    atoms: Atoms,
    texts: Texts,
    *,
    site: str | None = None,
    mean: np.ndarray | None = None,
    batch_size: int = 32,
    max_tokens: int | None = None,
    skip_first_token: bool | None = None,
    any_model: bool = False,
) -> Recovered:
    """Splice a dictionary into the model; see `Recovered`. Four passes over the texts.

    Args:
        lm: the model.
        atoms: the dictionary.
        texts: held-out texts, or the token ids of texts; those with fewer than two tokens predict nothing.
        site: where; by default the site that the atoms were learned at.
        mean: what mean ablation puts at the site (d,); by default the atoms' bias, which starts as the mean of the
            vectors that they were learned from.
        batch_size: how much is computed at once; without influence on the result.
        max_tokens: longer texts are cut to so many tokens; by default to what the model can read.
        skip_first_token: leave what passes at each text's first token, in all three interventions alike. By default
            so when the atoms were learned without first tokens.
        any_model: accept a model with another fingerprint than the one that the atoms were learned from.

    Raises:
        InputError: no text has two tokens, an option cannot be used, or the atoms do not fit the model.
    """
    import torch

    place = site_in(lm, atoms, site, any_model=any_model)
    skip = skips_first_token(atoms, skip_first_token)
    centre = check_vectors(np.atleast_2d(atoms.bias if mean is None else mean), atoms.dimensions)[0]
    ids = _ids(lm, texts, max_tokens)
    tensors = Tensors(atoms.weights, lm.model.device)
    constant = torch.tensor(centre, device=lm.model.device)

    limit = atoms.card.get("norm_limit") or math.inf

    def patch(function: Callable[[Any], Any]) -> AbstractContextManager[None]:
        def replace(states: Any) -> Any:
            is_massive = states.float().norm(dim=-1, keepdim=True) > limit
            return torch.where(is_massive, states, function(states).to(states.dtype))

        return patched(lm, place, replace, skip_first_token=skip)

    with progress("Splicing", 4 * len(ids), unit="texts") as bar:
        clean, spliced, centred, zeroed = (
            _loss(lm, ids, batch_size, context, bar)
            for context in (
                nullcontext(),
                patch(tensors.reconstruct),
                patch(lambda states: constant.expand(states.shape)),
                patch(torch.zeros_like),
            )
        )
    return Recovered(
        loss_clean=clean,
        loss_spliced=spliced,
        loss_mean_ablated=centred,
        loss_zero_ablated=zeroed,
        recovered_zero=_share(clean, spliced, zeroed),
        recovered_mean=_share(clean, spliced, centred),
        n_tokens=sum(len(row) - 1 for row in ids),
    )


def _ids(lm: LanguageModel, texts: Texts, max_tokens: int | None) -> list[list[int]]:
    """The token ids of every text that has two tokens."""
    if max_tokens is not None and max_tokens < 2:
        raise InputError(f"max_tokens is {max_tokens}", hint="Give 2 or more")
    limit = min(max_tokens or lm.max_tokens, lm.max_tokens)
    items = as_inputs(texts)
    ids = [(lm.tokenize(item).ids if isinstance(item, str) else item)[:limit] for item in items]
    long_enough = [row for row in ids if len(row) > 1]
    if not long_enough:
        raise InputError("no text has two tokens, so there is nothing to predict", where=f"{len(ids)} texts")
    return long_enough


def _loss(
    lm: LanguageModel, ids: list[list[int]], batch_size: int, context: AbstractContextManager[None], bar: Bar
) -> float:
    total = 0.0
    with context:
        for losses in lm.losses(ids, batch_size=batch_size):
            total += float(losses.sum(dtype=np.float64))
            bar.advance()
    return total / sum(len(row) - 1 for row in ids)


def _share(clean: float, spliced: float, ablated: float) -> float:
    return (ablated - spliced) / (ablated - clean) if ablated > clean else math.nan
