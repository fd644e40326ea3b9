"""`sememe atoms list` and `show`: which atoms there are, and what one is about."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.cli.flags import add_json_flag
from sememe.cli.output import print_facts, print_json, print_table
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, Index


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    listing = actions.add_parser("list", help="the atoms by how often they are active")
    listing.add_argument("source", type=Path, help="the folder of an index, or of atoms")
    listing.add_argument("--find", default="", metavar="WORD", help="only atoms whose label holds this")
    listing.add_argument("-n", type=int, default=30, help="how many (default 30)")
    add_json_flag(listing)
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="one atom: its label, neighbours and top documents")
    show.add_argument("source", type=Path, help="the folder of an index, or of one site's atoms in a study")
    show.add_argument("atom", type=int)
    show.add_argument("--atoms", type=Path, help="the folder of the atoms (default: inside the index)")
    show.add_argument("-n", type=int, default=10, help="how many documents (default 10)")
    add_json_flag(show)
    show.set_defaults(act=_show)


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

    if not Index.is_index(options.source):
        return _show_in_text(options)
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
        grade = None if atoms.certified is None else atoms.certified.grades()[options.atom]
        print_json(
            {
                "atom": options.atom,
                "label": atoms.labels[options.atom],
                "grade": grade,
                "near": near,
                "documents": found,
            }
        )
        return 0
    print_facts(
        [
            ("atom", options.atom),
            ("label", atoms.labels[options.atom]),
            ("active", f"in {atoms.frequency[options.atom]:.2%} of vectors"),
            ("certificate", _grade(atoms, options.atom)),
            ("near", "; ".join(f"{n['atom']} {n['label']} ({n['cosine']:.2f})" for n in near)),
        ]
    )
    print()
    print_table(
        ["activation", "document"], [(f"{d['activation']:.3f}", d["title"]) for d in found], right=["activation"]
    )
    return 0


def _grade(atoms: Atoms, atom: int) -> str:
    """How far the atom can be trusted."""
    certified = atoms.certified
    if certified is None:
        return "none"
    facts = [f"cosine to the nearest {certified.coherence[atom]:.2f}"]
    if not np.isnan(certified.recovered[atom]):
        facts.append(f"recovered with F1 {certified.recovered[atom]:.2f}")
    facts.append(f"provably told apart among {certified.recovery_k[atom]} active atoms")
    return f"{certified.grades()[atom]} ({'; '.join(facts)})"


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


def _show_in_text(options: argparse.Namespace) -> int:
    """An atom of a language model: where it fires, and what it does to the output."""
    from sememe import Atoms
    from sememe.atoms.study import CONTEXTS, contexts_of

    atoms, atom = Atoms.load(options.source), options.atom
    if not 0 <= atom < atoms.n_atoms:
        raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {atoms.n_atoms - 1}")
    path = options.source.parent / CONTEXTS / options.source.name
    if not path.is_dir():
        raise InputError(
            "these atoms have no contexts yet", where=str(path), hint="Make them: sememe atoms label STUDY --corpus ..."
        )
    contexts = contexts_of(atoms, path)
    found = [_context(context) for context in contexts.of(atom)[: options.n]]
    promoted, suppressed = contexts.promoted(atom), contexts.suppressed(atom)
    if options.json:
        grade = None if atoms.certified is None else atoms.certified.grades()[atom]
        print_json(
            {
                "atom": atom,
                "label": atoms.labels[atom],
                "grade": grade,
                "detection": _detection(atoms, atom),
                "contexts": found,
                "promoted": [token for token, _ in promoted],
                "suppressed": [token for token, _ in suppressed],
            }
        )
        return 0
    score = _detection(atoms, atom)
    facts: list[tuple[str, object]] = [
        ("atom", f"{atom} at {atoms.card['source'].get('site', '')}"),
        ("label", atoms.labels[atom]),
        ("predicts", "too rare to tell" if score is None else "{score:.2f}, shuffled {shuffled:.2f}".format(**score)),
        ("active", f"on {atoms.frequency[atom]:.3%} of tokens"),
        ("certificate", _grade(atoms, atom)),
    ]  # fmt: skip
    if promoted:
        facts.append(("promotes", " ".join(repr(token) for token, _ in promoted)))
        facts.append(("suppresses", " ".join(repr(token) for token, _ in suppressed)))
    print_facts(facts)
    print()
    print_table(
        ["activation", "where", "text"],
        [[f"{c['activation']:.2f}", "top" if c["top"] else "lower", c["text"]] for c in found],
        right=["activation"],
    )
    return 0


def _context(context: Any) -> dict[str, Any]:
    marked = [f"[{piece}]" if place == context.peak else piece for place, piece in enumerate(context.pieces)]
    text = " ".join("".join(marked[max(0, context.peak - 14) : context.peak + 7]).split())
    return {"activation": float(context.activations[context.peak]), "top": context.top, "text": text}


def _detection(atoms: Atoms, atom: int) -> dict[str, float] | None:
    if atoms.detection is None or np.isnan(atoms.detection.score[atom]):
        return None
    return {"score": float(atoms.detection.score[atom]), "shuffled": float(atoms.detection.shuffled[atom])}
