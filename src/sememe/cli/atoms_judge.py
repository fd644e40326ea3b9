"""`sememe atoms certify`, `score`, `compare` and `angles`: how far atoms can be trusted."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.cli.flags import add_json_flag
from sememe.cli.output import print_facts, print_json, print_table
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, Bank

SCORED_VECTORS = 2000  # pursuit of rivals' codes is slow


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    certify = actions.add_parser("certify", help="the certificate: what is proved, what is measured, what is not known")
    certify.add_argument("atoms", type=Path, help="the folder of an index, of atoms, or of a study of many sites")
    certify.add_argument("-n", type=int, default=0, help="also list so many atoms of each grade")
    add_json_flag(certify)
    certify.set_defaults(act=_certify)
    score = actions.add_parser("score", help="the scorecard: atoms beside neurons, components, random directions")
    score.add_argument("atoms", type=Path, help="the folder of atoms")
    score.add_argument("--bank", type=Path, help="the vectors (default: the study's own bank)")
    add_json_flag(score)
    score.set_defaults(act=_score)
    compare = actions.add_parser("compare", help="match the atoms of two dictionaries (seeds, layers, coders)")
    compare.add_argument("first", type=Path)
    compare.add_argument("second", type=Path)
    compare.add_argument("-n", type=int, default=10, help="list so many of the best and of the worst (default 10)")
    add_json_flag(compare)
    compare.set_defaults(act=_compare)
    angles = actions.add_parser("angles", help="angles between vectors: Euclidean, centred, and in the atomic product")
    angles.add_argument("bank", type=Path, nargs="+", help="folders of banks, one a line of the table")
    add_json_flag(angles)
    angles.set_defaults(act=_angles)


def _atoms(path: Path) -> Atoms:
    from sememe import Atoms, Index

    if Index.is_index(path):
        with Index.open(path) as index:
            return Atoms.load(index.atoms_path)
    return Atoms.load(path)


def _certify(options: argparse.Namespace) -> int:
    from sememe.artifact import CARD
    from sememe.atoms.study import Study
    from sememe.cli.atoms_learn import print_study
    from sememe.search import Index

    if options.atoms.is_dir() and not (options.atoms / CARD).is_file() and not Index.is_index(options.atoms):
        study = Study.open(options.atoms)
        learned = {site: study.atoms(site) for site in study.sites}
        if options.json:
            print_json({"sites": {site: atoms.certificate for site, atoms in learned.items()}})
        else:
            print_study(learned)
        return 0
    atoms = _atoms(options.atoms)
    if options.json:
        grades = atoms.certified.grades() if atoms.certified is not None else None
        print_json({"certificate": atoms.certificate, "grades": grades})
        return 0
    print_facts(_certificate_facts(atoms))
    if options.n and atoms.certified is not None:
        _print_grades(atoms, options.n)
    return 0


def _certificate_facts(atoms: Atoms) -> list[tuple[str, object]]:
    c = atoms.certificate
    if "q_star" not in c:
        hint = "Import them again with --bank" if atoms.card["coder"] == "imported" else "Learn them again"
        raise InputError("these atoms have no certificate", hint=hint)
    plain = c.get("euclidean", c)
    unique = "any number of" if c["unique_k_max"] is None else f"up to {c['unique_k_max']}"
    card = atoms.card
    return [
        ("inner product", f"{c['inner_product']}, condition {c['condition']:.3g}"),
        ("R² held out", f"{card['r2']:.3f}; learned from {card['r2_train']:.3f}; atomic norm {card['r2_atomic']:.3f}"),
        ("active", f"{c['mean_active']:.1f} on average, {c['k_median']} median, {c['k_95']:.0f} at 95%"),
        ("coherence", f"largest {c['mutual_coherence']:.3f}; rms {c['rms_coherence']:.3f}, least possible "
                      f"{c['welch_bound']:.3f}; Euclidean largest {plain['mutual_coherence']:.3f}"),
        ("unique codes", f"{unique} active atoms by coherence, {c['exact_recovery_k']} by the Babel function"),
        ("RIP bound", f"{c['rip_bound']:.2f} at {c['k_median']} active"
                      + (" (1 and above says nothing)" if c["rip_bound"] >= 1 else "")),
        ("q*", f"{c['q_star']:.3f}; random atoms {c['q_star_random']:.3f}; the theorem itself "
               + ("holds" if c["strict"] else "does not hold")),
        ("atoms", f"{c['live_atoms']:,} of {atoms.n_atoms:,} ever fire"),
        ("  proved", f"{c['proved']:,} (told apart from any {c['k_median']} active atoms)"),
        ("  recovered", f"{c['recovered']:,} (come back from decoded held-out codes, F1 of 0.9 or more)"),
        ("  uncertain", f"{c['uncertain']:,}"),
        ("  too rare", f"{c['unmeasured']:,} (fewer than 5 held-out vectors)"),
    ]  # fmt: skip


def _print_grades(atoms: Atoms, n: int) -> None:
    assert atoms.certified is not None
    grades = np.array(atoms.certified.grades())
    rows = []
    for grade in ("proved", "recovered", "uncertain"):
        members = np.flatnonzero(grades == grade)
        for atom in members[np.argsort(-atoms.fired[members], kind="stable")][:n]:
            recovered = atoms.certified.recovered[atom]
            rows.append(
                [
                    grade,
                    str(atom),
                    f"{atoms.frequency[atom]:.2%}",
                    f"{atoms.certified.coherence[atom]:.2f}",
                    "" if np.isnan(recovered) else f"{recovered:.2f}",
                    atoms.labels[atom],
                ]
            )
    print()
    print_table(["grade", "atom", "active", "nearest", "F1", "label"], rows, right=["atom", "active", "nearest", "F1"])


def _score(options: argparse.Namespace) -> int:
    from sememe import Bank
    from sememe.atoms.rows import held_out_rows
    from sememe.atoms.study import BANKS
    from sememe.atoms.units import neurons, principal_components, random_units, sample_units, score_units, units_of

    atoms = _atoms(options.atoms)
    if atoms.inner_product is None:
        hint = "Import them again with --bank" if atoms.card["coder"] == "imported" else "Learn them again"
        raise InputError("these atoms have no inner product", where=str(options.atoms), hint=hint)
    path = options.bank or options.atoms.parent / BANKS / options.atoms.name
    with Bank.open(path) as bank:
        if bank.fingerprint != atoms.card["source"].get("bank"):
            raise InputError("the atoms were learned from another bank", where=str(path), hint="Name it with --bank")
        parameters = atoms.card["parameters"]
        train_rows, held_rows = held_out_rows(bank, parameters["held_out"], parameters["random_state"])
        train, held = (_spread(bank, rows) for rows in (train_rows, held_rows))
    n, k = atoms.n_atoms, max(1, round(atoms.card["mean_active"]))
    sets = [
        units_of(atoms),
        neurons(atoms.dimensions),
        principal_components(train, k),
        random_units(train, n, k),
        sample_units(train, n, k),
    ]
    scores = [score_units(units, train, held, atoms.inner_product) for units in sets]
    if options.json:
        print_json({"units": [{**asdict(s), "verdict": s.verdict} for s in scores]})
        return 0
    right = ["n", "R²", "R² train", "K", "K 95%", "q*", "random"]
    rows = [
        [s.name, f"{s.n_units:,}", f"{s.r2:.3f}", f"{s.r2_train:.3f}", f"{s.k_median:.0f}", f"{s.k_95:.0f}",
         f"{s.q_star:.3f}", f"{s.q_star_random:.3f}", s.verdict]
        for s in scores
    ]  # fmt: skip
    print_table(["units", *right, ""], rows, right=right)
    return 0


def _spread(bank: Bank, rows: np.ndarray) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(SCORED_VECTORS, len(rows))).astype(np.int64))
    return bank[rows[chosen]]


def _compare(options: argparse.Namespace) -> int:
    from sememe.atoms.matching import match

    first, second = _atoms(options.first), _atoms(options.second)
    live, live_second = _live(first), _live(second)
    found = match(first.decoder[live], second.decoder[live_second], first.inner_product)
    order = np.argsort(-np.nan_to_num(found.cosine, nan=-1.0), kind="stable")
    pairs = [
        {
            "first": int(live[place]),
            "second": int(live_second[found.partner[place]]),
            "cosine": float(found.cosine[place]),
            "label": first.labels[live[place]],
            "label_second": second.labels[live_second[found.partner[place]]],
        }
        for place in order
        if found.partner[place] >= 0
    ]
    if options.json:
        print_json({"mmcs": found.mmcs, "shared": found.shared, "pairs": pairs})
        return 0
    print_facts(
        [
            ("mean max cosine", f"{found.mmcs:.3f} ({'atomic' if first.inner_product else 'Euclidean'})"),
            ("shared", f"{found.shared:.1%} of {len(live):,} atoms have a match of their own with cosine above 0.7"),
        ]
    )
    print()
    shown = pairs if len(pairs) <= 2 * options.n else [*pairs[: options.n], *pairs[len(pairs) - options.n :]]
    print_table(
        ["cosine", "first", "second", "label", "label of the second"],
        [[f"{p['cosine']:.3f}", p["first"], p["second"], p["label"], p["label_second"]] for p in shown],
        right=["cosine", "first", "second"],
    )
    return 0


def _live(atoms: Atoms) -> np.ndarray:
    """Atoms that ever fired; all of them when that is not known."""
    return np.flatnonzero(atoms.fired > 0) if atoms.fired.any() else np.arange(atoms.n_atoms)


def _angles(options: argparse.Namespace) -> int:
    from sememe import Bank
    from sememe.atoms.shift import representation_shift

    found = []
    for path in options.bank:
        with Bank.open(path) as bank:
            found.append({"bank": str(path), "site": bank.provenance.get("site", ""), **representation_shift(bank)})
    if options.json:
        print_json({"banks": found})
        return 0
    columns = ["euclidean", "centred", "atomic"]
    rows = [
        [f["site"] or f["bank"], *(f"{f[column]['mean']:.1f}° ± {f[column]['sd']:.1f}" for column in columns)]
        for f in found
    ]
    print_table(["site", *columns], rows, right=columns)
    return 0
