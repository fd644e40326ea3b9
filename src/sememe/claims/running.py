"""Running a claim: check what it needs, measure every seed, decide, write the result."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact, disk
from sememe.claims.claim import SCALES, Claim, Figures, Result, Setting, shared_folder
from sememe.claims.machine import describe_machine, peak_memory_mib, versions
from sememe.errors import InputError, SememeError
from sememe.extras import require
from sememe.progress import track

RESULTS = Path("results")


def run(
    claim: Claim,
    scale: str,
    data_dir: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    results_dir: str | Path = RESULTS,
) -> Result:
    """Run a claim and write `results_dir/ID-SCALE.json`; see `sememe.claims.run_claim`.

    Seeds that a stopped run has measured with the same code are not measured again.
    """
    if scale not in SCALES:
        raise InputError(f"there is no scale {scale!r}", hint=f"Choose from {', '.join(SCALES)}")
    cache = cache_folder(work_dir)
    work = cache / f"{claim.id}-{scale}" if work_dir is None else cache
    setting = Setting(scale, shared_folder(data_dir), work, cache)
    for name in claim.needs.get(scale, ()):
        setting.data(name)
    for module, extra in claim.extras.items():
        require(module, extra)
    started = time.perf_counter()
    disk.make_folder(setting.work)
    seeds = list(claim.seeds[scale])
    with claim.prepare(setting) as prepared:
        measured = [
            setting.kept.part(f"{claim.id}, seed {seed}", partial(_measure, claim, prepared, seed))
            for seed in track(seeds, f"Measuring {claim.id}", len(seeds), unit="seeds")
        ]
    by_seed = _by_name(claim, measured)
    result = Result(
        id=claim.id,
        scale=scale,
        about=claim.about(),
        figures={name: float(np.mean(values)) for name, values in by_seed.items()},
        intervals={name: interval(values) for name, values in by_seed.items() if len(values) > 1},
        by_seed=by_seed,
        conditions={each.text: bool(each.holds(by_seed)) for each in claim.threshold if scale in each.scales},
        seeds=seeds,
        versions=versions(),
        machine=describe_machine(),
        seconds=round(time.perf_counter() - started + setting.kept.seconds, 1),
        peak_memory_mib=round(peak_memory_mib(), 1),
    )
    disk.make_folder(Path(results_dir))
    disk.write_file(result_path(results_dir, claim.id, scale), artifact.dump_json(result.as_dict()))
    setting.kept.clear()
    return result


def result_path(results_dir: str | Path, claim_id: str, scale: str) -> Path:
    """The file of one result."""
    return Path(results_dir) / f"{claim_id}-{scale}.json"


def interval(values: Sequence[float]) -> list[float]:
    """The 95% interval of the mean of two or more values, by Student's t."""
    from scipy.stats import t

    mean, n = float(np.mean(values)), len(values)
    reach = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return [mean - reach, mean + reach]


def cache_folder(given: str | Path | None) -> Path:
    """The folder that claims keep what takes long in: as given, or below the cache folder of Sememe."""
    if given is not None:
        return Path(given)
    return disk.cache_folder() / "claims"


def _measure(claim: Claim, prepared: Any, seed: int) -> dict[str, Any]:
    figures = {name: float(value) for name, value in claim.measure(prepared, seed).items()}
    unusable = [name for name, value in figures.items() if not math.isfinite(value)]
    if unusable:
        raise SememeError(f"gave no usable figures: {', '.join(unusable)}", where=claim.id)
    return figures


def _by_name(claim: Claim, measured: Sequence[Mapping[str, float]]) -> Figures:
    names = list(measured[0])
    if any(list(figures) != names for figures in measured):
        raise SememeError("gave no usable figures: seeds differ", where=claim.id)
    return {name: [figures[name] for figures in measured] for name in names}
