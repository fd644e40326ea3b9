"""Heads with planted circuits: some draw other outputs when a prompt is positive, the others never care."""

from __future__ import annotations

import numpy as np

N_HEADS, N_CIRCUIT, WIDTH, MOST_CENTRES, NOISE = 48, 8, 64, 24, 0.15


def planted_heads(n_pairs: int = 250, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of made heads (section 6A of the spec): float32 (2 * n_pairs, heads, width), positives first; the truth.

    A head's output is one of a few random centres (2 to 24, different for each head) with noise. The heads of the
    circuit have other centres in positive prompts.
    """
    rng = np.random.default_rng(random_state)
    truth = np.zeros(N_HEADS, bool)
    truth[rng.choice(N_HEADS, N_CIRCUIT, replace=False)] = True
    outputs = np.empty((2 * n_pairs, N_HEADS, WIDTH), np.float32)
    for head in range(N_HEADS):
        outputs[:, head] = _drawn(rng, 2 * n_pairs)
        if truth[head]:
            outputs[:n_pairs, head] = _drawn(rng, n_pairs)
    return outputs, truth


def _drawn(rng: np.random.Generator, n: int) -> np.ndarray:
    centres = rng.standard_normal((rng.integers(2, MOST_CENTRES + 1), WIDTH))
    drawn: np.ndarray = centres[rng.integers(len(centres), size=n)] + NOISE * rng.standard_normal((n, WIDTH))
    return drawn.astype(np.float32)
