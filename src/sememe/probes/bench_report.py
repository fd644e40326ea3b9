"""The report on the training bench: what representations favour, what measures see of it, what tools inherit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from sememe.errors import InputError
from sememe.probes.audit import MEASURES, audit
from sememe.probes.bench_config import BenchConfig
from sememe.probes.downstream import pc_alignment, reuse_bias, steer_curve
from sememe.probes.feature_bias import BenchResult, run_bench
from sememe.probes.plots import line_plot
from sememe.probes.report import ProbeReport, Table

ALPHAS = (0.25, 0.5, 0.75, 1.0)


def bench_report(config: BenchConfig, n_seeds: int, measures: Sequence[str] = tuple(MEASURES)) -> ProbeReport:
    """Train networks and run measures on them.

    Args:
        config: the cell.
        n_seeds: how many networks.
        measures: of `MEASURES`.

    Raises:
        InputError: no network learned every feature, or a measure is unknown.
    """
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or n_seeds < 1:
        raise InputError(f"{n_seeds} seeds, measures {', '.join(measures)}", hint=f"Measures: {', '.join(MEASURES)}")
    bench = run_bench(config, range(n_seeds))
    if not bench.runs:
        raise InputError("no network learned every feature", where="the bench", hint="Raise --max-steps")
    audits = {name: audit(name, bench) for name in measures}
    names = list(config.features)
    kinds = ", ".join(f"{name} ({kind})" for name, kind in config.features.items())
    facts = [
        ("network", f"{config.arch}, {config.chosen_optimizer} at {config.chosen_rate:g}, read at {config.place}"),
        ("features", f"{kinds}: balanced, independent, equally important"),
        ("learned", f"{len(bench.runs)} of {n_seeds} networks learned all; the others are left out"),
    ]
    if "r2" in audits:
        facts.append(("verdict", audits["r2"].verdict.replace("this measure sees", "the representation holds")))
    tables = [_share_table(bench, names), _audit_table(audits, names)]
    figures: dict[str, Any] = {
        "config": {**asdict(config), "widths": list(config.widths), "outputs": list(config.outputs)},
        "learned": len(bench.runs),
        "excluded": [run.seed for run in bench.excluded],
        "share": {name: bench.shares(name).tolist() for name in names},
        "steps": [run.steps for run in bench.runs],
        "measures": {name: asdict(found) for name, found in audits.items()},
    }
    if config.arch == "mlp" and len(names) == 2:
        tables.append(_tool_table(bench, names))
    said = [f"{len(bench.excluded)} networks did not learn every feature"] if bench.excluded else []
    said += ["seeds vary a lot: give 5 or more before you compare cells"] if len(bench.runs) < 5 else []
    return ProbeReport("bench", f"{config.arch}: {kinds}", facts, tables, said, figures, _plots(bench, names))


def _share_table(bench: BenchResult, names: Sequence[str]) -> Table:
    right = ["share of variance", "sd", "learned at step", "units"]
    rows = []
    for name in names:
        shares = bench.shares(name)
        sd = f"{shares.std(ddof=1):.3f}" if len(shares) > 1 else ""
        learned = np.mean([run.learned_at[name] for run in bench.runs if name in run.learned_at] or [0])
        units = np.mean([run.density[name] for run in bench.runs])
        rows.append([name, f"{shares.mean():.3f}", sd, f"{learned:,.0f}", f"{units:.0f}"])
    joint = np.mean([run.explained.joint for run in bench.runs])
    rows.append(["all together", f"{joint:.3f}", "", "", ""])
    return Table("what the representation holds", ["feature", *right], rows, right)


def _audit_table(audits: dict[str, Any], names: Sequence[str]) -> Table:
    ratio = f"{names[0]} / {names[-1]}"
    rows = [
        [name, *(f"{np.mean(found.seen[feature]):.3g}" for feature in names), f"{found.ratio:.1f}"]
        for name, found in audits.items()
    ]
    return Table("what measures see", ["measure", *names, ratio], rows, [*names, ratio])


def _tool_table(bench: BenchResult, names: Sequence[str]) -> Table:
    components, norms, reuse = [], [], []
    for run in bench.runs:
        phi, F = run.phi[run.test], run.task.F[run.test]
        assert run.head is not None
        components.append(pc_alignment(phi, F, 1)[0])
        norms.append([steer_curve(phi, F, place, run.head, ALPHAS).norm for place in range(2)])
        reuse.append(reuse_bias(phi, F))
    first, second = np.mean(components, axis=0), np.mean(norms, axis=0)
    follows = float(np.mean(reuse))
    rows = [
        ["first component, |r|", *(f"{value:.2f}" for value in first)],
        ["length of the steering direction", *(f"{value:.1f}" for value in second)],
        ["a classifier of both, in conflict, follows", f"{follows:.1%}", f"{1 - follows:.1%}"],
    ]
    return Table("what tools inherit", ["", *names], rows, list(names))


def _plots(bench: BenchResult, names: Sequence[str]) -> dict[str, str]:
    run = bench.runs[0]
    lines = {f"variance, {name}": run.traced_variance[:, place].tolist() for place, name in enumerate(names)}
    lines |= {f"accuracy, {name}": run.traced_accuracy[:, place].tolist() for place, name in enumerate(names)}
    title = f"Network of seed {run.seed}: variance in units of the final total, and accuracy"
    return {"trajectory.svg": line_plot(title, run.traced_steps, lines, "step")}
