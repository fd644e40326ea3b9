"""Giving atoms that have stopped firing a new direction: that of a vector which is badly reconstructed.

Source: the resampling of "Towards Monosemanticity" (Bricken et al. 2023, appendix), simplified: a revived atom is the
unit residual of one vector, drawn with a chance in proportion to its squared error. Its coder sets its threshold or
bias so that it fires on as many of the batch's vectors as an atom should. Without revival, a dictionary with as many
atoms as the data truly have loses a tenth of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.extras import require

if TYPE_CHECKING:
    from sememe.atoms.coders.coder import Coder, Parameters
    from sememe.atoms.training import Step

LAST = 0.7  # no atom is revived after this share of the steps, for it must still learn
ROUNDS = 10  # how often training stops to revive atoms, were it to do so to the end
MINIMUM_STEPS = 50


class Revival:
    """Counts which atoms fire, and revives the silent ones now and then.

    Args:
        n_atoms: how many atoms there are.
        steps: how many training steps there will be.
        random_state: the seed of the vectors that are drawn.

    Attributes:
        fired: which atoms were active since the last round (n_atoms,).
    """

    def __init__(self, n_atoms: int, steps: int, random_state: int) -> None:
        self._period = max(MINIMUM_STEPS, steps // ROUNDS)
        self._last = LAST * steps
        self._seed = random_state
        self.fired = np.zeros(n_atoms, bool)

    def after(self, number: int, step: Step, p: Parameters, coder: Coder, optimizer: Any) -> None:
        """Take note of step `number` (from 1), and revive what has been silent when a period is over.

        Args:
            number: the step.
            step: what it measured.
            p: the parameters, changed in place.
            coder: sets how readily revived atoms fire.
            optimizer: forgets what it knew of them.
        """
        self.fired[step.fired.numpy()] = True
        if number % self._period or number > self._last:
            return
        if self.fired.any():
            # A generator of the round's own, so that a run that goes on from a checkpoint draws the same.
            chosen = _revive(self.fired, step.residual, p, np.random.default_rng([self._seed, 2, number]))
            coder.revive(p, chosen, (step.centred @ p["encoder"][chosen].T).numpy())
            _forget(optimizer, p, chosen)
        self.fired[:] = False


def _revive(fired: np.ndarray, residual: Any, p: Parameters, generator: np.random.Generator) -> Any:
    """Point silent atoms along residuals, no two along the same one, so some may have to wait; their numbers."""
    torch = require("torch", "models")
    errors = residual.square().sum(1).double().numpy()
    silent = np.flatnonzero(~fired)
    count = min(len(silent), int((errors > 0).sum()))
    chosen = torch.from_numpy(generator.permutation(silent)[:count])
    if count:
        picked = torch.from_numpy(generator.choice(len(errors), count, replace=False, p=errors / errors.sum()))
        directions = torch.nn.functional.normalize(residual[picked], dim=1)
        p["decoder"][chosen] = directions
        p["encoder"][chosen] = directions
    return chosen


def _forget(optimizer: Any, p: Parameters, chosen: Any) -> None:
    for name, parameter in p.items():
        if name != "bias":
            for moment in ("exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][moment][chosen] = 0.0
