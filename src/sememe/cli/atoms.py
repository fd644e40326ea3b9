"""`sememe atoms`: learn the atoms of an index or a bank, list them, look at one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms import AtomsConfig
from sememe.cli.flags import add_fields, add_json_flag, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, print_table
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, Index


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "atoms", "Learn the atoms of meaning in an index, and look at them.", "sememe atoms learn my.index"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="learn | list | show")
    learn = actions.add_parser(
        "learn",
        help="learn atoms from an index or a bank",
        epilog="example: sememe atoms learn my.index --n-atoms 1024",
    )
    learn.add_argument("source", type=Path, help="the folder of an index or a bank")
    learn.add_argument("--path", type=Path, help="where to keep the atoms (default: inside the index)")
    add_fields(learn, AtomsConfig)
    add_json_flag(learn)
    listing = actions.add_parser("list", help="the atoms by how often they are active")
    listing.add_argument("source", type=Path, help="the folder of an index, or of atoms")
    listing.add_argument("--find", default="", metavar="WORD", help="only atoms whose label holds this")
    listing.add_argument("-n", type=int, default=30, help="how many (default 30)")
    add_json_flag(listing)
    show = actions.add_parser("show", help="one atom: its label, neighbours and top documents")
    show.add_argument("source", type=Path, help="the folder of an index")
    show.add_argument("atom", type=int)
    show.add_argument("--atoms", type=Path, help="the folder of the atoms (default: inside the index)")
    show.add_argument("-n", type=int, default=10, help="how many documents (default 10)")
    add_json_flag(show)
    return parser


def run(options: argparse.Namespace) -> int:
    action = {"learn": _learn, "list": _list, "show": _show}[options.action]
    return action(options)


def _learn(options: argparse.Namespace) -> int:
    from sememe import Atoms, Bank, Index

    started = time.perf_counter()
    config = read_fields(options, AtomsConfig)
    if Index.is_index(options.source):
        with Index.open(options.source) as index:
            atoms = index.learn_atoms(config=config)
            path = options.path or index.atoms_path
    else:
        with Bank.open(options.source) as bank:
            atoms = Atoms.fit(bank, config=config)
        path = options.path or options.source.with_suffix(".atoms")
    atoms.save(path)
    return _report(atoms, path, time.perf_counter() - started, options.json)


def _report(atoms: Atoms, path: Path, seconds: float, as_json: bool) -> int:
    card = atoms.card
    if as_json:
        figures = {"r2": card["r2"], "mean_active": card["mean_active"], "dead": card["dead"]}
        print_json({"atoms": atoms.n_atoms, **figures, "certificate": atoms.certificate})
        return 0
    print_facts(
        [
            ("atoms", f"{atoms.n_atoms:,} in {path}, {duration(seconds)}"),
            ("R² held out", f"{card['r2']:.3f} (on what they were learned from: {card['r2_train']:.3f})"),
            (
                "active",
                f"{card['mean_active']:.1f} of {atoms.n_atoms:,} a vector; {card['dead']} never, {card['dense']} often",
            ),
            (
                "coherence",
                f"{atoms.certificate['mutual_coherence']:.3f}, at best {atoms.certificate['welch_bound']:.3f}",
            ),
        ]
    )
    for warning in card.get("warnings", []):
        print(f"note: {warning}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from sememe import Atoms, Index

    if Index.is_index(options.source):
        with Index.open(options.source) as index:
            atoms = Atoms.load(index.atoms_path)
    else:
        atoms = Atoms.load(options.source)
    frequency = atoms.frequency
    wanted = [
        atom for atom in np.argsort(-frequency, kind="stable") if options.find.lower() in atoms.labels[atom].lower()
    ]
    rows = [{"atom": int(a), "label": atoms.labels[a], "frequency": float(frequency[a])} for a in wanted[: options.n]]
    if options.json:
        print_json({"atoms": rows, "total": len(wanted)})
        return 0
    print_table(
        ["atom", "active", "label"],
        [(row["atom"], f"{row['frequency']:.2%}", row["label"]) for row in rows],
        right=["atom", "active"],
    )
    if len(wanted) > len(rows):
        print(f"{len(rows)} of {len(wanted):,}; -n shows more")
    return 0


def _show(options: argparse.Namespace) -> int:
    from sememe import Atoms, Index

    with Index.open(options.source) as index:
        atoms = Atoms.load(options.atoms or index.atoms_path)
        if not 0 <= options.atom < atoms.n_atoms:
            raise InputError(f"there is no atom {options.atom}: the dictionary has atoms 0 to {atoms.n_atoms - 1}")
        found = _top_documents(index, atoms, options.atom, options.n)
    near = [
        {"atom": int(atom), "label": atoms.labels[atom], "cosine": float(cosine)}
        for atom, cosine in atoms.nearest(options.atom, 5)
    ]
    if options.json:
        print_json({"atom": options.atom, "label": atoms.labels[options.atom], "near": near, "documents": found})
        return 0
    print_facts(
        [
            ("atom", options.atom),
            ("label", atoms.labels[options.atom]),
            ("active", f"in {atoms.frequency[options.atom]:.2%} of vectors"),
            ("near", "; ".join(f"{n['atom']} {n['label']} ({n['cosine']:.2f})" for n in near)),
        ]
    )
    print()
    print_table(
        ["activation", "document"], [(f"{d['activation']:.3f}", d["title"]) for d in found], right=["activation"]
    )
    return 0


def _top_documents(index: Index, atoms: Atoms, atom: int, n: int) -> list[dict[str, Any]]:
    from sememe.search.learning import codes_of

    rows, codes = codes_of(index, atoms)
    column = codes[:, [atom]].tocoo()
    found = []
    order = np.argsort(-column.data, kind="stable")[:n]
    for row, activation in zip(rows[column.row[order]], column.data[order], strict=True):
        document, window = index.row(int(row))
        title = document.title or document.text[window.start : window.end][:90]
        found.append({"id": document.id, "title": " ".join(title.split()), "activation": float(activation)})
    return found
