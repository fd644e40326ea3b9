"""`sememe search`: ask an index, or evaluate it on a test collection."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.opening import PLACE_HELP, folder, open_place, place
from sememe.cli.output import console, print_json, print_table, size
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, Explanation, Hit
    from sememe.search.evaluation import Evaluation
    from sememe.search.expansion import RM3
    from sememe.search.feedback import Feedback
    from sememe.search.hits import Hits
    from sememe.search.rerank import Reranker
    from sememe.search.searchable import Searchable
    from sememe.search.second_search import Record

PASSAGE_LINES = 2
SHOWN_ATOMS = 4


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "search",
        "Find documents by meaning, by words or both, and see which atoms made each score.",
        'sememe search my.index "how do I shrink an index?" -k 5 --steer 812:0.5\n'
        "  sememe search --eval scifact/ --compare dense,lexical,hybrid",
    )
    parser.add_argument("index", nargs="?", type=place, help=PLACE_HELP)
    parser.add_argument("query", nargs="?", help="what you look for")
    parser.add_argument("-k", type=int, default=10, help="how many hits (default 10)")
    parser.add_argument("--mode", choices=("dense", "lexical", "hybrid"), default="dense", help="default dense")
    parser.add_argument("--where", action="append", default=[], metavar="CONDITION", help="such as year>=2020")
    parser.add_argument("--atoms", type=Path, help="the folder of the atoms (default: inside the index)")
    parser.add_argument(
        "--steer",
        action="append",
        default=[],
        metavar="ATOM:AMOUNT",
        help="move the query along an atom, such as 12:0.5",
    )
    parser.add_argument("--coarse", metavar="STAGE", help="another first stage for this search, such as pq:48")
    parser.add_argument(
        "--feedback", metavar="METHOD", help="average, rocchio, rm3 (lexical) or the folder of a feedback encoder"
    )
    parser.add_argument("--feedback-k", type=int, metavar="K", help="passages that are fed back (default 3)")
    parser.add_argument("--like", action="append", default=[], metavar="ID", help="a document to search towards")
    parser.add_argument("--unlike", action="append", default=[], metavar="ID", help="a document to search away from")
    parser.add_argument(
        "--rerank", metavar="MODEL", help="order the best 50 hits again: late:ENCODER (token vectors) or cross:MODEL"
    )
    parser.add_argument("--stages", action="store_true", help="show what each stage did")
    evaluation = parser.add_argument_group("evaluation")
    evaluation.add_argument(
        "--eval", type=Path, metavar="BEIR_DIR", help="queries and judgements; without an index, one is made"
    )
    evaluation.add_argument(
        "--compare",
        default="dense,lexical,hybrid",
        metavar="A,B",
        help="the pipelines to evaluate: dense, lexical, hybrid or a first stage, with +average, +rocchio, +rm3; "
        "the others are tested against the first",
    )
    evaluation.add_argument("--split", default="test", help="which judgements (default test)")
    evaluation.add_argument("--encoder", default="minilm", help="for the index that is made (default minilm)")
    evaluation.add_argument("--runs", type=Path, metavar="DIR", help="also write a TREC run file a pipeline")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.eval is not None:
        return _evaluate(options)
    if options.index is None or options.query is None:
        raise InputError("needs an index and a query", hint='Such as: sememe search my.index "what I look for"')
    from sememe.search.filters import parse_filter

    where, steer = parse_filter(options.where), _steering(options.steer)
    with open_place(options.index, options.coarse) as index:
        atoms = _atoms(index, options)
        hits = index.search(
            options.query,
            options.k,
            mode=options.mode,
            where=where,
            explain=atoms,
            steer=steer,
            feedback=_feedback(options),
            rerank=_reranker(options.rerank),
        )
        n_documents = len(index)
    if options.json:
        stages = [stage._asdict() for stage in hits.stages]
        fed = {"feedback": hits.feedback.as_dict()} if hits.feedback is not None else {}
        print_json({"query": options.query, "hits": [_as_dict(hit) for hit in hits], "stages": stages, **fed})
    else:
        _print_hits(hits, n_documents, atoms is None and options.mode != "lexical")
        if hits.feedback is not None:
            _print_feedback(hits.feedback)
        if options.stages:
            _print_stages(hits)
    return 0


def _atoms(index: Searchable, options: argparse.Namespace) -> Atoms | None:
    from sememe import Atoms

    if options.mode == "lexical":
        if options.atoms or options.steer:
            raise InputError("a lexical score has no atoms", hint="Use --mode dense or hybrid")
        return None
    path = options.atoms or index.atoms_path
    if path is None or not (options.atoms or path.exists()):
        if options.steer:
            raise InputError("there are no atoms to steer along", hint=f"Run: sememe atoms learn {options.index}")
        return None
    return Atoms.load(path)


def _feedback(options: argparse.Namespace) -> Feedback | RM3 | None:
    from sememe.models.feedback_encoder import PrfEncoder
    from sememe.search.expansion import RM3
    from sememe.search.feedback import METHODS, Feedback

    name = options.feedback
    if name == "rm3":
        if options.like or options.unlike or options.feedback_k:
            raise InputError("rm3 reads the first ten documents", hint="Leave --like, --unlike and --feedback-k out")
        return RM3()
    if name is None:
        if options.feedback_k is not None:
            raise InputError("--feedback-k needs --feedback")
        return Feedback.chosen(options.like, options.unlike) if options.like or options.unlike else None
    method = name if name in METHODS else PrfEncoder.load(name)
    gamma = 0.15 if options.unlike else 0.0
    return Feedback(method, options.feedback_k, gamma=gamma, relevant=options.like, irrelevant=options.unlike)


def _reranker(text: str | None) -> Reranker | None:
    from sememe import CrossEncoder, LateInteraction, MultiVectorEncoder

    kind, _, model = (text or "").partition(":")
    if text is None:
        return None
    if kind not in ("late", "cross") or not model:
        raise InputError(f"is not a reranker: {text!r}", where="--rerank", hint="Write late:minilm or cross:MODEL")
    return LateInteraction(MultiVectorEncoder.load(model)) if kind == "late" else CrossEncoder.load(model)


def _steering(texts: Sequence[str]) -> dict[int, float]:
    steer = {}
    for text in texts:
        atom, _, amount = text.partition(":")
        try:
            steer[int(atom)] = float(amount)
        except ValueError:
            raise InputError(f"is not ATOM:AMOUNT: {text!r}", where="--steer", hint="Write it like 12:0.5") from None
    return steer


def _as_dict(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.document.id,
        "title": hit.document.title,
        "score": hit.score,
        "parts": dict(hit.parts),
        "passage": [hit.window.start, hit.window.end],
        "explanation": hit.explanation.as_dict() if hit.explanation is not None else None,
    }


def _print_hits(hits: Sequence[Hit], n_documents: int, unexplained: bool) -> None:
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
            out.print(_explanation_line(hit.explanation), no_wrap=False)
        out.print()
    if not hits:
        out.print(f"Nothing found in {n_documents:,} documents.")
    elif unexplained:
        out.print("Learn atoms to see why: sememe atoms learn INDEX", style="dim")


def _explanation_line(explanation: Explanation) -> Any:
    from rich.padding import Padding
    from rich.text import Text

    shown = explanation.top(SHOWN_ATOMS)
    line = Text()
    for part in shown:
        line.append(f"{part.contribution:+.3f} ", style="green" if part.contribution >= 0 else "red")
        line.append(f"{part.label or 'atom'} [{part.atom}]   ")
    rest = len(explanation.atoms) - len(shown)
    if rest > 0:
        remainder = float(explanation.contributions[len(shown) :].sum())
        line.append(f"{remainder:+.3f} {rest} more atoms   ", style="dim")
    line.append(f"{explanation.bias:+.3f} bias   {explanation.residual:+.3f} residual", style="dim")
    return Padding(line, (0, 0, 0, 5), expand=False)


def _print_feedback(record: Record) -> None:
    fed = ", ".join(f"{'' if passage.relevant else 'not '}{passage.id}" for passage in record.passages)
    print(f"fed back: {fed or 'nothing'}")
    moves = [(move.change, move.before or "-", move.after or "-", move.id) for move in record.moves]
    print_table(["", "before", "after", "document"], moves, right=["before", "after"])
    for change in record.raised(SHOWN_ATOMS) + record.lowered(SHOWN_ATOMS):
        print(f"{change.change:+.3f}  {change.label or 'atom'} [{change.atom}]")


def _print_stages(hits: Hits) -> None:
    rows = [(one.stage, f"{one.candidates:,}", size(one.bytes_read), f"{one.ms:.2f}") for one in hits.stages]
    print_table(["stage", "out", "read", "ms"], rows, right=["out", "read", "ms"])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _evaluate(options: argparse.Namespace) -> int:
    from sememe.search.evaluation import evaluate, index_for

    names = [name.strip() for name in options.compare.split(",") if name.strip()]
    path = folder(options.index, "--eval")
    with index_for(options.eval, path, options.encoder) as index:
        report = evaluate(index, options.eval, names, split=options.split, runs=options.runs)
    if options.json:
        comparisons = {
            name: {metric: {**asdict(c), "p_holm": report.adjusted[name][metric]} for metric, c in of_name.items()}
            for name, of_name in report.comparisons.items()
        }
        print_json({"pipelines": report.pipelines, "comparisons": comparisons})
        return 0
    columns = list(next(iter(report.pipelines.values())))
    print_table(
        ["pipeline", *columns],
        [
            [name, *[f"{row[c]:.1f}" if c.startswith("ms") or c.endswith("mib") else f"{row[c]:.4f}" for c in columns]]
            for name, row in report.pipelines.items()
        ],
        right=columns,
    )
    _print_comparisons(report, names[0])
    return 0


def _print_comparisons(report: Evaluation, first: str) -> None:
    if not report.comparisons:
        return
    rows = [
        (
            name,
            metric,
            f"{c.difference:+.4f}",
            f"[{c.low:+.4f}, {c.high:+.4f}]",
            f"{c.p:.4f}",
            f"{report.adjusted[name][metric]:.4f}",
        )
        for name, of_name in report.comparisons.items()
        for metric, c in of_name.items()
    ]
    columns = ["difference", "95% interval", "p", "p (Holm)"]
    print(f"\nagainst {first}, paired by query; p of the randomisation test")
    print_table(["pipeline", "metric", *columns], rows, right=columns)
