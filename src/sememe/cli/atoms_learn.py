"""`sememe atoms learn`: atoms of an index, of a bank, or of the sites of a language model."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.atoms import AtomsConfig
from sememe.cli.flags import add_fields, add_json_flag, read_fields
from sememe.cli.output import duration, print_facts, print_json, print_table, size
from sememe.corpus import ReadConfig
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms
    from sememe.atoms.study import Plan


def add_parsers(actions: Any) -> None:
    """Add the action to the verb's parser."""
    learn = actions.add_parser(
        "learn",
        help="learn atoms from an index, a bank, or a language model and a corpus",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sememe atoms learn my.index --n-atoms 1024\n"
        "  sememe atoms learn smollm2-135m --sites layers.7.residual layers.14.residual \\\n"
        "      --corpus texts.jsonl --n-atoms 8192 --path study",
    )
    learn.add_argument("source", help="the folder of an index or a bank; with --sites, a language model")
    learn.add_argument("--path", type=Path, help="where to keep the atoms (default: inside the index)")
    add_fields(learn, AtomsConfig)
    model = learn.add_argument_group("language models")
    model.add_argument("--sites", nargs="+", metavar="SITE", help="names or patterns, such as 'layers.*.residual'")
    model.add_argument("--corpus", help="what the model reads: any source that sememe index takes")
    model.add_argument("--max-tokens", type=int, metavar="N", help="cut longer documents to so many tokens")
    model.add_argument(
        "--dtype", default="float32", choices=("float32", "float16", "int8"), help="how activations are stored"
    )
    model.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    add_fields(learn.add_argument_group("reading the corpus"), ReadConfig)
    add_json_flag(learn)
    learn.set_defaults(act=_learn)
    scale = actions.add_parser("scale", help="learn the sites of a study again with other numbers of atoms, to compare")
    scale.add_argument("study", type=Path, help="the folder that sememe atoms learn MODEL --sites made")
    scale.add_argument("--sizes", type=int, nargs="+", required=True, metavar="ATOMS", help="such as 1024 2048 4096")
    scale.add_argument("--sites", nargs="+", metavar="SITE", help="only these (default: all)")
    add_json_flag(scale)
    scale.set_defaults(act=_scale)


def _learn(options: argparse.Namespace) -> int:
    from sememe import Atoms, Bank, Index
    from sememe.atoms.checkpoint import remove_checkpoint

    if options.sites is not None:
        return _learn_sites(options)
    started = time.perf_counter()
    config, source = read_fields(options, AtomsConfig), Path(options.source)
    if Index.is_index(source):
        with Index.open(source) as index:
            path = options.path or index.atoms_path
            atoms = index.learn_atoms(config=config, checkpoint=_checkpoint(path))
    else:
        path = options.path or source.with_suffix(".atoms")
        with Bank.open(source) as bank:
            atoms = Atoms.fit(bank, config=config, checkpoint=_checkpoint(path))
    atoms.save(path)
    remove_checkpoint(_checkpoint(path))
    if options.json:
        print_json(_figures(atoms))
        return 0
    _print_learned(atoms, path, time.perf_counter() - started)
    return 0


def _scale(options: argparse.Namespace) -> int:
    from sememe.atoms.scaling import known_sizes, learn_sizes
    from sememe.atoms.study import Study

    study = Study.open(options.study)
    sites = options.sites or study.sites
    for site in sites:
        for _ in learn_sizes(study, site, options.sizes):
            pass
    found = {site: known_sizes(study, site) for site in sites}
    if options.json:
        print_json({"sites": {site: [asdict(size) for size in sizes] for site, sizes in found.items()}})
        return 0
    rows = [
        (
            site,
            f"{size.n_atoms:,}",
            f"{size.r2:.3f}",
            f"{size.r2_train:.3f}",
            f"{size.mean_active:.1f}",
            "-" if size.recovered is None else f"{size.recovered:.1%}",
            f"{size.dead:,}",
        )
        for site, sizes in found.items()
        for size in sizes
    ]
    right = ["atoms", "R²", "R² train", "active", "recovered", "dead"]
    print_table(["site", *right], rows, right=right)
    return 0


def _checkpoint(path: Path) -> Path:
    return path.with_name(f"{path.name}.checkpoint")


def _figures(atoms: Atoms) -> dict[str, Any]:
    card = atoms.card
    figures = {"r2": card["r2"], "mean_active": card["mean_active"], "dead": card["dead"]}
    return {"atoms": atoms.n_atoms, **figures, "certificate": atoms.certificate}


def _print_learned(atoms: Atoms, path: Path, seconds: float) -> None:
    card, certificate = atoms.card, atoms.certificate
    print_facts(
        [
            ("atoms", f"{atoms.n_atoms:,} in {path}, {duration(seconds)}"),
            ("R² held out", f"{card['r2']:.3f} (on what they were learned from: {card['r2_train']:.3f})"),
            (
                "active",
                f"{card['mean_active']:.1f} of {atoms.n_atoms:,} a vector; {card['dead']} never, {card['dense']} often",
            ),
            (
                "certificate",
                f"{certificate['proved']:,} proved, {certificate['recovered']:,} recovered, "
                f"{certificate['uncertain']:,} uncertain, {certificate['unmeasured']:,} too rare to tell",
            ),
        ]
    )
    for warning in card.get("warnings", []):
        print(f"note: {warning}")


def _learn_sites(options: argparse.Namespace) -> int:
    from sememe import LanguageModel, read
    from sememe.atoms.study import learn_sites, plan_sites

    missing = [flag for flag, value in (("--corpus", options.corpus), ("--path", options.path)) if value is None]
    if missing:
        raise InputError(f"learning from a language model needs {' and '.join(missing)}")
    config = read_fields(options, AtomsConfig)
    corpus = read(options.corpus, **asdict(read_fields(options, ReadConfig)))
    lm = LanguageModel.load(options.source)
    arguments = {"config": config, "dtype": options.dtype, "max_tokens": options.max_tokens}
    plan = plan_sites(lm, corpus, options.sites, options.path, **arguments)
    if not options.json:
        _print_plan(plan)
    if options.dry_run:
        if options.json:
            print_json({"plan": asdict(plan)})
        return 0
    plan.check()
    learned = dict(learn_sites(lm, corpus, options.sites, options.path, **arguments))
    if options.json:
        print_json({"sites": {site: _figures(atoms) for site, atoms in learned.items()}})
        return 0
    print()
    print_study(learned)
    return 0


def _print_plan(plan: Plan) -> None:
    print_facts(
        [
            ("sites", f"{len(plan.sites)}: {', '.join(plan.sites[:4])}{', ...' if len(plan.sites) > 4 else ''}"),
            ("vectors", f"{plan.tokens:,} a site, one a token"),
            ("atoms", f"{plan.n_atoms:,} a site"),
            ("time", f"{duration(plan.harvest_seconds)} to harvest, {duration(plan.learn_seconds)} to learn"),
            ("disk", f"{size(plan.disk_bytes)} of {size(plan.disk_free)} free"),
            ("memory", f"{size(plan.memory_bytes)} beside the model"),
        ]
    )


def print_study(learned: dict[str, Atoms]) -> None:
    """A line for each site: held-out figures first, each control beside what it controls."""
    right = ["atoms", "R²", "R² train", "active", "q*", "random", "proved", "recovered", "dead"]
    print_table(["site", *right], [_study_row(site, atoms) for site, atoms in learned.items()], right=right)
    notes = {warning: None for atoms in learned.values() for warning in atoms.card.get("warnings", [])}
    for warning in notes:
        print(f"note: {warning}")


def _study_row(site: str, atoms: Atoms) -> list[str]:
    from sememe.atoms.certificate import recovered_share

    card, certificate = atoms.card, atoms.certificate
    recovered = recovered_share(certificate)
    return [
        site,
        f"{atoms.n_atoms:,}",
        f"{card['r2']:.3f}",
        f"{card['r2_train']:.3f}",
        f"{card['mean_active']:.1f}",
        f"{certificate['q_star']:.3f}",
        f"{certificate['q_star_random']:.3f}",
        f"{certificate['proved']:,}",
        "" if recovered is None else f"{recovered:.1%}",
        f"{card['dead']:,}",
    ]
