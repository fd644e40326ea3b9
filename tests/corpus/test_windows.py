from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.corpus import Window, windows
from sememe.errors import InputError


def _spans(text):
    spans, start = [], 0
    for word in text.split(" "):
        if word:
            spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def test_by_hand():
    text = "aa bb cc dd ee ff gg"
    cut = windows(text, _spans(text), 3, 1)
    assert [text[window.start : window.end] for window in cut] == ["aa bb cc", "cc dd ee", "ee ff gg"]
    cut = windows(text, _spans(text), 4, 0)
    assert [text[window.start : window.end] for window in cut] == ["aa bb cc dd", "ee ff gg"]


def test_a_text_that_fits_is_one_window():
    assert windows("  a b ", [(2, 3), (4, 5)], 2, 1) == [Window(0, 6)]
    assert windows("", [], 8, 2) == [Window(0, 0)]
    assert windows("   ", [], 8, 2) == [Window(0, 3)]


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (4, 4), (4, 5), (4, -1), (-1, -2)])
def test_impossible_sizes_are_refused(max_tokens, overlap):
    with pytest.raises(InputError, match="cannot overlap"):
        windows("a b", [(0, 1), (2, 3)], max_tokens, overlap)


@given(st.lists(st.text("abc", min_size=1, max_size=4), max_size=60), st.integers(1, 12), st.data())
def test_windows_cover_all_tokens_and_share_exactly_the_overlap(words, max_tokens, data):
    overlap = data.draw(st.integers(0, max_tokens - 1))
    text = " ".join(words)
    spans = _spans(text)
    cut = windows(text, spans, max_tokens, overlap)
    inside = [[i for i, (s, e) in enumerate(spans) if window.start <= s and e <= window.end] for window in cut]
    assert sorted({i for tokens in inside for i in tokens}) == list(range(len(spans)))
    assert all(len(tokens) <= max_tokens for tokens in inside)
    assert all(len(tokens) == max_tokens for tokens in inside[:-1])
    for left, right in pairwise(inside):
        assert len(set(left) & set(right)) == overlap
        assert right[-1] > left[-1]
    assert cut[0].start == 0
    assert cut[-1].end == len(text)
