"""Rendering results as a page, from the result files and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from sememe import artifact, disk
from sememe.claims.claim import SCALES, Result
from sememe.claims.tables import markdown

PAGE = Path("docs/claims.md")

_HEAD = """# Claims

Headline results that anybody can run again: `sememe claims run ID --scale tiny|small|full`. Each has a threshold that
was fixed before its first run; one that does not hold is reported as not holding. *tiny* only checks the machinery on
made data; *small* is the reproduction on real data; *full* is the paper's own scale. Figures are means over seeds with
95% intervals (Student's t over the seeds); those without one are the same with every seed.

This page is made by `sememe claims report` from `results/*.json` and from nothing else.
"""


def read_results(results_dir: Path) -> list[Result]:
    """All results of a folder, by claim and scale.

    Raises:
        ArtifactError: a file is damaged.

    """
    paths = sorted(results_dir.glob("*.json"))
    results = [Result.from_dict(artifact.load_json(path), str(path)) for path in paths]
    return sorted(results, key=lambda result: (result.id, SCALES.index(result.scale)))


def write_report(results_dir: Path, path: Path) -> None:
    """Render all results of a folder into one page; see `sememe.claims.report`."""
    results = read_results(results_dir)
    blocks = [_HEAD, *_summary(results)]
    for _, group in groupby(results, key=lambda result: result.id):
        blocks += _section(list(group))
    disk.make_folder(path.parent)
    disk.write_file(path, "\n".join(blocks).encode())


def _summary(results: Sequence[Result]) -> Iterator[str]:
    if not results:
        yield "No claim has been run yet.\n"
        return
    yield "| claim | scale | holds | what is claimed |"
    yield "| --- | --- | --- | --- |"
    for result in results:
        yield f"| [`{result.id}`](#{result.id}) | {result.scale} | {_yes_no(result.holds)} | {result.about['title']} |"
    yield ""


def _section(results: Sequence[Result]) -> Iterator[str]:
    about = results[-1].about  # of the largest scale
    yield f"## {results[0].id}\n"
    yield f"{about['title']}\n"
    yield f"- **Paper's figure.** {about['paper'] or 'None: this claim is our own.'}"
    yield f"- **Protocol.** {about['protocol']}"
    yield f"- **Baselines.** {'; '.join(about['baselines'])}."
    yield f"- **Metric.** {about['metric']}\n"
    for result in results:
        yield from _result(result)


def _result(result: Result) -> Iterator[str]:
    yield f"### {result.id}, {result.scale}: {'holds' if result.holds else 'does not hold'}\n"
    yield "| threshold | held |"
    yield "| --- | --- |"
    for text, held in result.conditions.items():
        yield f"| {text} | {_yes_no(held)} |"
    yield ""
    yield from markdown(list(result.figures), partial(_figure, result))
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))
    yield (
        f"Seeds {', '.join(map(str, result.seeds))}; {result.seconds:.0f} s, peak memory of the process that ended it "
        f"{result.peak_memory_mib:,.0f} MiB on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_mib']:,} MiB; {versions}.\n"
    )


def _figure(result: Result, name: str) -> str:
    interval, value = result.intervals.get(name), _number(result.figures[name])
    if interval is None or min(result.by_seed[name]) == max(result.by_seed[name]):
        return value
    return f"{value} ({_number(interval[0])} to {_number(interval[1])})"


def _number(value: float) -> str:
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _yes_no(value: bool) -> str:
    return "yes" if value else "**no**"
