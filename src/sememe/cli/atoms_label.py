"""`sememe atoms label`: labels, contexts and detection scores for the atoms of a study."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.cli.flags import add_fields, add_json_flag, read_fields
from sememe.cli.output import print_json, print_table
from sememe.corpus import ReadConfig

if TYPE_CHECKING:
    from sememe import Atoms


def add_parsers(actions: Any) -> None:
    """Add the action to the verb's parser."""
    label = actions.add_parser("label", help="label the atoms of a study, and score how well the labels predict")
    label.add_argument("study", type=Path, help="the folder that sememe atoms learn MODEL --sites made")
    label.add_argument("--corpus", required=True, help="the corpus that was harvested")
    label.add_argument("--model", help="the language model (default: the one that was harvested)")
    label.add_argument("--sites", nargs="+", metavar="SITE", help="only these (default: all)")
    add_fields(label.add_argument_group("reading the corpus"), ReadConfig)
    add_json_flag(label)
    label.set_defaults(act=_label)


def _label(options: argparse.Namespace) -> int:
    from sememe import LanguageModel, read
    from sememe.atoms.describing import describe
    from sememe.atoms.study import Study

    study = Study.open(options.study)
    sites = options.sites or study.sites
    atoms = {site: study.atoms(site) for site in sites}
    lm = LanguageModel.load(options.model or atoms[sites[0]].card["source"]["model"])
    corpus = read(options.corpus, **asdict(read_fields(options, ReadConfig)))
    for site in sites:
        with study.bank(site) as bank:
            contexts = describe(atoms[site], bank, lm, corpus)
        contexts.save(study.contexts_path(site))
        atoms[site].save(study.path / site)
    if options.json:
        print_json({"sites": {site: _figures(atoms[site]) for site in sites}})
        return 0
    right = ["labelled", "scored", "detection", "shuffled", "above 0.7"]
    print_table(["site", *right], [_row(site, atoms[site]) for site in sites], right=right)
    return 0


def _figures(atoms: Atoms) -> dict[str, Any]:
    assert atoms.detection is not None
    scores = atoms.detection.score[~np.isnan(atoms.detection.score)]
    return {
        "labelled": sum(bool(label) for label in atoms.labels),
        "scored": len(scores),
        "detection": atoms.detection.mean if len(scores) else None,
        "shuffled": atoms.detection.mean_shuffled if len(scores) else None,
        "above_0.7": float((scores > 0.7).mean()) if len(scores) else None,
    }


def _row(site: str, atoms: Atoms) -> list[str]:
    found = _figures(atoms)
    shown = [f"{found[name]:.3f}" if found["scored"] else "" for name in ("detection", "shuffled")]
    above = f"{found['above_0.7']:.0%}" if found["scored"] else ""
    return [site, f"{found['labelled']:,}", f"{found['scored']:,}", *shown, above]
