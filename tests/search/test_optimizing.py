"""Learning a quantiser for an index: better on held-out queries where there is something to learn, and honest."""

from __future__ import annotations

import numpy as np
import pytest

from hash_encoder import HashEncoder
from sememe.bank import Bank
from sememe.corpus import Document
from sememe.errors import InputError
from sememe.objectives.contrastive_fitting import ContrastiveConfig
from sememe.search import Index
from sememe.search.coarse.product import ProductCodes, ProductQuantizer
from sememe.search.dense import rescore
from sememe.search.optimizing import optimize_coarse, title_pairs, verify

pytest.importorskip("torch")
QUICK = ContrastiveConfig(
    steps=120, batch_size=64, negatives=64, learning_rate=2e-3, dense_weight=0.0, check_every=20, dev_share=0.15
)


class Planted(HashEncoder):
    """A document is about the first dimensions; the rest is louder and says nothing about its questions."""

    dimensions = 16
    name = fingerprint = "planted-16"
    normalizes, similarity = False, "dot"

    def __init__(self):
        super().__init__(16)

    def _vector(self, text):
        number = int(text.split()[-1])
        document = np.random.default_rng(number).standard_normal(16)
        document[8:] *= 2
        if "question" in text and "vector" not in text:
            document = 0.3 * np.random.default_rng([number, 1]).standard_normal(16) + document * ([1] * 8 + [0] * 8)
        return document.astype(np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    documents = [Document(f"d{i}", f"vector {i}", title=f"question {i}") for i in range(500)]
    with Index.build(documents, Planted(), tmp_path_factory.mktemp("index") / "i") as index:
        yield index


def start():
    rng = np.random.default_rng(3)
    return ProductQuantizer(rng.standard_normal((4, 16, 4)) * 1.5)


@pytest.mark.parametrize("learn", [("codebook",), ("codebook", "query_map"), ("query_map",)])
def test_held_out_queries_gain_and_the_bank_stays(index, learn):
    before, fingerprint = start(), index.bank.fingerprint
    found = optimize_coarse(index, before=before, learn=learn, candidates=40, config=QUICK)
    assert index.bank.fingerprint == fingerprint
    assert found.before is before
    assert (found.after.query_map is not None) == ("query_map" in learn)
    assert np.array_equal(found.after.codebook, before.codebook) == ("codebook" not in learn)
    assert found.n_pairs == (400, 100)
    recall = {name: row["coarse recall@100"] for name, row in found.table.items()}
    assert recall["exact"] > 0.95
    assert recall["before"] < recall["after"] or learn == ("query_map",)
    assert found.fitted.dev_losses[found.fitted.step] < found.fitted.dev_losses[0]
    assert found.recall_gain.difference == pytest.approx(recall["after"] - recall["before"])
    assert found.is_better == (found.recall_gain.low > 0)
    for row in found.table.values():  # a code may keep out what exact search ranks wrongly, but not by much
        assert row["ndcg@10"] <= found.table["exact"]["ndcg@10"] + 0.05


def test_the_result_is_a_stage_that_searches(index):
    found = optimize_coarse(index, before=start(), candidates=40, config=QUICK)
    stage = ProductCodes(found.after)
    stage.extend(index.bank)
    assert len(stage.candidates(index.bank[3:4][0], 10, np.ones(500, bool))) == 10


def test_vectors_and_several_answers_as_pairs(index):
    rng = np.random.default_rng(0)
    pairs = [(index.bank[i : i + 1][0] + 0.1, f"d{i}") for i in range(60)]
    pairs += [(pairs[i][0], f"d{rng.integers(100, 500)}") for i in range(60)] + pairs[:5]
    before, after = (optimize_coarse(index, pairs, n_bytes=4, config=QUICK, random_state=1) for _ in range(2))
    assert sum(before.n_pairs) == 120
    assert before.after.fingerprint == after.after.fingerprint


def test_deleted_documents_are_neither_learned_from_nor_counted(tmp_path):
    documents = [Document(f"d{i}", f"vector {i}", title=f"question {i}") for i in range(200)]
    with Index.build(documents, Planted(), tmp_path / "i") as index:
        index.delete([f"d{i}" for i in range(50)])
        found = optimize_coarse(index, before=start(), candidates=150, config=QUICK)
        assert sum(found.n_pairs) == 150
        assert found.table["after"]["ndcg@10"] == pytest.approx(found.table["exact"]["ndcg@10"])  # all are candidates
        with pytest.raises(InputError, match="has no document 'd3'"):
            optimize_coarse(index, [(f"question {i}", "d3") for i in range(30)])


def test_what_does_not_fit_is_refused(index):
    with pytest.raises(InputError, match="there are 3 different queries, too few"):
        optimize_coarse(index, [(f"question {i}", f"d{i}") for i in range(3)])
    with pytest.raises(InputError, match="learn must name some of codebook, query_map, not rotation"):
        optimize_coarse(index, learn=("rotation",))
    with pytest.raises(InputError, match=r"query 0 has shape \(3,\), not \(16,\)"):
        optimize_coarse(index, [(np.full(3, i), f"d{i}") for i in range(30)])
    assert len(title_pairs(index, 7)) == 7


def test_verification_by_hand_and_exact_search(tmp_path):
    query, rows, coarse_scores = np.ones(1, np.float32), np.arange(3), np.array([10.0, 9.0, 8.0])
    with Bank.create(tmp_path / "b", 1, provenance={}) as bank:
        bank.append(np.array([[5.0], [5.5], [5.2]]))
        bank.commit()
        fused = verify(bank, query, rows, coarse_scores, 3, coarse_weight=0.3)
        exact = verify(bank, query, rows, coarse_scores, 3)
        rescored = rescore(bank, query, rows, 3)
    assert fused.ordinals.tolist() == [1, 0, 2]
    np.testing.assert_allclose(fused.scores, [8.2, 8.0, 7.6], atol=1e-6)
    assert exact.ordinals.tolist() == rescored.ordinals.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(exact.scores, np.array([5.5, 5.2, 5.0], np.float32))


def test_all_candidates_are_exact_search_and_more_never_lose(index):
    """With every row a candidate: the ids and the scores of exact search; recall grows with the candidates."""
    codes = ProductCodes(start())
    codes.extend(index.bank)
    everything = np.ones(500, bool)
    for number in range(20):
        query = index.encoder.encode_query(f"question {number}")
        exact = index.search(query, k=10)
        last = -1
        for n in (10, 50, 200, 500):
            rows, scores = codes.scored_candidates(query, n, everything)
            ranking = verify(index.bank, query, rows, scores, 10)
            found = len(set(ranking.rows.tolist()) & {hit.row for hit in exact})
            assert found >= last
            last = found
        assert ranking.rows.tolist() == [hit.row for hit in exact]
        assert ranking.scores.tolist() == [hit.score for hit in exact]
