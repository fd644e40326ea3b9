"""The claim on biases at its smallest, and what a wrong measure would give."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.claims.p06_feature_bias import CLAIM, SIZES
from sememe.claims.running import run

pytest.importorskip("torch")
CONDITIONS = [condition.text for condition in CLAIM.threshold]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(CLAIM, "tiny", work_dir=tmp_path_factory.mktemp("p06"), results_dir=tmp_path_factory.mktemp("results"))


def test_it_holds_on_small_networks(result):
    assert result.holds, result.conditions
    assert result.figures["linear and xor: easy"] > result.figures["linear and xor: hard"]
    assert 0 < result.figures["untrained: easy"] < 0.1


def test_a_decoding_measure_misses_the_thresholds(result):
    """What a probe sees: every feature that is computed at 1, and everything linear in an untrained network too."""
    seen = {name: [1.0] for name in result.by_seed if name.split(": ")[-1] in ("easy", "hard", "a", "b")}
    found = {condition.text: condition.holds({**result.by_seed, **seen}) for condition in CLAIM.threshold}
    assert not found[CONDITIONS[2]]
    assert not found[CONDITIONS[-1]]
    assert not all(found.values())


def test_each_condition_can_fail(result):
    twice = {"linear twice, b known in 10%: a": [0.1], "linear twice, b known in 10%: b": [0.8]}
    assert not _holds(result, 7, twice)
    assert not _holds(result, 8, {"decoder, marker twice, b answered first: b": [0.0]})
    assert not _holds(result, 3, {"linear twice, Adam: a": [0.9], "linear twice, Adam: b": [0.05]})
    assert not _holds(result, 0, {"linear and xor: learned": [0.0]})
    assert not _holds(result, 4, {"RSA of both and hard only": [0.99]})
    assert not _holds(result, 9, {"shuffled labels: largest |R2|": [0.2]})
    assert not _holds(result, 6, {"linear twice, a first: a": [0.1], "linear twice, a first: b": [0.9]})


def test_at_full_size_the_ranges_are_asked_for(result):
    full = {
        "linear and parity4: easy": [0.59] * 5, "linear and parity4: hard": [0.1] * 5, "linear and parity4: learned":
        [1.0] * 5, "linear and xor: easy": [0.7] * 5, "linear and xor: hard": [0.1] * 5, "linear and xor: learned":
        [1.0] * 5,
    }  # fmt: skip
    assert _holds(result, 1, full)
    assert _holds(result, 2, full)
    assert not _holds(result, 1, {**full, "linear and xor: hard": [0.4] * 5})
    assert not _holds(result, 2, {**full, "linear and xor: hard": [0.1, 0.1, 0.1, 0.5, 0.5]})
    assert not _holds(result, 5, {**full, "linear and parity4: learned": [1.0, 1.0, 1.0, 0.0, 0.0]})


def test_every_cell_is_a_configuration_of_the_bench():
    from sememe.probes.bench_config import BenchConfig

    for size in SIZES.values():
        for options in size.cells.values():
            BenchConfig(**options)


def _holds(result, number, changed):
    return bool(np.all(CLAIM.threshold[number].holds({**result.by_seed, **changed})))
