"""JSON lines: everything that is known of a paper, in a form that `sememe papers import` and `sememe index` read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from sememe.papers.exporting.kept import Kept


def json_lines_text(papers: Iterable[Kept]) -> Iterator[str]:
    """An object a line."""
    for kept in papers:
        record = asdict(kept.paper)
        record["n_authors"] = kept.paper.author_count
        record |= {"marks": kept.marks, "tags": kept.tags, "note": kept.note}
        yield json.dumps(record, ensure_ascii=False, default=str) + "\n"
