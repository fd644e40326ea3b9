"""The page of a training run: saved, going on, stopped, and what is no run."""

from __future__ import annotations

import json
import shutil

import pytest
from page_world import PORT, client_of

pytest.importorskip("torch")

from tiny_training import documents, small_encoder

from sememe.errors import ArtifactError
from sememe.objectives.contriever import Contriever
from sememe.training.encoders import train_encoder
from sememe.training.runs import TrainingRun
from sememe.web.app import create_training_app
from sememe.web.curves import HEIGHT, MOST_POINTS, WIDTH, curves

STEPS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "my<encoder>"
    options = {"steps": STEPS, "batch_size": 8, "held_out": 24, "checks": 1}
    train_encoder(small_encoder(), documents(150, words=48), Contriever(), path, **options)
    return path


def page_of(path) -> str:
    answer = client_of(create_training_app(path, port=PORT)).get("/")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_saved_run_shows_its_verdict_its_table_and_its_curves(folder):
    run = TrainingRun.read(folder)
    assert (run.state, len(run.rows)) == ("saved", STEPS)
    page = page_of(folder)
    assert "my&lt;encoder&gt;" in page
    assert run.card["evaluation"]["words"][0].split("(")[0] in page
    assert f"{run.card['evaluation']['table']['trained']['ndcg@10']:.3f}" in page
    assert "http-equiv" not in page
    assert page.count("<polyline") == len(curves(run.rows)) >= 2
    assert "loss over the steps" in page
    assert "contriever" in page


def test_a_run_that_goes_on_is_read_by_either_folder_and_again(folder, tmp_path):
    work = tmp_path / "new.training"
    work.mkdir()
    lines = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (work / "log.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:9])
    for path in (work, tmp_path / "new"):
        assert TrainingRun.is_run(path)
        run = TrainingRun.read(path)
        assert (run.name, run.state, len(run.rows)) == ("new", "unfinished", 5)
        page = page_of(path)
        assert 'http-equiv="refresh"' in page
        assert "5 steps so far" in page
    (work / "log.jsonl").write_bytes(b"")
    assert "No two steps yet" in page_of(work)


def test_a_folder_without_a_name_of_its_own_is_looked_into(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    assert TrainingRun.is_run(".")
    assert TrainingRun.read(".").name == folder.name
    monkeypatch.chdir(tmp_path)
    assert not TrainingRun.is_run(".")
    assert not TrainingRun.is_run("/")
    assert not TrainingRun.is_run(".training")
    with pytest.raises(ArtifactError, match="holds no training run"):
        TrainingRun.read("/")


def test_what_is_no_run_or_damaged_is_said(folder, tmp_path):
    assert not TrainingRun.is_run(tmp_path)
    with pytest.raises(ArtifactError, match="holds no training run"):
        TrainingRun.read(tmp_path / "nothing")
    shutil.copytree(folder, tmp_path / "copy")
    log = tmp_path / "copy" / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 13, "lo')
    with pytest.raises(ArtifactError, match="not a row of figures") as caught:
        TrainingRun.read(tmp_path / "copy")
    assert str(caught.value.where).endswith(f"log.jsonl:{STEPS + 1}")
    log.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        TrainingRun.read(tmp_path / "copy")


def test_curves_have_the_shape_of_their_figures():
    rows = [{"step": step, "loss": 10.0 - step, "constant": 1.0, "gap": float("nan")} for step in range(1, 6)]
    [loss] = curves(rows)
    assert (loss.name, loss.first, loss.last, loss.band, loss.steps) == ("loss", 9.0, 5.0, "", (1, 5))
    places = [tuple(map(float, place.split(","))) for place in loss.line.split()]
    assert [x for x, _ in places] == [0, WIDTH / 4, WIDTH / 2, 3 * WIDTH / 4, WIDTH]
    heights = [y for _, y in places]
    assert heights == sorted(heights)
    assert 0 <= heights[0] < heights[-1] <= HEIGHT


def test_many_steps_are_drawn_as_means_and_a_band():
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1, 10 * MOST_POINTS + 1)]
    [loss] = curves(rows)
    assert len(loss.line.split()) == MOST_POINTS
    assert len(loss.band.split()) == 2 * MOST_POINTS
    assert {round(float(place.split(",")[1])) for place in loss.line.split()} == {HEIGHT // 2}
    assert json.dumps(loss.band)
    assert curves([]) == [] == curves([{"step": 1, "loss": 2.0}])
