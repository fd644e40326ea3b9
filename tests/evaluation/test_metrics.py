"""Metrics agree with trec_eval (through pytrec_eval and ir-measures); the paired test behaves as its theory says."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, nDCG

from sememe.errors import InputError
from sememe.evaluation.metrics import compare, evaluate_run, query_metrics, ranking

DEPTHS = (1, 3, 10, 100)
NAMES = {
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in DEPTHS},
    **{f"recall@{k}": f"recall_{k}" for k in DEPTHS},
    **{f"precision@{k}": f"P_{k}" for k in DEPTHS},
    "mrr": "recip_rank",
    "map": "map",
}
# ids whose order as text is not their order as numbers, and outside ASCII
DOCUMENTS = [*map(str, range(25)), "a", "B", "é", "日本", "𝔸", "D10", "D9"]
QUERIES = [f"q{i}" for i in range(5)]
# Few distinct values, so that most rankings have ties; two that differ only as 64-bit floats.
SCORES = st.sampled_from([-1.5, 0.0, 0.25, 1.0, 1.0 + 1e-10, 3.0]) | st.floats(-10, 10, width=32)
RUNS = st.dictionaries(
    st.sampled_from(QUERIES), st.dictionaries(st.sampled_from(DOCUMENTS), SCORES, min_size=1), min_size=1
)
QRELS = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), min_size=1),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(RUNS, QRELS)
def test_every_query_agrees_with_trec_eval(run, qrels):
    cuts = ",".join(map(str, DEPTHS))
    rival = pytrec_eval.RelevanceEvaluator(
        qrels, {f"ndcg_cut.{cuts}", f"recall.{cuts}", f"P.{cuts}", "recip_rank", "map"}
    ).evaluate(run)
    ours = query_metrics(run, qrels, list(NAMES))
    for name, theirs in NAMES.items():
        assert ours[name].keys() == qrels.keys()
        for query, value in ours[name].items():
            assert value == pytest.approx(rival.get(query, {}).get(theirs, 0.0), abs=1e-6), (name, query)


@settings(max_examples=60, deadline=None)
@given(RUNS, QRELS, st.integers(1, 12))
def test_the_cut_reciprocal_rank_is_trec_evals_up_to_the_cut(run, qrels, k):
    # trec_eval has none with a cut, and ir-measures takes its own from a provider with another order of ties.
    rival = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(run)
    for query, value in query_metrics(run, qrels, [f"mrr@{k}"])[f"mrr@{k}"].items():
        uncut = rival.get(query, {}).get("recip_rank", 0.0)
        assert value == pytest.approx(uncut if uncut > 1 / (k + 0.5) else 0.0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(RUNS, QRELS)
def test_means_agree_with_ir_measures(run, qrels):
    names = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr": RR, "map": AP, "precision@3": P @ 3}
    theirs = ir_measures.calc_aggregate(list(names.values()), qrels, run)
    ours = evaluate_run(run, qrels, list(names))
    for name, measure in names.items():
        assert ours[name] == pytest.approx(theirs[measure], abs=1e-6), name


def test_a_hand_computed_example():
    qrels = {"q": {"a": 3, "b": 2, "c": 0, "d": 1}, "missing": {"a": 1}}
    run = {"q": {"b": 0.9, "x": 0.8, "a": 0.7}, "unjudged": {"a": 1.0}}
    dcg = 2 / np.log2(2) + 3 / np.log2(4)
    ideal = 3 / np.log2(2) + 2 / np.log2(3) + 1 / np.log2(4)
    got = evaluate_run(run, qrels, ["ndcg@10", "recall@2", "mrr@1", "map", "precision@5"])
    expected = {
        "ndcg@10": dcg / ideal / 2,
        "recall@2": 1 / 3 / 2,
        "mrr@1": 1 / 2,
        "map": (1 / 1 + 2 / 3) / 3 / 2,
        "precision@5": 2 / 5 / 2,
    }
    assert got == pytest.approx(expected)


def test_equal_scores_are_ordered_by_id_from_the_highest():
    assert ranking({"D10": 1.0, "D9": 1.0, "a": 0.5, "z": 2.0}) == ["z", "D9", "D10", "a"]


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@-1", "ndcg@", "map@10", "recall@x", "precision", "f1", ""])
def test_an_unknown_metric_is_refused(name):
    with pytest.raises(InputError, match="there is no metric"):
        evaluate_run({}, {"q": {"a": 1}}, [name])


def test_nothing_to_evaluate_and_nan_are_refused():
    with pytest.raises(InputError, match="no judged queries"):
        evaluate_run({"q": {"a": 1.0}}, {})
    with pytest.raises(InputError, match="query 'q': the score of document 'b' is NaN"):
        evaluate_run({"q": {"a": 1.0, "b": float("nan")}}, {"q": {"a": 1}})


def values(numbers):
    return {f"q{i}": float(x) for i, x in enumerate(numbers)}


def test_the_randomisation_test_equals_counting_all_sign_flips():
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.05, 0.3])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    found = compare(values(differences), values(np.zeros(6)), resamples=40_000)
    assert found.p == pytest.approx(exact, abs=0.01)
    assert found.difference == pytest.approx(differences.mean())
    assert found.n_queries == 6


def test_the_interval_is_the_normal_one_for_many_queries():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.52, 0.1, 800), rng.normal(0.5, 0.1, 800)
    error = (a - b).std(ddof=1) / np.sqrt(800)
    found = compare(values(a), values(b), resamples=4000)
    assert found.low == pytest.approx((a - b).mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx((a - b).mean() + 1.96 * error, abs=0.15 * error)


def test_under_the_null_p_is_uniform_enough():
    rng = np.random.default_rng(2)
    p = [compare(values(rng.normal(size=30)), values(rng.normal(size=30)), resamples=400).p for _ in range(200)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09
    assert 0.4 <= np.mean(p) <= 0.6


def test_comparing_is_antisymmetric_seeded_and_needs_the_same_queries():
    rng = np.random.default_rng(3)
    a, b = values(rng.random(40)), values(rng.random(40))
    forward, backward = compare(a, b), compare(b, a)
    assert forward == compare(a, b)
    assert forward != compare(a, b, random_state=1)
    assert (forward.difference, forward.p) == (-backward.difference, backward.p)
    assert compare(a, a).p == 1.0
    with pytest.raises(InputError, match="q7 is in one of them only"):
        compare(a, {query: 0.0 for query in b if query != "q7"})
    with pytest.raises(InputError, match="there are none"):
        compare({}, {})
