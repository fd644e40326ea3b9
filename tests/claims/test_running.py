"""The framework: what is needed is checked first, a result says what was found, the report is made from results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from sememe import claims, disk
from sememe.claims import Claim, Condition, keeping, list_claims, load_claim, report, run_claim
from sememe.claims.keeping import Kept
from sememe.claims.running import interval, run
from sememe.errors import ArtifactError, InputError, MissingExtraError, SememeError

closed = []


@contextmanager
def prepare(setting):
    assert setting.work.is_dir()
    yield {"tiny": 1.0, "small": -1.0}[setting.scale]
    closed.append(setting.scale)


TOY = Claim(
    id="toy",
    title="Two is more than one",
    protocol="Count",
    baselines=("one",),
    metric="how many",
    threshold=(
        Condition("every seed is above 0", lambda figures: all(value > 0 for value in figures["row: count"])),
        Condition("always true", bool),
        Condition("never true where it is asked", lambda _: False, ("full",)),
    ),
    seeds={"tiny": (1, 2, 3), "small": (5,), "full": (1,)},
    needs={"full": ("no-such-data",)},
    prepare=prepare,
    measure=lambda prepared, seed: {"row: count": prepared * seed, "seed": seed},
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "CLAIMS", {"toy": "toy_claim"})
    monkeypatch.setitem(sys.modules, "toy_claim", type(sys)("toy_claim"))
    sys.modules["toy_claim"].CLAIM = TOY  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMEME_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_result_holds_means_intervals_and_the_decision(toy):
    result = run_claim("toy", "tiny")
    assert result.figures == {"row: count": 2.0, "seed": 2.0}
    reach = 4.302653 * 1.0 / np.sqrt(3)  # t of 97.5% with 2 degrees of freedom; standard deviation 1
    assert result.intervals["row: count"] == pytest.approx([2 - reach, 2 + reach])
    assert result.by_seed["seed"] == [1.0, 2.0, 3.0]
    assert result.holds
    assert result.threshold == "every seed is above 0; always true"
    assert closed[-1] == "tiny"
    stored = json.loads((toy / "results" / "toy-tiny.json").read_text())
    assert stored == json.loads(json.dumps(result.as_dict()))
    assert list(stored) == sorted(stored)
    assert stored["machine"]["cores"] >= 1
    assert stored["peak_memory_mib"] > 10
    assert stored["versions"]["numpy"] == np.__version__


def test_a_claim_that_does_not_hold_is_reported_as_such(toy):
    assert list_claims() == [{"id": "toy", "title": "Two is more than one", "status": "not run"}]
    run_claim("toy", "tiny")
    failed = run_claim("toy", "small")
    assert not failed.holds
    assert failed.intervals == {}
    assert list_claims()[0]["status"] == "tiny holds, small does not hold"
    page = report().read_text()
    assert "### toy, small: does not hold" in page
    assert "| every seed is above 0 | **no** |" in page
    assert page.index("toy, tiny") < page.index("toy, small")


def test_the_report_is_made_from_the_result_files_alone(toy, monkeypatch):
    run_claim("toy", "tiny")
    first = report().read_text()
    monkeypatch.setattr(claims, "CLAIMS", {})
    assert report().read_text() == first
    path = toy / "results" / "toy-tiny.json"
    path.write_text(path.read_text().replace("Two is more than one", "Three is more"))
    assert report(path=toy / "other" / "page.md").read_text() == first.replace("Two is more than one", "Three is more")
    path.unlink()
    assert "No claim has been run yet" in report().read_text()


def test_a_damaged_result_is_named(toy):
    run_claim("toy", "tiny")
    path = toy / "results" / "toy-tiny.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != "seeds"}))
    with pytest.raises(ArtifactError, match=r"toy-tiny\.json: lacks 'seeds'\. Run the claim again"):
        report()
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"toy-tiny\.json: is not valid JSON"):
        list_claims()


def test_a_failed_write_leaves_the_older_result(toy, monkeypatch):
    run_claim("toy", "tiny")
    before = (toy / "results" / "toy-tiny.json").read_bytes()

    def fail(stream, data):
        stream.write(bytes(data)[:10])
        raise OSError("no space")

    monkeypatch.setattr(disk, "write", fail)
    with pytest.raises(ArtifactError, match="no space"):
        run_claim("toy", "tiny")
    assert (toy / "results" / "toy-tiny.json").read_bytes() == before
    assert [path.name for path in (toy / "results").iterdir()] == ["toy-tiny.json"]


def test_what_is_unknown_is_refused(toy):
    with pytest.raises(InputError, match=r"there is no claim 'toys'\. Choose from toy"):
        run_claim("toys", "tiny")
    with pytest.raises(InputError, match=r"there is no scale 'huge'\. Choose from tiny, small, full"):
        run_claim("toy", "huge")


def test_missing_data_is_named_with_the_way_to_give_it(toy, monkeypatch):
    monkeypatch.delenv("SEMEME_SHARED", raising=False)
    with pytest.raises(InputError, match=r"^\.\./shared/data/no-such-data: the data set 'no-such-data' is not there"):
        run_claim("toy", "full")
    monkeypatch.setenv("SEMEME_SHARED", "/from/variable")
    with pytest.raises(InputError, match=r"^/from/variable/data/no-such-data: .*--data.*SEMEME_SHARED"):
        run_claim("toy", "full")
    with pytest.raises(InputError, match=r"^/given/data/no-such-data"):
        run_claim("toy", "full", "/given")


def test_a_missing_extra_is_named_before_anything_is_computed(tmp_path):
    needy = replace(TOY, extras={"no_such_module": "models"}, prepare=lambda setting: pytest.fail("was prepared"))
    with pytest.raises(MissingExtraError, match=r"pip install 'sememe\[models\]'"):
        run(needy, "tiny", work_dir=tmp_path, results_dir=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_an_error(tmp_path, value):
    broken = replace(TOY, measure=lambda prepared, seed: {"row: count": value})
    with pytest.raises(SememeError, match="toy: gave no usable figures: row: count"):
        run(broken, "tiny", work_dir=tmp_path, results_dir=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_seeds_of_a_stopped_run_are_not_measured_again(tmp_path):
    measured = []

    def measure(prepared, seed):
        measured.append(seed)
        if measured == [1, 2]:
            raise KeyboardInterrupt
        return {"row: count": prepared * seed, "about": np.float32(0.5)}

    claim = replace(TOY, measure=measure)
    places = {"work_dir": tmp_path / "work", "results_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        run(claim, "tiny", **places)
    result = run(claim, "tiny", **places)
    assert measured == [1, 2, 2, 3]
    assert result.by_seed == {"row: count": [1.0, 2.0, 3.0], "about": [0.5, 0.5, 0.5]}
    assert list(result.by_seed) == ["row: count", "about"]
    run(claim, "tiny", **places)  # a run that came to its end leaves nothing behind that another would take
    assert measured == [1, 2, 2, 3, 1, 2, 3]


def test_what_other_code_or_other_data_measured_is_not_taken(tmp_path, monkeypatch):
    def part(data) -> dict:
        return Kept(tmp_path / "kept", data).part("row", lambda: {"made": len(made)} if made.append(1) is None else {})

    made: list[int] = []
    assert part(tmp_path) == part(tmp_path) == {"made": 1}
    assert part(tmp_path / "other") == {"made": 2}
    monkeypatch.setattr(keeping, "_marks", lambda: "another version")
    assert part(tmp_path) == {"made": 3}


def test_the_time_of_kept_parts_is_counted_once(tmp_path):
    def slow() -> dict:
        inner.part("inner", lambda: {"made": 1})
        return {}

    first = Kept(tmp_path, tmp_path)
    first.part("inner", lambda: {"made": time.sleep(0.2) or 1})
    assert first.seconds == 0
    inner = Kept(tmp_path, tmp_path)
    inner.part("outer", slow)
    last = Kept(tmp_path, tmp_path)
    last.part("outer", dict)
    assert 0.2 <= inner.seconds < 0.4
    assert 0.2 <= last.seconds < 0.4


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [low <= 0 <= high for low, high in (interval(rng.normal(size=3).tolist()) for _ in range(1500))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


WITHOUT_CHANCE = {"p17_ance_prf", "p25_crisp"}
"""Nothing is learned in them, so that another seed gives the same figures; their intervals are over queries."""


def test_every_claim_is_complete():
    for claim_id in claims.CLAIMS:
        claim = load_claim(claim_id)
        assert claim.id == claim_id
        assert set(claim.seeds) == set(claims.SCALES)
        assert claim.threshold
        assert claim.baselines
        assert len(claim.seeds["small"]) >= (1 if claim_id in WITHOUT_CHANCE else 3)


def test_listing_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from sememe.claims import list_claims; list_claims(sys.argv[1]); "
        "print([name for name in ('torch', 'scipy', 'faiss', 'transformers') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
