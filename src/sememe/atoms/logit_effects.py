"""Which tokens an atom promotes and suppresses directly: through the last norm and the output matrix.

The direct path of "Interpreting GPT: the logit lens" (nostalgebraist 2020) for a direction instead of a state, as SAE
dashboards show it. It leaves out what later blocks make of the atom, so it says most for late sites; and the last norm
is taken as its weights alone, for its scale depends on the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.errors import InputError
from sememe.extras import require
from sememe.models.sites import find_sites

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms
    from sememe.models import LanguageModel

_BLOCK = 256  # atoms at once: 50 MB of scores for a vocabulary of 50,000
_IN_STREAM = re.compile(r"embedding|layers\.\d+\.residual")
_WRITES = re.compile(r"(layers\.\d+)\.(attention|mlp)")
_READ_BY_MATRIX = re.compile(r"(layers\.\d+)\.(attention\.heads|mlp\.key)")


@dataclass(frozen=True, eq=False)
class LogitEffects:
    """For every atom the tokens whose logits rise and fall most by a unit of it, centred over the vocabulary.

    Attributes:
        promoted, suppressed: token ids (n_atoms, n), int32, the strongest first.
        gains, losses: by how much (n_atoms, n), float32.
    """

    promoted: np.ndarray
    suppressed: np.ndarray
    gains: np.ndarray
    losses: np.ndarray


def has_effects(lm: LanguageModel, site: str) -> bool:
    """Whether atoms of a site have direct effects on the output that can be computed.

    Not where the family normalises what attention and MLP write before it is added (Gemma 2, OLMo 2).
    """
    if lm.final_norm is None or site not in lm.sites():
        return False
    if _IN_STREAM.fullmatch(site):
        return True
    writes = _WRITES.fullmatch(site) or _READ_BY_MATRIX.fullmatch(site)
    return writes is not None and not hasattr(_module(lm, f"{writes[1]}.residual"), "post_feedforward_layernorm")


def logit_effects(lm: LanguageModel, atoms: Atoms, *, site: str | None = None, n: int = 8) -> LogitEffects:
    """The direct effects of all atoms.

    Atoms of `mlp.key` and `attention.heads` are taken through the matrix that reads that site.

    Args:
        lm: the model.
        atoms: of a site that holds what is in the residual stream, is added to it, or becomes that by a matrix.
        site: where they are, if the atoms do not know.
        n: how many tokens at either end.

    Raises:
        InputError: atoms of that site have no direct effect, or are of another width.
    """
    torch = require("torch", "models")
    place = site or atoms.card.get("source", {}).get("site", "")
    if not has_effects(lm, place) or atoms.dimensions != lm.site_width(place):
        raise InputError(
            f"atoms of {place or 'an unknown site'} have no direct effect on the output of {lm.name!r}",
            where="logit_effects",
            hint="Only atoms of sites in or before the residual stream have, where no norm lies between",
        )
    found: dict[str, list[np.ndarray]] = {"promoted": [], "suppressed": [], "gains": [], "losses": []}
    with torch.inference_mode():
        # Some models have more rows than their tokenizer has tokens.
        matrix = lm.model.get_output_embeddings().weight[: len(lm.tokenizer)].float()
        n = min(n, len(matrix))
        for start in range(0, atoms.n_atoms, _BLOCK):
            directions = torch.from_numpy(atoms.decoder[start : start + _BLOCK]).to(matrix.device)
            effects = _normalised(lm, _written(lm, place, directions)) @ matrix.T
            effects -= effects.mean(dim=1, keepdim=True)
            best, worst = torch.topk(effects, n, dim=1), torch.topk(-effects, n, dim=1)
            found["promoted"].append(best.indices.cpu().numpy().astype(np.int32))
            found["gains"].append(best.values.cpu().numpy())
            found["suppressed"].append(worst.indices.cpu().numpy().astype(np.int32))
            found["losses"].append(-worst.values.cpu().numpy())
    return LogitEffects(**{name: np.concatenate(parts) for name, parts in found.items()})


def _module(lm: LanguageModel, site: str) -> Any:
    return find_sites(lm.model)[site].module


def _written(lm: LanguageModel, site: str, directions: Any) -> Any:
    """What directions at a site add to the residual stream."""
    if not _READ_BY_MATRIX.fullmatch(site):
        return directions
    module = _module(lm, site)
    weight = module.weight.float()
    # GPT-2's Conv1D stores its matrix as (in, out), torch's Linear as (out, in).
    return directions @ (weight.T if hasattr(module, "in_features") else weight)


def _normalised(lm: LanguageModel, directions: Any) -> Any:
    """The last norm without its division: its weights, and the mean taken off where it takes the mean off.

    Families store the weights in different ways, so the norm is asked. For a vector s whose mean is 0 and whose mean
    square is 1, every layer norm gives weight * s + bias and every RMS norm weight * s. Of a constant vector a layer
    norm leaves nothing but the bias.
    """
    import torch

    parameter = next(lm.final_norm.parameters())
    signs = torch.ones(lm.width, device=parameter.device, dtype=torch.float32)
    signs[1::2] = -1
    if lm.width % 2:
        signs[-3:] = torch.tensor([1.0, 1.0, -2.0])  # alternates up to here, so the mean is 0 again
    signs /= signs.square().mean().sqrt()

    def asked(vector: Any) -> Any:
        pair = torch.stack([vector, -vector]).to(parameter.dtype)
        out = lm.final_norm(pair).float()
        return (out[0] - out[1]) / (2 * vector)

    weight, of_constant = asked(signs), asked(torch.ones_like(signs))
    if of_constant.abs().max() < 1e-3 * weight.abs().max():
        directions = directions - directions.mean(dim=1, keepdim=True)
    return directions * weight
