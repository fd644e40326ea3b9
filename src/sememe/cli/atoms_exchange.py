"""`sememe atoms export` and `import`: atoms as other tools' folders, and back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_json_flag
from sememe.cli.output import print_facts, print_json
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms

FORMATS = ("saelens", "sparsify")
SPARSIFY_WEIGHTS = "sae.safetensors"


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    export = actions.add_parser("export", help="write atoms as a folder that another tool loads")
    export.add_argument("atoms", type=Path, help="the folder of an index, or of atoms")
    export.add_argument("path", type=Path, help="the folder to write")
    export.add_argument("--to", default="saelens", choices=("saelens",), help="whose format (default saelens)")
    add_json_flag(export)
    export.set_defaults(act=_export)
    taken = actions.add_parser("import", help="read another tool's sparse autoencoder as atoms")
    taken.add_argument("source", type=Path, help="the folder that SAELens or sparsify wrote")
    taken.add_argument("--path", type=Path, required=True, help="where to keep the atoms")
    taken.add_argument("--format", choices=FORMATS, help="whose format (default: found out by its files)")
    taken.add_argument("--bank", type=Path, help="an index or a bank to measure and certify the atoms on")
    add_json_flag(taken)
    taken.set_defaults(act=_import)


def _export(options: argparse.Namespace) -> int:
    from sememe import Atoms, Index
    from sememe.atoms.saelens import export_saelens

    path = options.atoms
    if Index.is_index(path):
        with Index.open(path) as index:
            path = index.atoms_path
    config = export_saelens(Atoms.load(path), options.path)
    if options.json:
        print_json({"path": str(options.path), "config": config})
        return 0
    meta = config["metadata"]
    print_facts(
        [
            ("atoms", f"{config['d_sae']:,} of {config['d_in']} dimensions in {options.path}"),
            ("architecture", config["architecture"]),
            ("model", meta["model_name"] or "not known"),
            ("hook", meta["hook_name"] or "not known"),
        ]
    )
    return 0


def _import(options: argparse.Namespace) -> int:
    if options.source.absolute() == options.path.absolute():
        raise InputError("the atoms would replace what they are read from", hint="Choose another --path")
    atoms = _reader(options.format, options.source)(options.source)
    if options.bank is not None:
        atoms = _measured(atoms, options.bank)
    atoms.save(options.path)
    if options.json:
        source, imported = atoms.card["source"], atoms.card["imported"]
        print_json({"path": str(options.path), "atoms": atoms.n_atoms, "source": source, "imported": imported})
        return 0
    print_facts(_facts(atoms, options.path))
    return 0


def _measured(atoms: Atoms, path: Path) -> Atoms:
    from sememe import Bank, Index
    from sememe.atoms.measuring import measured

    if Index.is_index(path):
        with Index.open(path) as index:
            return measured(atoms, index.bank)
    with Bank.open(path) as bank:
        return measured(atoms, bank)


def _reader(name: str | None, folder: Path) -> Callable[[Path], Atoms]:
    from sememe.atoms.saelens import import_saelens
    from sememe.atoms.sparsify import import_sparsify

    if name is None:
        name = "sparsify" if (folder / SPARSIFY_WEIGHTS).is_file() else "saelens"
    return {"saelens": import_saelens, "sparsify": import_sparsify}[name]


def _facts(atoms: Atoms, path: Path) -> list[tuple[str, object]]:
    source, imported = atoms.card["source"], atoms.card["imported"]
    kind = " ".join(str(imported[name]) for name in ("format", "architecture") if name in imported)
    certificate = "none: that needs vectors (--bank)"
    if atoms.certified is not None:
        found = atoms.certificate
        certificate = f"R² {atoms.card['r2']:.3f}; {found['proved']:,} proved, {found['recovered']:,} recovered"
    return [
        ("atoms", f"{atoms.n_atoms:,} of {atoms.dimensions} dimensions in {path}"),
        ("from", kind),
        ("model", source.get("model", "not known")),
        ("site", source.get("site") or source.get("hook", "not known")),
        ("frequencies", "known" if atoms.fired.any() else "not in the folder"),
        ("certificate", certificate),
    ]
