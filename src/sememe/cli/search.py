"""`sememe search`: ask an index, or evaluate it on a test collection."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli import codes
from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.hits import hits_as_dict, print_feedback, print_hits, print_stages
from sememe.cli.opening import PLACE_HELP, open_place, place
from sememe.cli.output import print_json
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, Hit, MultiVectorIndex
    from sememe.search.expansion import RM3
    from sememe.search.feedback import Feedback
    from sememe.search.filters import Filter
    from sememe.search.hits import Hits
    from sememe.search.multi_vector import MultiVectorHit
    from sememe.search.rerank import Reranker
    from sememe.search.searchable import Searchable

ONE_VECTOR_ONLY = ("mode", "atoms", "steer", "feedback", "feedback_k", "like", "unlike", "rerank")
"""Options that a multi-vector index has no use for."""


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
    parser.add_argument("--mode", choices=("dense", "lexical", "hybrid"), help="default dense")
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
        "--eval",
        metavar="BEIR_DIR",
        help="queries and judgements; without an index, one is made. python:PACKAGE,PACKAGE (or python:stdlib): the "
        "functions of installed packages, asked for by their docstrings",
    )
    evaluation.add_argument(
        "--compare",
        metavar="A,B",
        help="the pipelines to evaluate: dense, lexical, hybrid or a first stage, with +average, +rocchio, +rm3; for a "
        "multi-vector index maxsim; with @INDEX on another index; the others are tested against the first",
    )
    evaluation.add_argument("--split", default="test", help="which judgements (default test)")
    evaluation.add_argument("--encoder", default="minilm", help="for the index that is made (default minilm)")
    evaluation.add_argument("--runs", type=Path, metavar="DIR", help="also write a TREC run file a pipeline")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.eval is not None:
        from sememe.cli.search_evaluation import run_evaluation

        return run_evaluation(options)
    if options.index is None or options.query is None:
        raise InputError("needs an index and a query", hint='Such as: sememe search my.index "what I look for"')
    from sememe.objectives.paragraph_vectors import BinaryParagraphVector

    if isinstance(options.index, Path) and BinaryParagraphVector.is_codes(options.index):
        return codes.run_search(options)
    from sememe.search.filters import parse_filter
    from sememe.search.multi_vector import MultiVectorIndex

    where, steer = parse_filter(options.where), _steering(options.steer)
    hits: Hits[Any]
    with open_place(options.index, options.coarse) as index:
        if isinstance(index, MultiVectorIndex):
            hits, note = _search_tokens(index, options, where), ""
        else:
            hits, note = _search(index, options, where, steer)
        n_documents = len(index)
    if options.json:
        print_json(hits_as_dict(options.query, hits))
        return 0
    print_hits(hits, n_documents, note)
    if hits.feedback is not None:
        print_feedback(hits.feedback)
    if options.stages:
        print_stages(hits)
    return 0


def _search(
    index: Searchable, options: argparse.Namespace, where: Filter, steer: dict[int, float]
) -> tuple[Hits[Hit], str]:
    """The hits, and what to say below them."""
    options.mode = options.mode or "dense"
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
    unexplained = atoms is None and options.mode != "lexical"
    return hits, "Learn atoms to see why: sememe atoms learn INDEX" if unexplained else ""


def _search_tokens(index: MultiVectorIndex, options: argparse.Namespace, where: Filter) -> Hits[MultiVectorHit]:
    useless = [f"--{name.replace('_', '-')}" for name in ONE_VECTOR_ONLY if getattr(options, name) not in (None, [])]
    if useless:
        raise InputError(
            f"is a multi-vector index, which {', '.join(useless)} cannot be used with",
            where=str(options.index),
            hint="It is searched by MaxSim and always says which words found which; -k, --where, --coarse exact or "
            "lists, --stages and --json can be used",
        )
    return index.search(options.query, options.k, explain=True, where=where)


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
