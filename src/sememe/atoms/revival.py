"""Giving atoms that have stopped firing a new direction: that of a vector which is badly reconstructed.

Source: the resampling of "Towards Monosemanticity" (Bricken et al. 2023, appendix), simplified: a revived atom is the
unit residual of one vector, drawn with a chance in proportion to its squared error, and its threshold is the middle
one of the living atoms. Without it, a dictionary with as many atoms as the data truly have loses a tenth of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.extras import require

LAST = 0.7  # no atom is revived after this share of the steps, for it must still learn
ROUNDS = 10  # how often training stops to revive atoms, were it to do so to the end
MINIMUM_STEPS = 50


class Revival:
    """Counts which atoms fire, and revives the silent ones now and then.

    Args:
        n_atoms: how many atoms there are.
        steps: how many training steps there will be.
        generator: draws the vectors.
    """

    def __init__(self, n_atoms: int, steps: int, generator: np.random.Generator) -> None:
        self._period = max(MINIMUM_STEPS, steps // ROUNDS)
        self._last = LAST * steps
        self._fired = np.zeros(n_atoms, bool)
        self._generator = generator

    def after(self, number: int, fired: Any, residual: Any, p: Mapping[str, Any], optimizer: Any) -> None:
        """Take note of step `number` (from 1), and revive what has been silent when a period is over.

        Args:
            number: the step.
            fired: the atoms that were active in it, numbers in any order.
            residual: what it left unexplained (n, d).
            p: the parameters, changed in place.
            optimizer: forgets what it knew of the revived atoms.
        """
        self._fired[fired.numpy()] = True
        if number % self._period or number > self._last:
            return
        if self._fired.any():
            _revive(self._fired, residual, p, optimizer, self._generator)
        self._fired[:] = False


def _revive(
    fired: np.ndarray, residual: Any, p: Mapping[str, Any], optimizer: Any, generator: np.random.Generator
) -> None:
    """Point silent atoms along residuals; no two of them along the same one, so some may have to wait."""
    torch = require("torch", "models")
    errors = residual.square().sum(1).double().numpy()
    silent = np.flatnonzero(~fired)
    count = min(len(silent), int((errors > 0).sum()))
    if count == 0:
        return
    chosen = torch.from_numpy(generator.permutation(silent)[:count])
    picked = torch.from_numpy(generator.choice(len(errors), count, replace=False, p=errors / errors.sum()))
    directions = torch.nn.functional.normalize(residual[picked], dim=1)
    p["decoder"][chosen] = directions
    p["encoder"][chosen] = directions
    p["encoder_bias"][chosen] = 0.0
    p["log_thresholds"][chosen] = p["log_thresholds"][torch.from_numpy(fired)].median()
    for name, parameter in p.items():
        if name != "bias":
            for moment in ("exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][moment][chosen] = 0.0
