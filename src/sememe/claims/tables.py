"""Laying out figures as tables that can be read: no wider than a page, with few empty cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

WIDEST = 8
"""Columns of a table that has fewer rows; a wider one is turned."""
ALIKE = 0.5
"""Of the columns that a row or its table has, those that both have, at least."""


@dataclass
class Table:
    """A part of the figures.

    Attributes:
        heading: what the figures have in common.
        rows: row -> column -> the figure's whole name.

    """

    heading: str
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Of all rows, in the order in which they come."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def is_alike(self, row: Mapping[str, str]) -> bool:
        """Whether a row has about the columns of the table."""
        own = set(self.columns)
        return len(own & row.keys()) >= ALIKE * len(own | row.keys())

    def turned(self) -> Table:
        """Rows as columns."""
        turned = Table(self.heading, {column: {} for column in self.columns})
        for row, cells in self.rows.items():
            for column, name in cells.items():
                turned.rows[column][row] = name
        return turned


def lay_out(names: Sequence[str]) -> tuple[list[Table], list[str]]:
    """Tables of the figures called `HEADING: ROW: COLUMN` or `ROW: COLUMN`, and the names that are in none.

    Rows with about the same columns share a table; a row that is alike to no other one stays outside.
    """
    tables: list[Table] = []
    for (heading, row), cells in _rows(names).items():
        table = next((each for each in tables if each.heading == heading and each.is_alike(cells)), None)
        if table is None:
            tables.append(table := Table(heading))
        table.rows[row] = cells
    kept = sorted((table for table in tables if len(table.rows) > 1), key=lambda table: table.heading)
    placed = {name for table in kept for cells in table.rows.values() for name in cells.values()}
    shown = [table.turned() if _is_wide(table) else table for table in _joined(kept)]
    return shown, [name for name in names if name not in placed]


def markdown(names: Sequence[str], show: Callable[[str], str]) -> Iterator[str]:
    """The same as lines of Markdown.

    Args:
        names: of figures.
        show: the value of a figure in words.

    """
    tables, others = lay_out(names)
    for table in tables:
        columns = table.columns
        yield _line(table.heading, *columns)
        yield f"| --- |{' ---: |' * len(columns)}"
        for row, cells in table.rows.items():
            yield _line(row, *(show(cells[column]) if column in cells else "" for column in columns))
        yield ""
    if others:
        yield "| figure | |"
        yield "| --- | ---: |"
        yield from (_line(name, show(name)) for name in others)
        yield ""


def _line(*cells: str) -> str:
    """A row; an absolute value's bars would end a cell."""
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _rows(names: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Heading and row -> column -> name."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        parts = name.split(": ")
        if len(parts) > 1:
            rows.setdefault((": ".join(parts[:-2]), parts[-2]), {})[parts[-1]] = name
    return rows


def _joined(tables: Sequence[Table]) -> list[Table]:
    """Tables of one column and the same rows as one table, whose columns are their headings."""
    groups: dict[tuple[str, ...] | int, list[Table]] = {}
    for number, table in enumerate(tables):
        columns = table.columns
        groups.setdefault((columns[0], *table.rows) if len(columns) == 1 else number, []).append(table)
    return [group[0] if len(group) == 1 else _beside(group) for group in groups.values()]


def _beside(tables: Sequence[Table]) -> Table:
    first = tables[0]
    (column,) = first.columns
    return Table(column, {row: {table.heading: table.rows[row][column] for table in tables} for row in first.rows})


def _is_wide(table: Table) -> bool:
    return len(table.columns) > max(WIDEST, len(table.rows))
