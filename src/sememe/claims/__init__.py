"""Claims: headline results as experiments that anybody can run again."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sememe.claims.claim import SCALES, Claim, Condition, Figures, Result, Setting, shared_folder
from sememe.errors import InputError

__all__ = [
    "CLAIMS",
    "SCALES",
    "Claim",
    "Condition",
    "Figures",
    "Result",
    "Setting",
    "list_claims",
    "load_claim",
    "report",
    "run_claim",
    "shared_folder",
]

CLAIMS = {
    "explained_search": "sememe.claims.explained_search",
    "feed": "sememe.claims.feed",
    "held_out_task": "sememe.claims.held_out_task",
    "p01_atoms": "sememe.claims.p01_atoms",
    "p05_sae_circuits": "sememe.claims.p05_sae_circuits",
    "p06_feature_bias": "sememe.claims.p06_feature_bias",
    "p09_matryoshka": "sememe.claims.p09_matryoshka",
    "p10_dense_retrieval": "sememe.claims.p10_dense_retrieval",
    "p12_bidr": "sememe.claims.p12_bidr",
    "p17_ance_prf": "sememe.claims.p17_ance_prf",
    "p17_ance_prf_trained": "sememe.claims.p17_ance_prf_trained",
    "p20_binary_codes": "sememe.claims.p20_binary_codes",
    "p21_bag_of_words": "sememe.claims.p21_bag_of_words",
    "p24_contriever": "sememe.claims.p24_contriever",
    "p25_crisp": "sememe.claims.p25_crisp",
    "p25_crisp_trained": "sememe.claims.p25_crisp_trained",
    "p26_revela": "sememe.claims.p26_revela",
    "p26_revela_trained": "sememe.claims.p26_revela_trained",
}
"""Claim id -> the module that holds it as `CLAIM`; imported only when it is asked for."""


def load_claim(claim_id: str) -> Claim:
    """A claim by its id.

    Raises:
        InputError: there is no such claim; the hint lists those that there are.

    """
    if claim_id not in CLAIMS:
        raise InputError(f"there is no claim {claim_id!r}", hint=f"Choose from {', '.join(CLAIMS)}")
    claim: Claim = importlib.import_module(CLAIMS[claim_id]).CLAIM
    return claim


def list_claims(results_dir: str | Path = "results") -> list[dict[str, Any]]:
    """All claims: `id`, `title` and `status`, such as "tiny holds, small does not hold" or "not run".

    Raises:
        ArtifactError: a result file is damaged.

    """
    from sememe.claims.report import read_results

    found: dict[str, list[str]] = {}
    for result in read_results(Path(results_dir)):
        found.setdefault(result.id, []).append(f"{result.scale} {'holds' if result.holds else 'does not hold'}")
    return [
        {"id": claim_id, "title": load_claim(claim_id).title, "status": ", ".join(found.get(claim_id, ["not run"]))}
        for claim_id in CLAIMS
    ]


def run_claim(
    claim_id: str,
    scale: str = "tiny",
    data_dir: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    results_dir: str | Path = "results",
) -> Result:
    """Run a claim and write its result file, `results_dir/ID-SCALE.json`.

    Args:
        claim_id: one of `CLAIMS`.
        scale: `tiny` (seconds, made data), `small` (minutes, real data) or `full` (the paper's own).
        data_dir: the folder that holds `data/NAME`; the environment variable SEMEME_SHARED, or `../shared`, if not
            given.
        work_dir: where what takes long to make is kept and found again, such as an index; in the cache folder if
            not given.
        results_dir: where the result goes.

    Raises:
        InputError: there is no such claim or scale, or a data set is missing.
        MissingExtraError: a package that it needs is not installed.

    """
    from sememe.claims.running import run

    return run(load_claim(claim_id), scale, data_dir, work_dir=work_dir, results_dir=results_dir)


def report(results_dir: str | Path = "results", path: str | Path = "docs/claims.md") -> Path:
    """Render all result files into one page and return its path.

    Raises:
        ArtifactError: a result file is damaged.

    """
    from sememe.claims.report import write_report

    write_report(Path(results_dir), Path(path))
    return Path(path)
