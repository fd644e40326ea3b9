"""The learning rate over the steps: a linear rise, then a linear fall to 0."""

from __future__ import annotations


def linear_schedule(step: int, warm_up: int, total: int) -> float:
    """The factor of the learning rate after `step` steps: 0 at 0, 1 at `warm_up`, 0 at `total` and beyond.

    So the first of `total` steps, which is taken after 0 steps, has rate 0 when there is a warm-up, as with Izacard et
    al. (2022) and transformers' `get_linear_schedule_with_warmup`.
    """
    if step < warm_up:
        return step / warm_up
    return max(0.0, (total - step) / max(1, total - warm_up))
