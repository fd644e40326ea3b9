"""Metadata filters as they are typed and as they are given."""

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.search.filters import allowed_documents, matches, parse_filter


@pytest.mark.parametrize(
    ("conditions", "metadata", "expected"),
    [
        (["year>=2020"], {"year": 2020}, True),
        (["year>=2020"], {"year": "2019"}, False),
        (["year>=2020", "year<2022"], {"year": 2021}, True),
        (["year>=2020", "year<2022"], {"year": 2022}, False),
        (["venue=ICLR"], {"venue": "ICLR"}, True),
        (["venue!=ICLR"], {"venue": "UAI"}, True),
        (["venue=ICLR"], {}, False),
        (["tags=nlp"], {"tags": ["vision", "nlp"]}, True),
        (["date>=2024-05"], {"date": "2024-06-01"}, True),
        (["year=abc"], {"year": 3}, False),
        (["x<3"], {"x": {"nested": 1}}, False),
    ],
)
def test_typed_conditions(conditions, metadata, expected):
    assert matches(metadata, parse_filter(conditions)) is expected


def test_lists_mean_any_of():
    assert matches({"year": 3}, {"year": [1, 3]})
    assert not matches({"year": 2}, {"year": [1, 3]})


def test_a_condition_that_is_none_is_refused():
    with pytest.raises(InputError, match="year~2020"):
        parse_filter(["year~2020"])


@pytest.mark.parametrize("where", [{"id": ["b", "d", "none"]}, {"id": ("b", "c"), "year": {">": 1}}, {"id": []}])
def test_documents_that_a_list_of_ids_leaves_out_are_not_read(where):
    ids, live = ["a", "b", "c", "d"], np.array([True, True, True, False])
    read = []

    def metadata(ordinals):
        read.extend(ordinals)
        return [{"id": ids[ordinal], "year": ordinal} for ordinal in ordinals]

    slow = allowed_documents(where, live, metadata)
    assert len(read) == 3
    read.clear()
    fast = allowed_documents(where, live, metadata, ids)
    assert fast.tolist() == slow.tolist()
    assert read == ([1, 2] if "year" in where else [])
