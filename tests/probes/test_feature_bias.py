"""The bench: what is learned, gated and measured; the tools and measures on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.probes.audit import MEASURES, audit
from sememe.probes.bench_config import BenchConfig
from sememe.probes.downstream import accuracy_of_components, pc_alignment, reuse_bias, steer_curve

pytest.importorskip("torch")

from sememe.probes.feature_bias import run_bench, train_one

SMALL = BenchConfig(
    widths=(64, 32, 32), n_train=4096, n_val=512, check_every=50, extra_steps=300, learning_rate=0.2, max_steps=3000
)


@pytest.fixture(scope="module")
def bench():
    return run_bench(SMALL, (0, 1))


def test_both_features_are_learned_and_the_easy_one_takes_more(bench):
    assert len(bench.runs) == 2
    for run in bench.runs:
        assert min(run.accuracy.values()) >= 0.999
        assert run.explained.share["easy"] > run.explained.share["hard"] > 0
        assert run.learned_at["easy"] < run.learned_at["hard"]
        assert run.steps >= run.learned_at["hard"] + 300
        assert run.elsewhere["layer 3"] == dict(run.explained.share)
        assert run.elsewhere["layer 1"] != run.elsewhere["layer 3"]


def test_the_trajectory_ends_at_the_final_shares(bench):
    run = bench.runs[0]
    rows = np.arange(512)
    assert run.traced_steps[0] == 0
    assert run.traced_steps[-1] == run.steps
    assert run.traced_variance.shape == run.traced_accuracy.shape == (len(run.traced_steps), 2)
    assert run.traced_variance[-1, 0] == pytest.approx(run.explained.share["easy"], abs=1e-6)
    assert run.traced_variance[0].max() < 0.1
    assert len(run.phi[run.val]) == len(rows)


def test_the_same_seed_gives_the_same_network_and_leaves_torchs_numbers_alone():
    import torch

    short = replace(SMALL, max_steps=60)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = train_one(short, 3), train_one(short, 3)
    assert (one.phi == other.phi).all()
    assert (one.phi != train_one(short, 4).phi).any()
    assert (torch.random.get_rng_state() == before).all()


def test_an_untrained_network_holds_a_little_of_the_easy_feature_and_none_of_the_xor():
    untrained = train_one(replace(SMALL, max_steps=0, n_val=2048), 0)
    assert 0 < untrained.explained.share["easy"] < 0.1
    assert abs(untrained.explained.share["hard"]) < 0.01
    assert not untrained.is_learned


def test_a_network_that_did_not_learn_is_excluded():
    result = run_bench(replace(SMALL, max_steps=40), (0,))
    assert (len(result.runs), len(result.excluded)) == (0, 1)
    with pytest.raises(InputError, match="no network learned"):
        audit("r2", result)


def test_features_of_one_kind_are_held_alike_and_a_rare_one_less():
    twice = replace(SMALL, features={"a": "linear", "b": "linear"})
    alike = train_one(twice, 0).explained.share
    rare = train_one(replace(twice, prevalence={"b": 0.1}), 0).explained.share
    assert abs(alike["a"] - alike["b"]) < 0.2
    assert rare["a"] - rare["b"] > 0.3


def test_a_decoder_holds_what_it_answers_first():
    config = BenchConfig(
        arch="decoder", features={"a": "marker", "b": "marker"}, length=8, vocabulary=16, width=16, batch_size=32,
        n_train=4096, n_val=256, check_every=50, extra_steps=50,
    )  # fmt: skip
    first = train_one(config, 0)
    second = train_one(replace(config, outputs=("b", "a")), 0)
    assert first.explained.share["a"] > first.explained.share["b"]
    assert second.explained.share["b"] > second.explained.share["a"]
    assert set(first.elsewhere) == {"separator below", "separator", "answers", "inputs below"}


def test_an_encoder_decoder_learns_and_is_read_at_its_encoder():
    config = BenchConfig(
        arch="transformer", features={"a": "marker", "b": "marker"}, length=8, vocabulary=16, width=16, batch_size=32,
        n_train=4096, n_val=256, check_every=50, extra_steps=0, max_steps=1500,
    )  # fmt: skip
    run = train_one(config, 0)
    assert run.is_learned
    assert list(run.elsewhere) == ["encoder"]


def test_tools_inherit_the_bias(bench):
    run = bench.runs[0]
    phi, F = run.phi[run.test], run.task.F[run.test]
    aligned = pc_alignment(phi, F, 2)
    assert aligned[0, 0] > 0.85 > aligned[0, 1]
    one, every = accuracy_of_components(phi, F, run.head, (1, 32))
    assert one[0] > 0.99 > one[1]
    assert every.min() >= 0.995
    easy, hard = (steer_curve(phi, F, place, run.head, (0.0, 0.75)) for place in (0, 1))
    assert easy.flipped[0].tolist() == [0, 0]
    assert easy.flipped[1, 0] > 0.95
    assert easy.flipped[1, 1] < 0.05
    assert easy.norm > hard.norm
    assert reuse_bias(phi, F) > 0.5


def test_reuse_follows_the_larger_column():
    F = np.array([[a, b] for a in (0, 1) for b in (0, 1)] * 20)
    assert reuse_bias(F * [10.0, 1.0] + np.random.default_rng(0).normal(0, 2, (80, 2)), F) > 0.9
    with pytest.raises(InputError, match="must agree"):
        reuse_bias(F * 1.0, F[:, [0, 0]])


def test_every_measure_runs_and_an_even_one_sees_both_alike(bench):
    ratios = {name: audit(name, bench).ratio for name in MEASURES}
    assert ratios["r2"] > 1.2
    assert ratios["probe"] == pytest.approx(1.0, abs=0.02)
    assert all(ratio > 0 for ratio in ratios.values())
    own = audit(lambda phi, F: [2.0, 1.0], bench)
    assert own.ratio == 2
    assert own.verdict == "this measure sees 'easy' 2.0 times as strongly as 'hard', although both are used equally"
    with pytest.raises(InputError, match="1 values for 2 features"):
        audit(lambda phi, F: [1.0], bench)
    with pytest.raises(InputError, match="no measure 'cca'"):
        audit("cca", bench)


def test_all_problems_of_a_configuration_are_reported_together():
    with pytest.raises(InputError) as error:
        BenchConfig(arch="mlp", features={"a": "marker"}, first="b", optimizer="lion", batch_size=0, widths=())
    for told in ("no kind 'marker' for mlp", "no feature 'b'", "optimizer is 'lion'", "batch_size must be", "widths"):
        assert told in str(error.value)
    with pytest.raises(InputError, match="outputs must name every feature once"):
        BenchConfig(outputs=("easy",))
    with pytest.raises(InputError, match="prevalence of easy"):
        BenchConfig(prevalence={"easy": 0.0})
    with pytest.raises(InputError, match="read is 'layer 9'"):
        BenchConfig(read="layer 9")
