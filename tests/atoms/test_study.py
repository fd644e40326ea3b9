"""Studies of many sites: through the library and through the command, from a tiny model on disk."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from sememe import cli
from sememe.atoms import AtomsConfig
from sememe.errors import ArtifactError, InputError

if importlib.util.find_spec("transformers") is None:
    pytest.skip("needs the models extra", allow_module_level=True)

from tiny_models import WORDS, byte_pairs, causal_model

from sememe.atoms import checkpoint as checkpoint_module
from sememe.atoms import study as study_module
from sememe.atoms.scaling import learn_sizes
from sememe.atoms.study import Study, learn_sites, plan_sites
from sememe.bank import Bank
from sememe.corpus import read
from sememe.models import LanguageModel

CONFIG = AtomsConfig(n_atoms=24, steps=40, target_active=3.0, batch_size=32)
OPTIONS = ["--n-atoms", "24", "--steps", "40", "--target-active", "3", "--batch-size", "32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    causal_model("llama").save_pretrained(folder)
    byte_pairs().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = [{"id": f"d{i}", "text": " ".join(rng.choice(WORDS.split(), 4 + i % 9))} for i in range(70)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def study(model, source, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "s"
    found = dict(learn_sites(LanguageModel.load(model), read(source), "layers.*.residual", path, config=CONFIG))
    assert list(found) == ["layers.0.residual", "layers.1.residual", "layers.2.residual"]
    return path


def call(capsys, *words):
    code = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_study_keeps_banks_and_atoms_that_know_where_they_are_from(study):
    opened = Study.open(study)
    for site in opened.sites:
        atoms = opened.atoms(site)
        with opened.bank(site) as bank:
            assert bank.provenance["skip_first_token"]
            assert (np.asarray(bank.positions) > 0).all()
            assert atoms.card["source"]["site"] == site
            assert atoms.card["source"]["bank"] == bank.fingerprint
    with pytest.raises(InputError, match=r"no site 'layers\.9'"):
        opened.atoms("layers.9")


def stopped():
    raise RuntimeError("stopped")


def test_a_second_run_learns_nothing_again_and_a_stopped_one_goes_on(study, model, source, tmp_path, monkeypatch):
    lm, fitted = LanguageModel.load(model), []
    monkeypatch.setattr(study_module.Atoms, "fit", lambda *_, **__: fitted.append(1) or pytest.fail("learned again"))
    assert len(dict(learn_sites(lm, read(source), "layers.*.residual", study, config=CONFIG))) == 3
    monkeypatch.undo()
    partial = learn_sites(lm, read(source), "layers.*.residual", tmp_path / "p", config=CONFIG)
    next(partial)
    partial.close()
    assert Study.open(tmp_path / "p").sites == ["layers.0.residual"]
    keep = checkpoint_module.Checkpoint.keep
    monkeypatch.setattr(checkpoint_module, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoint_module.Checkpoint, "keep", lambda self, n: keep(self, n) or (n < 20 or stopped()))
    partial = learn_sites(lm, read(source), "layers.*.residual", tmp_path / "p", config=CONFIG)
    next(partial)
    with pytest.raises(RuntimeError, match="stopped"):
        next(partial)
    monkeypatch.undo()
    assert (tmp_path / "p" / "checkpoints" / "layers.1.residual").is_dir()
    assert Study.open(tmp_path / "p").sites == ["layers.0.residual"]  # not the checkpoint that was left
    whole = dict(learn_sites(lm, read(source), "layers.*.residual", tmp_path / "p", config=CONFIG))
    for site, atoms in whole.items():
        np.testing.assert_array_equal(atoms.decoder, Study.open(study).atoms(site).decoder)


def test_other_options_in_the_same_folder_are_refused(study, model, source):
    other = AtomsConfig(n_atoms=24, steps=41, target_active=3.0, batch_size=32)
    with pytest.raises(ArtifactError, match=r"other options or vectors \(steps\)"):
        dict(learn_sites(LanguageModel.load(model), read(source), "layers.1.residual", study, config=other))


def test_a_plan_counts_what_the_study_then_has(study, model, source):
    lm = LanguageModel.load(model)
    plan = plan_sites(lm, read(source), "layers.*.residual", study, config=CONFIG)
    with Bank.open(study / "banks" / "layers.0.residual") as bank:
        assert plan.tokens == len(bank)
    assert plan.n_atoms == 24
    assert plan.harvest_seconds > 0
    assert plan.learn_seconds > 0
    assert plan.disk_bytes == 3 * (plan.tokens * lm.width * 4 + 2 * 24 * lm.width * 4)
    plan.check()
    small = plan.__class__(**{**vars(plan), "disk_free": 10})
    with pytest.raises(InputError, match="GiB of disk"):
        small.check()


def test_a_folder_without_atoms_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="holds no atoms of sites"):
        Study.open(tmp_path)


def test_the_command_plans_learns_labels_and_judges(model, source, tmp_path, capsys):
    path = tmp_path / "study"
    learn = ["atoms", "learn", model, "--sites", "layers.0.residual", "layers.2.mlp", "--corpus", source,
             "--path", path, *OPTIONS]  # fmt: skip
    code, out, _ = call(capsys, *learn, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["plan"]["n_atoms"] == 24
    assert not path.exists()
    code, out, _ = call(capsys, *learn)
    assert code == 0
    assert "2: layers.0.residual, layers.2.mlp" in out
    assert "recovered" in out
    code, out, _ = call(capsys, *learn, "--json")
    assert set(json.loads(out)["sites"]) == {"layers.0.residual", "layers.2.mlp"}

    site = path / "layers.0.residual"
    code, out, err = call(capsys, "atoms", "show", site, 3)
    assert code == 2
    assert "atoms label" in err
    code, out, _ = call(capsys, "atoms", "label", path, "--corpus", source)
    assert code == 0
    assert "shuffled" in out
    code, out, _ = call(capsys, "atoms", "show", site, 3, "--json")
    shown = json.loads(out)
    assert shown["contexts"]
    assert len(shown["promoted"]) == 8
    code, out, _ = call(capsys, "atoms", "show", site, 3)
    assert "certificate" in out
    assert "[" in out  # the peak is marked

    code, out, _ = call(capsys, "atoms", "certify", path)
    assert code == 0
    assert "layers.2.mlp" in out
    code, out, _ = call(capsys, "atoms", "certify", site, "-n", 2)
    assert "q*" in out
    code, out, _ = call(capsys, "atoms", "certify", site, "--json")
    assert len(json.loads(out)["grades"]) == 24
    code, out, _ = call(capsys, "atoms", "score", site, "--json")
    units = {unit["name"]: unit for unit in json.loads(out)["units"]}
    assert units["neurons"]["r2"] == pytest.approx(1)
    assert units["neurons"]["k_median"] == 32
    assert len(units) == 5
    code, out, _ = call(capsys, "atoms", "compare", site, site, "--json")
    assert json.loads(out)["mmcs"] == pytest.approx(1, abs=1e-5)
    code, out, _ = call(capsys, "atoms", "compare", site, path / "layers.2.mlp")
    assert "mean max cosine" in out
    code, out, _ = call(capsys, "atoms", "angles", path / "banks" / "layers.0.residual")
    assert "layers.0.residual" in out
    assert "°" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["learn", "MODEL", "--sites", "layers.0.residual"], "needs --corpus and --path"),
        (["learn", "MODEL", "--sites", "layers.7.residual", "--corpus", "SOURCE", "--path", "P"], "layers.7"),
        (["learn", "MODEL", "--sites", "layers.0.residual", "--corpus", "SOURCE", "--path", "P", "--coder", "x"],
         "coder must be one of"),
        (["certify", "NOWHERE"], "NOWHERE"),
        (["compare", "NOWHERE", "NOWHERE"], "NOWHERE"),
        (["angles", "NOWHERE"], "NOWHERE"),
        (["label", "NOWHERE", "--corpus", "SOURCE"], "NOWHERE"),
    ],
)  # fmt: skip
def test_the_command_says_what_is_wrong(model, source, tmp_path, capsys, words, message):
    real = {"MODEL": model, "SOURCE": source, "P": tmp_path / "p", "NOWHERE": tmp_path / "NOWHERE"}
    code, _, err = call(capsys, "atoms", *[real.get(word, word) for word in words])
    assert code == 2
    assert message in err
    assert "\n" not in err.strip()


def test_other_sizes_are_learned_beside_it_once(study, capsys, monkeypatch):
    words = ["atoms", "scale", study, "--sites", "layers.1.residual", "--sizes", "12", "6"]
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0
    sizes = json.loads(out)["sites"]["layers.1.residual"]
    assert [size["n_atoms"] for size in sizes] == [6, 12, 24]
    assert all(size["r2"] <= 1 and 0 <= size["dead"] <= size["n_atoms"] for size in sizes)
    monkeypatch.setattr(study_module.Atoms, "fit", None)  # whatever is there is not learned again
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["6", "12", "24"]


def test_sizes_must_be_sizes(study):
    with pytest.raises(InputError, match="numbers of atoms"):
        list(learn_sizes(Study.open(study), "layers.1.residual", [0]))
