"""The README of a trained encoder: a model card as model hubs show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

README = "README.md"


def model_card(card: Mapping[str, Any]) -> str:
    """The card as Markdown with a YAML head."""
    objective, data, evaluation = card["objective"], card["data"], card["evaluation"]
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags: [sentence-transformers, feature-extraction, sememe]",
        "---",
        "",
        f"# An encoder trained with {objective['name']}",
        "",
        f"{card['width']} dimensions, compared by {card['similarity']}. It started from `{card['start']['name']}` and "
        f"was trained for {card['steps']:,} steps of {card['training']['batch_size']} on "
        f"{data['trained_on']:,} documents without labels.",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'vectors = SentenceTransformer("path/to/this/folder").encode(["a text"])',
        "```",
        "",
        "## What it was good for",
        "",
        *_table(evaluation["table"]),
        *evaluation["words"],
        "",
        "Everything else that made it is in `card.json`; `log.jsonl` has a line for every step.",
        "",
    ]
    return "\n".join(lines)


def _table(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not table:
        return []
    metrics = list(next(iter(table.values())))
    rows = [f"| {name} | {' | '.join(f'{found[metric]:.3f}' for metric in metrics)} |" for name, found in table.items()]
    return [f"| | {' | '.join(metrics)} |", "| --- |" + " ---: |" * len(metrics), *rows, ""]
