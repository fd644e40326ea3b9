"""The Revela claim on planted pairs: it holds, and wrong implementations fail it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

torch = pytest.importorskip("torch")

from sememe.claims import p26_revela as p26  # noqa: E402
from sememe.claims.planted_pairs import N_ENTITIES, VOCABULARY, Variant, planted_batch, train_by_likelihood, train_pairs  # noqa: E402
from sememe.claims.running import run  # noqa: E402
from sememe.models.language import LanguageModel  # noqa: E402
from sememe.objectives import in_batch_attention  # noqa: E402

LEARNS, NEEDS_WEIGHTS, READS, NORMALIZED = p26.CLAIM.threshold


@pytest.mark.slow
def test_the_claim_holds_on_planted_pairs(tmp_path):
    result = run(p26.CLAIM, "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)
    assert result.holds, result.conditions
    assert result.figures["joint: partner, untrained"] < p26.CHANCE


def test_chunks_of_a_document_share_entities_and_those_of_a_style_share_more_words():
    chunks = planted_batch(50, np.random.default_rng(0))
    assert chunks.shape == (100, 11)
    assert chunks.max() < VOCABULARY
    sets = [set(chunk.tolist()) for chunk in chunks]
    entities = [{word for word in chunk if word >= VOCABULARY - N_ENTITIES} for chunk in sets]
    assert all(entities[2 * i] == entities[2 * i + 1] and len(entities[2 * i]) == 3 for i in range(50))
    assert all(chunks[2 * i, 0] != chunks[2 * i + 1, 0] for i in range(50))
    shared = np.array([[len(a & b) for b in sets] for a in sets])
    same_style = (chunks[:, :1] == chunks[:, 0]) & ~np.eye(100, dtype=bool)
    assert shared[same_style].mean() > 3 == shared[np.arange(100), np.arange(100) ^ 1].max()


def test_a_language_model_that_reads_nothing_teaches_nothing(monkeypatch):
    def nothing(queries, *_args, **_options):
        return torch.zeros_like(queries)

    monkeypatch.setattr(in_batch_attention, "cross_attention", nothing)
    figures = {f"joint: {name}": [value] for name, value in train_pairs(Variant(attached=False), 60, 0).items()}
    assert not LEARNS.holds(figures)
    assert not READS.holds(figures)
    assert figures["joint: alone"] == pytest.approx(figures["joint: read"], abs=1e-5)


def test_thresholds_refuse_what_falls_short():
    good = {"joint: partner": [0.99, 0.96], "joint: alone": [4.0, 4.0], "joint: read": [2.4, 2.5]}
    assert LEARNS.holds(good)
    assert READS.holds(good)
    assert NORMALIZED.holds(good)
    assert not LEARNS.holds({**good, "joint: partner": [0.99, 0.94]})
    assert not READS.holds({**good, "joint: read": [2.4, 3.61]})
    assert not NEEDS_WEIGHTS.holds({"weights detached: partner": [0.1, 0.26]})
    assert not NORMALIZED.holds({"joint, V-normalised: partner": [0.9, 0.2]})


def test_the_signal_of_a_tiny_model_is_read_for_every_way():
    language = LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")
    texts = ["a cat sat", "a cat ran", "red birds fly", "blue birds fly"]
    figures = p26.signal(language, [texts, texts[::-1]])
    assert len(figures) == 6
    assert all(np.isfinite(value) for value in figures.values())
    areas = [value for name, value in figures.items() if "AUC" in name]
    assert all(0 <= area <= 1 for area in areas)


def test_the_area_counts_pairs_of_one_article():
    values = np.array([[0, 9, 1, 1], [9, 0, 1, 1], [1, 1, 0, 9], [1, 1, 9, 0]], float)
    assert p26._same_article_auc(values) == 1
    assert p26._same_article_auc(-values) == 0
    assert p26._same_article_auc(np.zeros((4, 4))) == 0.5


def test_ranking_by_likelihood_learns_partners_too():
    found = train_by_likelihood(120, 0)
    assert found["language model"] > 0.8
    assert found["partner"] > 0.5
