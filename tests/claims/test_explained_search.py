"""The explained-search claim on planted vectors: right atoms pass, wrong ones do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sememe.atoms import Atoms
from sememe.claims.explained_search import CLAIM, EQUALLY_FEW
from sememe.claims.planted import N_ACTIVE, PlantedEncoder, planted_documents
from sememe.claims.running import run

SUMS, BELOW, FEW = (condition.text for condition in CLAIM.threshold)
ONE_SEED = replace(CLAIM, seeds={"tiny": (0,)})


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def run_tiny(work, results, claim=ONE_SEED):
    return run(claim, "tiny", work_dir=work, results_dir=results)


def test_the_claim_holds_on_planted_vectors(work, tmp_path):
    result = run_tiny(work, tmp_path, CLAIM)
    assert result.holds, result.conditions
    assert result.seeds == [0, 1, 2]
    # The planted truth: four directions a vector; all principal components leave nothing over.
    assert result.figures["mean active atoms"] == pytest.approx(N_ACTIVE, abs=1.5)
    assert result.figures["pca_all: residual share"] < 1e-9
    assert result.figures["pca_all: share of scores covered to 80%"] == 1.0
    assert all(0 < result.figures[f"{name}: residual share"] < 1 for name in EQUALLY_FEW)


def test_atoms_that_learned_nothing_do_not_pass(work, tmp_path, monkeypatch):
    fit = Atoms.fit
    monkeypatch.setattr(Atoms, "fit", lambda X, n, **options: fit(X, n, **{**options, "steps": 1}))
    result = run_tiny(work, tmp_path)
    assert result.conditions == {SUMS: True, BELOW: False, FEW: False}
    assert not result.holds


def test_explanations_that_do_not_add_up_do_not_pass(work, tmp_path, monkeypatch):
    told = Atoms.contributions

    def wrong(self, query, vectors):
        return [part._replace(bias=part.bias + 0.01) for part in told(self, query, vectors)]

    monkeypatch.setattr(Atoms, "contributions", wrong)
    result = run_tiny(work, tmp_path)
    assert not result.conditions[SUMS]
    assert not result.holds


def test_the_planted_encoder_reads_titles_as_questions():
    documents, encoder = list(planted_documents(50)), PlantedEncoder(50)
    vectors = encoder.encode_document([document.content for document in documents])
    questions = encoder.encode_query([document.title for document in documents])
    assert vectors.shape == questions.shape == (50, encoder.dimensions)
    scores = questions @ vectors.T
    assert np.mean(scores.argmax(axis=1) == np.arange(50)) > 0.8
    assert len({encoder.fingerprint, PlantedEncoder(51).fingerprint, PlantedEncoder(50, 1).fingerprint}) == 3
