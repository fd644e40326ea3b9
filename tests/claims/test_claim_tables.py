"""Figures as tables: nothing is lost, alike rows stand together, and no table is wider than it is high."""

from __future__ import annotations

from pathlib import Path

import pytest

from sememe import artifact
from sememe.claims.tables import WIDEST, lay_out, markdown

RESULTS = sorted((Path(__file__).parents[2] / "results").glob("*.json"))


def shape(table) -> tuple[str, list[str], list[str]]:
    return table.heading, list(table.rows), table.columns


def test_rows_with_about_the_same_columns_share_a_table_and_others_stay_outside():
    names = ["a: x", "a: y", "b: x", "b: y", "b: z", "c: time", "d: time", "odd: p", "odd: q", "plain"]
    tables, others = lay_out(names)
    assert [shape(table) for table in tables] == [("", ["a", "b"], ["x", "y", "z"]), ("", ["c", "d"], ["time"])]
    assert others == ["odd: p", "odd: q", "plain"]
    assert tables[0].rows["b"]["z"] == "b: z"


def test_what_figures_have_in_common_is_a_heading():
    names = [f"{task}: {system}: {metric}" for task in ("one", "two") for system in "ab" for metric in ("map", "mrr")]
    tables, others = lay_out([*names, "three: part: c: map", "three: part: d: map"])
    assert [table.heading for table in tables] == ["one", "three: part", "two"]
    assert shape(tables[0]) == ("one", ["a", "b"], ["map", "mrr"])
    assert others == []


def test_tables_of_one_column_stand_beside_each_other():
    tables, _ = lay_out([f"{task}: {system}: auc" for task in ("one", "two", "three") for system in "ab"])
    assert [shape(table) for table in tables] == [("auc", ["a", "b"], ["one", "three", "two"])]
    assert tables[0].rows["b"]["two"] == "two: b: auc"


def test_a_wide_table_is_turned():
    (table,), _ = lay_out([f"{row}: m{n}" for row in "ab" for n in range(WIDEST + 1)])
    assert shape(table) == ("", [f"m{n}" for n in range(WIDEST + 1)], ["a", "b"])
    assert table.rows["m3"] == {"a": "a: m3", "b": "b: m3"}


def test_the_lines_hold_every_value_and_escape_bars():
    values = {"a: x": "1", "a: y": "2", "b: x": "3", "|r| of all": "4"}
    assert list(markdown(list(values), values.__getitem__)) == [
        "|  | x | y |",
        "| --- | ---: | ---: |",
        "| a | 1 | 2 |",
        "| b | 3 |  |",
        "",
        "| figure | |",
        "| --- | ---: |",
        "| \\|r\\| of all | 4 |",
        "",
    ]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_no_figure_of_a_committed_result_is_lost_or_shown_twice(path):
    names = list(artifact.load_json(path)["figures"])
    tables, others = lay_out(names)
    shown = [name for table in tables for cells in table.rows.values() for name in cells.values()]
    assert sorted([*shown, *others]) == sorted(names)
    assert all(len(table.columns) <= max(WIDEST, len(table.rows)) for table in tables)
