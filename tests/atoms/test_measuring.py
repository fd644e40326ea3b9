"""Imported atoms measured on vectors: the figures are those that learning would have written."""

from __future__ import annotations

import numpy as np
import pytest

from sememe import Atoms, Bank
from sememe.atoms.measuring import measured
from sememe.atoms.saelens import export_saelens, import_saelens
from sememe.errors import InputError


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    rng = np.random.default_rng(0)
    vectors = (rng.random((600, 20)) ** 8 @ rng.standard_normal((20, 10))).astype(np.float32)
    with Bank.create(tmp_path_factory.mktemp("b") / "b", 10, provenance={"site": "layers.3.residual"}) as made:
        made.append(vectors)
        made.commit()
    return Bank.open(made.path)


def test_there_and_back_gives_the_same_figures(bank, tmp_path):
    learned = Atoms.fit(bank, 24, steps=200, target_active=3, batch_size=64)
    export_saelens(learned, tmp_path / "sae")
    again = measured(import_saelens(tmp_path / "sae"), bank)
    for figure in ("r2", "r2_train", "r2_atomic", "mean_active", "dead", "n_train", "n_held_out"):
        assert again.card[figure] == pytest.approx(learned.card[figure], abs=1e-4), figure
    assert again.certificate["mutual_coherence"] == pytest.approx(learned.certificate["mutual_coherence"], abs=1e-4)
    assert again.certified.grades() == learned.certified.grades()
    assert "imported" in again.card["warnings"][0]
    again.save(tmp_path / "a")
    assert Atoms.load(tmp_path / "a").certificate == again.certificate


def test_vectors_of_another_width_or_site_are_refused(bank, tmp_path):
    learned = Atoms.fit(bank, 24, steps=20, target_active=3)
    with pytest.raises(InputError, match="9 wide"):
        measured(learned, np.ones((50, 9), np.float32) * np.arange(50)[:, None])
    learned.card["source"]["site"] = "layers.4.residual"
    with pytest.raises(InputError, match=r"of layers\.4\.residual, the vectors of layers\.3"):
        measured(learned, bank)
