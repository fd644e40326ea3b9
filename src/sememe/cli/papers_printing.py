"""How papers with reasons are printed: a heading, a line of facts, and why the paper is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sememe.cli.output import console
from sememe.cli.papers_look import people

if TYPE_CHECKING:
    from rich.text import Text

    from sememe.papers.paper import Paper
    from sememe.papers.reasons import Reason


def paper_as_dict(paper: Paper, score: float, reasons: Sequence[Reason]) -> dict[str, Any]:
    """The part of `--json` that all lists of ranked papers share."""
    return {
        "id": paper.id,
        "title": paper.title,
        "date": paper.date.isoformat() if paper.date else None,
        "score": score,
        "reasons": [reason_as_dict(reason) for reason in reasons],
    }


def reason_as_dict(reason: Reason) -> dict[str, Any]:
    """A reason for a program; `atom` only where it is one."""
    found = {"kind": reason.kind, "label": reason.label, "weight": reason.weight}
    return found if reason.atom is None else {**found, "atom": reason.atom}


def print_paper(number: int, paper: Paper, score: str, reasons: Sequence[Reason], marks: Sequence[str] = ()) -> None:
    """Print one paper of a numbered list.

    Args:
        number: its number, from 1.
        paper: the paper.
        score: its score as it is to be shown; may be empty.
        reasons: why it is shown.
        marks: its marks.

    """
    from rich.text import Text

    out = console()
    heading = Text(f"{number:>3}  ", style="dim")
    heading.append(f"{score}  " if score else "", style="bold cyan")
    heading.append(paper.title, style="bold")
    out.print(heading, no_wrap=True, overflow="ellipsis")
    facts = [paper.date.isoformat() if paper.date else "no date", paper.id, people(paper), *marks]
    out.print(Text("     " + "  ".join(filter(None, facts)), style="dim"), no_wrap=True, overflow="ellipsis")
    for line in _reasons(reasons, out.width - 5):
        out.print(Text("     ") + line, no_wrap=True, overflow="ellipsis")


def _reasons(reasons: Sequence[Reason], width: int) -> list[Text]:
    """Reasons one after another, as many to a line as fit."""
    from rich.text import Text

    lines: list[Text] = []
    for reason in reasons:
        piece = Text(f"{reason.weight:+.3f} ", style="green" if reason.weight >= 0 else "red")
        piece.append(reason.label if reason.atom is None else f"{reason.label} [{reason.atom}]", style="default")
        if lines and lines[-1].cell_len + piece.cell_len + 3 <= width:
            lines[-1].append("   ").append(piece)
        else:
            lines.append(piece)
    return lines
