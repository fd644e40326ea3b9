"""q*: the worked case of spec 01, section 7, its invariances, and the traps of section 8."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from sememe.atoms.coherence import coherence
from sememe.atoms.stability import q_star, q_star_random, stability
from sememe.errors import InputError


def test_the_worked_case():
    pairs = [0.01, 0.02, 0.03, 0.05, 0.08, 0.10, 0.15, 0.20, 0.40, 0.60]
    assert q_star(pairs, [1, 1, 2, 2, 2, 3, 3, 4, 6, 10]) == pytest.approx(0.713572, abs=1e-6)


def test_the_extremes():
    random = coherence(np.random.default_rng(0).standard_normal((40, 10)))
    assert stability(random, np.ones(100)).q_star == 1.0  # K = 1: unique unless two atoms are parallel
    orthogonal = coherence(np.eye(12))
    found = stability(orthogonal, np.full(50, 12))
    assert found.q_star == 1.0
    assert found.strict
    parallel = coherence(np.vstack([np.eye(4), np.eye(4)]))
    assert stability(parallel, np.ones(9)).q_star < 1.0
    assert not stability(parallel, np.ones(9)).strict
    dense = coherence(np.random.default_rng(0).standard_normal((500, 20)))
    assert stability(dense, np.full(10, 500)).q_star < 0.01


def test_the_condition_holds_below_q_star_and_fails_above():
    measured = coherence(np.random.default_rng(0).standard_normal((300, 40)))
    active = np.random.default_rng(1).integers(2, 12, 500)
    found = stability(measured, active)
    assert 0 < found.q_star < 1
    for q, holds in ((found.q_star - 1e-3, True), (found.q_star + 1e-3, False)):
        assert (measured.quantile(q) < 1 / (2 * np.quantile(active, q) - 1)) == holds


@pytest.mark.parametrize("pairs", ["pairwise", "per_atom"])
def test_more_active_or_duplicated_atoms_never_help(pairs):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((100, 30))
    active = rng.integers(1, 6, 400)
    base = stability(coherence(atoms), active, pairs=pairs).q_star
    assert stability(coherence(atoms), active + 1, pairs=pairs).q_star <= base
    # All of them: a few copies also change how often each pair counts.
    assert stability(coherence(np.vstack([atoms, atoms])), active, pairs=pairs).q_star <= base


def test_order_sign_and_length_of_atoms_do_not_matter():
    rng = np.random.default_rng(0)
    atoms, active = rng.standard_normal((80, 20)), rng.integers(1, 6, 200)
    base = stability(coherence(atoms), active).q_star
    changed = (atoms * rng.choice([-1, 1], (80, 1)) * rng.uniform(0.1, 9, (80, 1)))[rng.permutation(80)]
    assert stability(coherence(changed), active).q_star == pytest.approx(base, abs=1e-5)


@pytest.mark.parametrize("k", [2, 4, 8, 16])
def test_a_random_dictionary_scores_well_at_low_sparsity(k):
    """Spec 01, section 8: why q* never stands alone. A squared random cosine is Beta(1/2, (d - 1) / 2)."""
    expected = beta(0.5, 255 / 2).cdf((1 / (2 * k - 1)) ** 2)
    assert q_star_random(1024, 256, np.full(100, k)) == pytest.approx(expected, abs=0.005)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(InputError, match="no codes"):
        stability(coherence(np.eye(3)), np.zeros(0))
    with pytest.raises(InputError, match="no pairs"):
        stability(coherence(np.ones((1, 3))), np.ones(4))
