"""How hits of either kind of index are printed: a heading, a passage, and what the score is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sememe.cli.output import console, print_table, size

if TYPE_CHECKING:
    from rich.text import Text

    from sememe.search.hits import Explanation, Hit, Hits
    from sememe.search.multi_vector import MaxSimExplanation, MultiVectorHit
    from sememe.search.second_search import Record

PASSAGE_LINES = 2
SHOWN_ATOMS = 4
SHOWN_WORDS = 3


def hits_as_dict(query: str, hits: Hits[Any]) -> dict[str, Any]:
    """The object that `--json` prints."""
    stages = [stage._asdict() for stage in hits.stages]
    fed = {"feedback": hits.feedback.as_dict()} if hits.feedback is not None else {}
    return {"query": query, "hits": [_as_dict(hit) for hit in hits], "stages": stages, **fed}


def print_hits(hits: Sequence[Hit | MultiVectorHit], n_documents: int, note: str = "") -> None:
    """Print hits for people.

    Args:
        hits: the hits.
        n_documents: in how many documents was searched.
        note: what is said below them.

    """
    from rich.text import Text

    out = console()
    for hit in hits:
        heading = Text(f"{hit.rank:>3}  ", style="dim")
        heading.append(f"{hit.score:.3f}  ", style="bold cyan")
        heading.append(_one_line(hit.document.title) or hit.document.id, style="bold")
        out.print(heading, no_wrap=True, overflow="ellipsis")
        passage = Text("     " + _one_line(hit.passage), style="none")
        passage.truncate((out.width - 5) * PASSAGE_LINES, overflow="ellipsis")
        for line in passage.wrap(out, out.width - 5)[:PASSAGE_LINES]:
            out.print(Text("     ") + Text(line.plain.strip()))
        if hit.explanation is not None:
            for line in _explanation(hit.explanation, out.width - 5).wrap(out, out.width - 5):
                line.rstrip()
                out.print(Text("     ") + line)
        out.print()
    if not hits:
        out.print(f"Nothing found in {n_documents:,} documents.")
    elif note:
        out.print(note, style="dim")


def print_feedback(record: Record) -> None:
    """Print what feedback did."""
    fed = ", ".join(f"{'' if passage.relevant else 'not '}{passage.id}" for passage in record.passages)
    print(f"fed back: {fed or 'nothing'}")
    moves = [(move.change, move.before or "-", move.after or "-", move.id) for move in record.moves]
    print_table(["", "before", "after", "document"], moves, right=["before", "after"])
    for change in record.raised(SHOWN_ATOMS) + record.lowered(SHOWN_ATOMS):
        print(f"{change.change:+.3f}  {change.label or 'atom'} [{change.atom}]")


def print_stages(hits: Hits[Any]) -> None:
    """Print what each stage did."""
    rows = [(one.stage, f"{one.candidates:,}", size(one.bytes_read), f"{one.ms:.2f}") for one in hits.stages]
    print_table(["stage", "out", "read", "ms"], rows, right=["out", "read", "ms"])


def _as_dict(hit: Any) -> dict[str, Any]:
    window = {"passage": [hit.window.start, hit.window.end]} if hasattr(hit, "window") else {}
    return {
        "id": hit.document.id,
        "title": hit.document.title,
        "score": hit.score,
        "parts": dict(hit.parts),
        **window,
        "explanation": hit.explanation.as_dict() if hit.explanation is not None else None,
    }


def _explanation(explanation: Explanation | MaxSimExplanation, width: int) -> Text:
    from sememe.search.hits import Explanation

    return _atoms_line(explanation) if isinstance(explanation, Explanation) else _words_lines(explanation, width)


def _atoms_line(explanation: Explanation) -> Text:
    from rich.text import Text

    line = Text()
    shown = explanation.top(SHOWN_ATOMS)
    for part in shown:
        line.append(f"{part.contribution:+.3f} ", style="green" if part.contribution >= 0 else "red")
        line.append(f"{part.label or 'atom'} [{part.atom}]   ")
    rest = len(explanation.atoms) - len(shown)
    if rest > 0:
        remainder = float(explanation.contributions[len(shown) :].sum())
        line.append(f"{remainder:+.3f} {rest} more atoms   ", style="dim")
    line.append(f"{explanation.bias:+.3f} bias   {explanation.residual:+.3f} residual", style="dim")
    return line


def _words_lines(explanation: MaxSimExplanation, width: int) -> Text:
    """What each word of the query adds, as many to a line as fit."""
    from rich.text import Text

    lines, line = Text(), Text()
    for share in explanation.by_words():
        piece = Text(f"{share.share:+.3f} ", style="green" if share.share >= 0 else "red")
        piece.append(f"{_words(share.words)} > {_words(share.found)}", style="default")
        if line.cell_len + piece.cell_len + 3 > width and line:
            lines.append(line).append("\n")
            line = Text()
        line.append("   " if line else "").append(piece)
    return lines.append(line)


def _words(words: Sequence[str]) -> str:
    """The first few of a vector's words."""
    return " ".join(words[:SHOWN_WORDS]) + (" ..." if len(words) > SHOWN_WORDS else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
