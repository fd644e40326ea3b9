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

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms
    from sememe.models import LanguageModel

_BLOCK = 256  # atoms at once: 50 MB of scores for a vocabulary of 50,000
_WRITES = re.compile(r"embedding|layers\.\d+\.(residual|attention|mlp)")


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


def logit_effects(lm: LanguageModel, atoms: Atoms, *, site: str | None = None, n: int = 8) -> LogitEffects:
    """The direct effects of all atoms.

    Args:
        lm: the model.
        atoms: of a site that holds what is in the residual stream or is added to it.
        site: where they are, if the atoms do not know.
        n: how many tokens at either end.

    Raises:
        InputError: what passes the site is not in the residual stream's coordinates.
    """
    torch = require("torch", "models")
    place = site or atoms.card.get("source", {}).get("site", "")
    if not _WRITES.fullmatch(place) or atoms.dimensions != lm.width:
        raise InputError(
            f"atoms of {place or 'an unknown site'} are not directions of the residual stream",
            where="logit_effects",
            hint="Only atoms of residual, attention, mlp and embedding sites have direct effects on the output",
        )
    output = lm.model.get_output_embeddings()
    norm = _norm_weight(lm)
    found: dict[str, list[np.ndarray]] = {"promoted": [], "suppressed": [], "gains": [], "losses": []}
    with torch.inference_mode():
        matrix = output.weight.float()
        for start in range(0, atoms.n_atoms, _BLOCK):
            directions = torch.from_numpy(atoms.decoder[start : start + _BLOCK]).to(matrix.device)
            if norm is not None:
                directions = directions * norm
            effects = directions @ matrix.T
            effects -= effects.mean(dim=1, keepdim=True)
            best, worst = torch.topk(effects, n, dim=1), torch.topk(-effects, n, dim=1)
            found["promoted"].append(best.indices.cpu().numpy().astype(np.int32))
            found["gains"].append(best.values.cpu().numpy())
            found["suppressed"].append(worst.indices.cpu().numpy().astype(np.int32))
            found["losses"].append(-worst.values.cpu().numpy())
    return LogitEffects(**{name: np.concatenate(parts) for name, parts in found.items()})


def _norm_weight(lm: LanguageModel) -> Any:
    """The weights of the norm before the output layer, found by asking it; None when it is not known.

    Families store them in different ways. For a vector s of alternating 1 and -1, whose mean is 0 and whose mean square
    is 1, every layer norm gives weight * s + bias and every RMS norm weight * s.
    """
    torch = require("torch", "models")
    if lm.final_norm is None:
        return None
    parameter = next(lm.final_norm.parameters())
    signs = torch.ones(lm.width, device=parameter.device, dtype=parameter.dtype)
    signs[1::2] = -1
    with torch.inference_mode():
        weight = (lm.final_norm(signs[None]) - lm.final_norm(-signs[None]))[0] / (2 * signs)
    return weight.float()
