"""The atoms claim: its tiny run, its planted data, and that its conditions can fail."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from sememe.claims import load_claim, run_claim
from sememe.claims.planted_atoms import held_out_score, plant
from sememe.claims.wikitext import wikitext_paragraphs


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claim")
    return run_claim("p01_atoms", "tiny", work_dir=folder / "work", results_dir=folder / "results")


def test_the_tiny_run_finds_what_is_planted_and_says_that_the_headline_does_not_hold(result):
    held = {text.split(":")[0].split(",")[0]: value for text, value in result.conditions.items()}
    assert held["memorisation shows"]
    assert held["a wrong certificate is caught"]
    assert not held["the headline"]
    assert not result.holds
    # The bar of 0.97 for R2 lies within what seeds differ by (0.965 to 0.979), and so within what rounding does.
    assert result.figures["planted, TSAE: found"] > 0.97
    assert result.figures["planted, TSAE: R2"] > 0.95
    assert 2.7 < result.figures["planted, TSAE: K"] < 3.3
    assert result.figures["planted, ours: found"] == 1
    assert result.figures["planted, ours: R2"] > 0.97
    assert result.figures["more atoms than vectors: R2 train"] > result.figures["more atoms than vectors: R2"] + 0.3


def test_controls_stand_beside_what_they_control(result):
    for layer in ("made layer 0", "made layer 1"):
        assert result.figures[f"{layer} neurons: R2"] == pytest.approx(1)
        assert result.figures[f"{layer}: angle, Euclidean"] < 70
        assert result.figures[f"{layer}: angle, centred"] == pytest.approx(90, abs=2)
        for units in ("TSAE (paper)", "atoms (ours)", "features (ReLU)", "random, pursuit", "PCA"):
            assert f"{layer} {units}: q* random" in result.figures


def test_every_condition_can_fail_and_can_hold(result):
    """Each is decided by figures: make them good, and make them bad."""
    claim = load_claim("p01_atoms")
    good = {name: list(values) for name, values in result.by_seed.items()}
    for name in good:
        for ending, value in (
            ("TSAE (paper): R2", 0.995), ("TSAE (paper): q*", 0.995), ("TSAE (paper): q* random", 0.9),
            ("neurons: R2", 1.0), ("neurons: q*", 0.005), ("angle, Euclidean", 60.0), ("angle, atomic", 89.7),
            ("its sd, atomic", 3.0), ("its sd, centred", 8.0), ("planted, TSAE: R2", 0.98),
            ("planted, TSAE: found", 1.0),
        ):  # fmt: skip
            if name.endswith(ending):
                good[name] = [value]
    assert all(condition.holds(good) for condition in claim.threshold)
    bad = {name: [0.5 if "K" not in name else 30.0] for name in good}
    assert not any(condition.holds(bad) for condition in claim.threshold)


def test_planted_vectors_are_sums_of_their_atoms():
    planted = plant(50, 20, 16, 24, k=3, seed=0)
    assert planted.train.shape == (50, 16)
    np.testing.assert_allclose(np.linalg.norm(planted.atoms, axis=1), 1)
    from sememe.atoms import Atoms, Weights

    perfect = Atoms(
        Weights(*(np.float32(a) for a in (planted.atoms, planted.atoms, np.zeros(24), np.zeros(16), np.full(24, 0.5)))),
        np.full(24, 9),
        {},
    )
    assert planted.found(perfect) == pytest.approx((1.0, 1.0))
    assert held_out_score(perfect, planted)[1] > 1


def test_wikitext_is_read_by_paragraphs_without_its_spaces(tmp_path):
    words = " ".join(f"word{i}" for i in range(45))
    text = (
        f" = First @-@ one = \n \n {words} , and ( this ) . \n = = Heading = = \n too short \n = Second = \n {words} \n"
    )
    with gzip.open(tmp_path / "valid.txt.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    documents = list(wikitext_paragraphs(tmp_path, "valid"))
    assert [document.id for document in documents] == ["valid-0-0", "valid-1-0"]
    assert documents[0].text == f"{words}, and (this)."
    assert documents[0].metadata["article"] == "First @-@ one"
