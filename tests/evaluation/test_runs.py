"""Run files: what is written is read back exactly, and other tools read it."""

from __future__ import annotations

import gzip

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import nDCG

from sememe.errors import InputError
from sememe.evaluation.metrics import evaluate_run
from sememe.evaluation.runs import read_run, write_run

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5).filter(
    lambda text: text.split() == [text]
)
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, st.floats(allow_nan=False, allow_infinity=False), min_size=1))


@settings(max_examples=40, deadline=None)
@given(RUNS)
def test_reading_gives_what_was_written(run):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        write_run(f"{folder}/new/a.trec", run, tag="dense")
        assert read_run(f"{folder}/new/a.trec") == run


def test_the_lines_are_in_trec_order(tmp_path):
    write_run(tmp_path / "r.trec", {"q1": {"a": np.float32(0.1), "b": 2.0, "c": 2.0}}, tag="t")
    lines = (tmp_path / "r.trec").read_text().splitlines()
    assert lines == ["q1 Q0 c 1 2.0 t", "q1 Q0 b 2 2.0 t", "q1 Q0 a 3 0.10000000149011612 t"]


def test_ir_measures_reads_it_and_agrees(tmp_path):
    rng = np.random.default_rng(0)
    run = {f"q{q}": {f"d{d}": float(rng.integers(8)) for d in range(40)} for q in range(20)}
    qrels = {f"q{q}": {f"d{d}": int(rng.integers(3)) for d in rng.choice(40, 9, replace=False)} for q in range(20)}
    write_run(tmp_path / "r.trec", run, tag="t")
    theirs = ir_measures.calc_aggregate([nDCG @ 10], qrels, ir_measures.read_trec_run(str(tmp_path / "r.trec")))
    assert evaluate_run(read_run(tmp_path / "r.trec"), qrels)["ndcg@10"] == pytest.approx(theirs[nDCG @ 10], abs=1e-6)


def test_gzip_blank_lines_and_tabs_are_read(tmp_path):
    with gzip.open(tmp_path / "r.gz", "wb") as stream:
        stream.write(b"q1 Q0 a 1 0.5 t\n\nq1\tQ0\tb\t2\t-1e-3\tt\r\n")
    assert read_run(tmp_path / "r.gz") == {"q1": {"a": 0.5, "b": -0.001}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"q1 Q0 b 2 0.4", "has 5 fields instead of 6"),
        (b"q1 Q0 a 2 0.4 t", "repeats document 'a' of query 'q1'"),
        (b"q1 Q0 b 2 high t", "has no number as its score: 'high'"),
        (b"q1 Q0 b 2 nan t", "has no number as its score: 'nan'"),
        (b"q1 Q0 \xff 2 1 t", "is not valid UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, problem):
    (tmp_path / "r.trec").write_bytes(b"q1 Q0 a 1 0.5 t\n" + line + b"\n")
    with pytest.raises(InputError) as caught:
        read_run(tmp_path / "r.trec")
    assert str(caught.value).startswith(f"{tmp_path}/r.trec:2: {problem}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.trec: cannot be read"):
        read_run(tmp_path / "none.trec")


@pytest.mark.parametrize(
    ("run", "tag"),
    [({"q 1": {"a": 1.0}}, "t"), ({"q": {"a b": 1.0}}, "t"), ({"q": {"": 1.0}}, "t"), ({"q": {"a": 1.0}}, "my run")],
)
def test_what_the_format_cannot_express_is_refused(tmp_path, run, tag):
    with pytest.raises(InputError, match="white space"):
        write_run(tmp_path / "r.trec", run, tag=tag)
    assert not (tmp_path / "r.trec").exists()


def test_a_score_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(InputError, match="the score is inf"):
        write_run(tmp_path / "r.trec", {"q": {"a": float("inf")}}, tag="t")
