"""Reading an address and writing it back; the numbers of a score add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from sememe.errors import InputError
from sememe.search import Explanation
from sememe.web.asked import MODES, Asked
from sememe.web.bars import Scale, bar, round_to_sum, table
from sememe.web.highlight import EXCERPT_CHARACTERS, Highlighter
from sememe.web.rendering import document_url, percent, plain, signed, size

AMOUNTS = st.integers(-100, 100).filter(bool).map(lambda n: n / 100)


def read(address):
    return Asked.read(QueryParams(address.partition("?")[2]).multi_items())


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).map(str.strip),
    st.integers(1, 100),
    st.sampled_from(MODES),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip),
    st.dictionaries(st.integers(0, 9999), AMOUNTS, max_size=5),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), max_size=6, unique=True),
)
def test_an_address_says_all_that_was_asked(query, k, mode, where, steer, marked):
    asked = Asked(query, k, mode, where, steer, tuple(marked[:3]), tuple(marked[3:]))
    assert read(asked.url) == asked
    assert read(asked.api_url) == asked
    assert read(asked.plain().url).is_plain
    assert read(asked.unsteered().url).marks == asked.marks


def test_sliders_and_steer_mean_the_same():
    assert read("/?q=a&s3=0.5&s4=0&s7=-1") == read("/?q=a&steer=3:0.5,7:-1") == read("/?q=a&steer=3:0.5&steer=7:-1")


@pytest.mark.parametrize(
    "parameters",
    [
        "mode=magic",
        "k=0",
        "k=101",
        "k=-1",
        "k=1.5",
        "k=٣",
        "k=99999999999999999999",
        "steer=x",
        "steer=1",
        "steer=1:x",
        "steer=1:nan",
        "steer=1:inf",
        "steer=1:1.01",
        "steer=-1:0.5",
        "steer=99999999999:0.5",
        "s1=2",
        "s1=",
        "q=" + "x" * 2001,
        "&".join(f"like=d{i}" for i in range(21)),
        "steer=" + ",".join(f"{i}:1" for i in range(33)),
    ],
)
def test_what_cannot_be_used_is_named(parameters):
    with pytest.raises(InputError) as caught:
        read(f"/?q=a&{parameters}")
    assert caught.value.where in ("mode", "k", "steer", "q", "like")


def test_filters_are_split_where_a_condition_begins():
    assert Asked(where="year>=2020; venue=UAI").filter == {"year": {">=": 2020}, "venue": {"=": "UAI"}}
    assert Asked(where="year>=2020, venue=A, B").filter == {"year": {">=": 2020}, "venue": {"=": "A, B"}}
    assert Asked(where=" ; ").filter is None
    with pytest.raises(InputError) as caught:
        _ = Asked(where="nonsense").filter
    assert caught.value.where == "filter"


def test_steering_further_stays_in_range():
    assert Asked(steer={1: 0.9}).with_steer(1, 1.15).steer == {1: 1.0}
    assert Asked(steer={1: 0.25}).with_steer(1, 0.0).url == Asked().url


def test_marks_are_set_moved_and_taken_away():
    asked = Asked("a").with_mark("d1", "like").with_mark("d2", "like").with_mark("d3", "unlike")
    assert asked.url == "/?q=a&like=d1&like=d2&unlike=d3"
    assert asked.with_mark("d1", "like").like == ("d2",)
    assert asked.with_mark("d1", "unlike").marks == [("like", "d2"), ("unlike", "d3"), ("unlike", "d1")]
    assert read("/?q=a&like=d1&unlike=d1").marks == [("unlike", "d1")]
    assert read("/?q=a&like=d1&like=d1&like=").like == ("d1",)


@given(st.lists(st.floats(-2, 2), max_size=40))
def test_rounded_parts_add_up(values):
    total = sum(values)
    shown = round_to_sum(values, total)
    assert sum(round(value * 1000) for value in shown) == (round(total * 1000) if values else 0)
    assert all(abs(a - b) < 0.001 + 1e-9 for a, b in zip(shown, values, strict=True))


def explanation(n=20, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal(n) * 0.1
    order = np.argsort(-np.abs(parts))
    return Explanation(order, parts[order], [f"label {i}" for i in order], 0.21, -0.034)


def test_a_table_adds_up_to_the_score_and_shows_the_factors():
    e = explanation()
    rng = np.random.default_rng(1)
    decoder, query = rng.standard_normal((20, 8)), rng.standard_normal(8)
    parts = table(e, decoder, query)
    assert [part.kind for part in parts] == ["atom"] * 12 + ["rest", "bias", "residual"]
    assert sum(part.value for part in parts) == pytest.approx(e.score)
    assert round(sum(part.shown for part in parts), 3) == round(e.score, 3)
    assert parts[12].label == "8 other atoms"
    for part in parts[:12]:
        assert part.in_document * part.in_query == pytest.approx(part.value)
        assert part.in_query == pytest.approx(decoder[part.atom] @ query)


def test_a_table_without_atoms_has_bias_and_residual():
    empty = Explanation(np.zeros(0, int), np.zeros(0), [], 0.1, 0.2)
    assert [part.kind for part in table(empty, np.zeros((3, 2)), np.zeros(2))] == ["bias", "residual"]


def test_a_bar_begins_at_zero_and_has_no_gaps():
    e = explanation()
    scale = Scale.of([e, explanation(seed=3)])
    drawn = bar(e, scale)
    right = [s for s in drawn.segments if s.value > 0]
    left = [s for s in drawn.segments if s.value < 0]
    edge = drawn.zero
    for segment in right:
        assert segment.x == pytest.approx(edge, abs=0.01)
        edge = segment.x + segment.width
    edge = drawn.zero
    for segment in left:
        assert segment.x + segment.width == pytest.approx(edge, abs=0.01)
        edge = segment.x
    reach = sum(s.width for s in right) - sum(s.width for s in left)
    assert drawn.zero + reach == pytest.approx(drawn.score, abs=0.05)
    assert all(0 <= s.x <= s.x + s.width <= 100.01 for s in drawn.segments)


def test_marks_follow_stems_and_lose_nothing():
    text = "Running runs, a Runner ran; <b>run</b> & RUN."
    pieces = Highlighter("they run", "english").pieces(text)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.text for piece in pieces if piece.marked] == ["Running", "runs", "run", "RUN"]
    assert not any(piece.marked for piece in Highlighter("", "english").pieces(text))


@given(st.text(max_size=2000), st.text(max_size=20))
def test_an_excerpt_is_part_of_the_text(text, words):
    pieces = Highlighter(words, "english").excerpt(text)
    shown = "".join(piece.text for piece in pieces)
    folded = " ".join(text.split())
    assert len(shown) <= EXCERPT_CHARACTERS + 4
    assert shown.removeprefix("… ").removesuffix(" …") in folded


def test_an_excerpt_goes_where_the_words_are():
    text = "Filler sentence here. " * 60 + "The gzip module reads compressed files. " + "More filler follows. " * 60
    shown = "".join(piece.text for piece in Highlighter("read a compressed gzip file", "english").excerpt(text))
    assert "The gzip module reads compressed files." in shown
    assert shown.startswith("… ")


def test_numbers_are_written_for_people():
    assert (signed(0.0314), signed(-0.5, 2), plain(-1.0)) == ("+0.031", "−0.50", "−1.000")
    assert [percent(x) for x in (0, 0.00001, 0.0012, 0.034, 0.5)] == ["0%", "< 0.01%", "0.12%", "3.4%", "50%"]
    assert [size(n) for n in (12, 1500, 12_600_000, 3e12)] == ["12 bytes", "1.5 kB", "12.6 MB", "3000 GB"]


def test_document_addresses_keep_every_character():
    assert document_url("a/b ?#%é") == "/document/a%2Fb%20%3F%23%25%C3%A9"
    assert document_url("x", q="a b", row=3) == "/document/x?q=a+b&row=3"
