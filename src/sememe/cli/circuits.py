"""`sememe circuits`: find which attention heads do a task, and look at what was found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.cli.flags import add_fields, add_json_flag, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, print_table

if TYPE_CHECKING:
    from sememe.circuits.circuit import Circuit

N_SHOWN, N_ATTENDED, N_EDGES = 15, 5, 8


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "circuits",
        "Find which attention heads of a language model do a task, and check it.",
        "sememe circuits find smollm2-135m --task ioi --patching --out ioi.circuit\n"
        "  sememe circuits find smollm2-135m --task pairs.jsonl\n"
        "  sememe circuits show ioi.circuit --explain 23.3",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_find(actions)
    show = actions.add_parser("show", help="a circuit that was found before")
    show.add_argument("circuit", type=Path, help="its folder")
    _add_looking(show)
    show.set_defaults(act=_show)
    return parser


def run(options: argparse.Namespace) -> int:
    answer: int = options.act(options)
    return answer


def _add_find(actions: Any) -> None:
    from sememe.circuits.finding import FindConfig
    from sememe.circuits.published import PublishedConfig
    from sememe.circuits.reliable import ReliableConfig

    find = actions.add_parser("find", help="rank heads: ours, the paper's codes, controls, and patching if asked for")
    find.add_argument("model", help="a causal language model: a known name, a folder, a hub id")
    find.add_argument(
        "--task", required=True, help="ioi, greater-than, docstring, induction, or a file of JSON lines with positive, "
        "negative, answer, wrong"
    )  # fmt: skip
    find.add_argument("--patching", action="store_true", help="patch every head too: the reference, slow")
    find.add_argument("--out", type=Path, metavar="FOLDER", help="keep the result there; sememe serve FOLDER opens it")
    for config in (FindConfig, ReliableConfig, PublishedConfig):
        add_fields(find, config)
    _add_looking(find)
    find.set_defaults(act=_find)


def _add_looking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--heads", type=int, default=N_SHOWN, help=f"how many heads to list (default {N_SHOWN})")
    parser.add_argument("--explain", metavar="L.H", help="what a head attends to on the examples, and its codes")
    add_json_flag(parser)


def _find(options: argparse.Namespace) -> int:
    from sememe import LanguageModel
    from sememe.circuits.finding import FindConfig, find_circuit
    from sememe.circuits.published import PublishedConfig
    from sememe.circuits.reliable import ReliableConfig

    config = read_fields(options, FindConfig)
    reliable, published = read_fields(options, ReliableConfig), read_fields(options, PublishedConfig)
    lm = LanguageModel.load(options.model)
    if options.explain:
        from sememe.circuits.head_outputs import place_of

        place_of(options.explain, lm.n_layers, lm.n_heads)
    note = None if options.json or not sys.stderr.isatty() else _note
    circuit = find_circuit(
        lm, options.task, config, reliable=reliable, published=published, patching=options.patching, note=note
    )
    if options.out is not None:
        circuit.save(options.out)
    _print(circuit, options)
    if options.out is not None and not options.json:
        print(f"\nkept in {options.out}; look at it with: sememe serve {options.out}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from sememe.circuits.circuit import Circuit

    _print(Circuit.load(options.circuit), options)
    return 0


def _note(text: str) -> None:
    print(f"{text} …", file=sys.stderr)


def _print(circuit: Circuit, options: argparse.Namespace) -> None:
    place = circuit.place(options.explain) if options.explain else None
    if options.json:
        print_json(_as_object(circuit, place))
        return
    if place is not None:
        _print_head(circuit, place)
        return
    _print_task(circuit)
    print()
    _print_heads(circuit, options.heads)
    print()
    _print_drawing(circuit)
    _print_edges(circuit)
    _print_methods(circuit)
    _print_verdict(circuit)


def _print_task(circuit: Circuit) -> None:
    card, ability = circuit.card, circuit.card["ability"]
    seconds = card["seconds"]
    parts = [("ours", "reliable"), ("the paper's codes", "published"), ("patching every head", "patching")]
    times = [f"{name} {duration(seconds[key])}" for name, key in parts if key in seconds]
    print_facts(
        [
            ("task", f"{card['task']} ({card['corruption']}), {card['n_pairs']} pairs, in {card['model']}"),
            ("done", f"{ability['positive_right']:.0%} of positive prompts, "
                     f"logit difference {ability['positive']:.2f}; "
                     f"{ability['negative_right']:.0%} of negative ones, {ability['negative']:.2f}"),
            ("time", "; ".join(times)),
        ]
    )  # fmt: skip


def _print_heads(circuit: Circuit, n: int) -> None:
    e, members = circuit.evidence, set(circuit.heads.tolist())
    patched = "patching" in e
    columns = ["head", "score", "attributed", "unique", "codes", "normalised", "null 95%", "z"]
    rows = []
    for place in circuit.ranked[:n]:
        row = [
            circuit.name(place) + ("" if place in members else " –"),
            f"{e['reliable'][place]:.3f}",
            f"{e['attribution'][place]:+.3f}",
            f"{e['unique'][place]:.0f}",
            f"{e['total'][place]:.0f}",
            f"{e['normalised'][place]:.2f}" + ("*" if e["normalised"][place] > e["null_bound"][place] else " "),
            f"{e['null_bound'][place]:.2f}",
            f"{e['z'][place]:+.1f}",
        ]
        rows.append([*row, f"{e['patching'][place]:+.3f}"] if patched else row)
    shown = [*columns, "patched"] if patched else columns
    print_table(shown, rows, right=shown[1:])
    print("attributed, patched: nats of logit difference; * above the null's bound; – not in the circuit")


def _print_drawing(circuit: Circuit) -> None:
    from sememe.circuits.drawing import text_map

    members = np.zeros(circuit.n_layers * circuit.n_heads, bool)
    members[circuit.heads] = True
    print(text_map(circuit.grid(), members.reshape(circuit.n_layers, -1)))


def _print_edges(circuit: Circuit) -> None:
    edges = [edge for edge in circuit.edges[:N_EDGES] if edge[2]]
    if edges:
        shown = ", ".join(f"{circuit.name(a)} → {circuit.name(b)} ({count})" for a, b, count in edges)
        print(f"\nedges by unique pairs of codes: {shown}")


def _print_methods(circuit: Circuit) -> None:
    published = circuit.card["published"]
    for reference, found in (
        ("patching", circuit.card["agreement"]),
        (published.get("source"), published.get("agreement")),
    ):
        if found:
            _print_agreement(f"against {reference}", found)


def _print_agreement(title: str, found: dict[str, Any]) -> None:
    from sememe.circuits.finding import METHODS

    print()
    columns = [title, "ROC AUC", "average precision", f"precision at {found['reliable']['size']}"]
    rows = [
        [method, *(f"{found[name][key]:.3f}" for key in ("auc", "average_precision", "precision_at_size"))]
        for name, method in METHODS.items()
    ]
    print_table(columns, rows, right=columns[1:])


def _print_verdict(circuit: Circuit) -> None:
    found = circuit.card.get("faithfulness")
    n = len(circuit.heads)
    if found is not None:
        drawn = found["random_kept"]
        by_chance = f" (random circuits of {n}: {np.mean(drawn):.0%})" if drawn else ""
        print(f"\ncircuit of {n} heads keeps {found['kept']:.0%} of the logit difference{by_chance}; "
              f"no head at all: {found['empty'] / found['full']:.0%}")  # fmt: skip
    for warning in circuit.card["warnings"]:
        print(f"note: {warning}")


def _print_head(circuit: Circuit, place: int) -> None:
    e = circuit.evidence
    rank = int(np.flatnonzero(circuit.ranked == place)[0]) + 1
    print_facts(
        [
            ("head", f"{circuit.name(place)}, rank {rank} of {len(circuit.score)}, score {e['reliable'][place]:.3f}"),
            ("attributed", f"{e['attribution'][place]:+.3f} nats"),
            *([("patched", f"{e['patching'][place]:+.3f} nats")] if "patching" in e else []),
            ("codes", f"{e['total'][place]:.0f}: {e['unique'][place]:.0f} in positives only, "
                      f"{e['unique_negative'][place]:.0f} in negatives only"),
        ]
    )  # fmt: skip
    layer, head = divmod(place, circuit.n_heads)
    for example, pattern in zip(circuit.card["examples"], circuit.attention, strict=True):
        tokens, last = example["tokens"], pattern[layer, head, -1].astype(np.float64)
        print(f"\n{''.join(tokens)!r} → {example['answer'][0]!r}")
        best = np.argsort(-last, kind="stable")[:N_ATTENDED]
        print_table(
            ["from the last token to", "at", "attention"],
            [[repr(tokens[at]), str(at), f"{last[at]:.2f}"] for at in best],
            right=["at", "attention"],
        )


def _as_object(circuit: Circuit, place: int | None) -> dict[str, Any]:
    """The object of `--json`; with a head asked for, that head alone."""
    if place is not None:
        return _head_object(circuit, place)
    card, e = circuit.card, circuit.evidence
    found = card["agreement"].get("reliable")
    members = set(circuit.heads.tolist())
    heads = []
    for ranked in circuit.ranked.tolist():
        layer, head = divmod(ranked, circuit.n_heads)
        evidence = {name: float(values[ranked]) for name, values in e.items()}
        heads.append({"layer": layer, "head": head, "score": evidence["reliable"], "in_circuit": ranked in members,
                      "evidence": evidence})  # fmt: skip
    return {
        "heads": heads,
        "seconds": card["seconds"]["reliable"],
        "auc_vs_patching": None if found is None else found["auc"],
        "agreement": card["agreement"],
        "published": card["published"],
        "times": card["seconds"],
        "ability": card["ability"],
        "faithfulness": card.get("faithfulness"),
        "edges": [
            {"from": circuit.name(a), "to": circuit.name(b), "unique_pairs": count} for a, b, count in circuit.edges
        ],
        "warnings": card["warnings"],
    }


def _head_object(circuit: Circuit, place: int) -> dict[str, Any]:
    layer, head = divmod(place, circuit.n_heads)
    attended = [
        {"tokens": example["tokens"], "answer": example["answer"],
         "attention": [float(weight) for weight in pattern[layer, head, -1]]}
        for example, pattern in zip(circuit.card["examples"], circuit.attention, strict=True)
    ]  # fmt: skip
    return {
        "layer": layer,
        "head": head,
        "score": float(circuit.score[place]),
        "evidence": {name: float(values[place]) for name, values in circuit.evidence.items()},
        "codes": [{"code": code, "positive": a, "negative": b} for code, a, b in circuit.code_table(place)],
        "examples": attended,
    }
