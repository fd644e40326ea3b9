"""The README of a trained encoder: a model card as model hubs show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

README = "README.md"


def model_card(card: Mapping[str, Any]) -> str:
    """The card as Markdown with a YAML head."""
    objective, data, evaluation = card["objective"], card["data"], card["evaluation"]
    # An objective with a pruning trains several vectors a text.
    loader, encode = ("SentenceTransformer", "encode")
    if "pruning" in objective:
        loader, encode = ("MultiVectorEncoder", "encode_document")
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
        f"{data['trained_on']:,} documents.",
        "",
        "```python",
        f"from sentence_transformers import {loader}",
        "",
        f'vectors = {loader}("path/to/this/folder").{encode}(["a text"])',
        "```",
        "",
        "## What it was good for",
        "",
        *_measured("Held-out texts of the corpus", evaluation),
        *[line for name, found in card["collections"].items() for line in _measured(name, found)],
        "Everything else that made it is in `card.json`; `log.jsonl` has a line for every step.",
        "",
    ]
    return "\n".join(lines)


def _measured(title: str, found: Mapping[str, Any]) -> list[str]:
    table = found["table"]
    if not table:
        return [*found["words"], ""]
    metrics = list(next(iter(table.values())))
    head = [f"| {title} | {' | '.join(metrics)} |", "| --- |" + " ---: |" * len(metrics)]
    rows = [f"| {name} | {' | '.join(f'{row[metric]:.3f}' for metric in metrics)} |" for name, row in table.items()]
    return [*head, *rows, "", *found["words"], ""]
