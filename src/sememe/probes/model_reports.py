"""Reports on a user's own model: what its representation favours, and what can be decoded from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from sememe.probes.labelled import LabelledTexts
from sememe.probes.linear import LinearProbe, linear_probe, text_types
from sememe.probes.model_bias import FeatureFigures, ModelBias, halves, model_bias
from sememe.probes.plots import bar_plot, line_plot
from sememe.probes.reading import Representation
from sememe.probes.report import ProbeReport, Table

_VARIANCE = ("share", "95%", "permuted", "unique", "balanced", "component", "its |r|")
_DECODED = ("accuracy", "95%", "majority", "control", "selectivity", "its 95%")


def bias_report(found: Sequence[Representation], table: LabelledTexts, *, random_state: int = 0) -> ProbeReport:
    """How much variance each feature takes at each site, and how well it is decoded.

    Args:
        found: representations of the table's texts.
        table: the texts and their features.
        random_state: of the halves.

    Raises:
        InputError: there are too few texts; see `model_bias`.
    """
    measured = [(each, model_bias(each.X, table, random_state=random_state)) for each in found]
    first = measured[0][1]
    facts = [
        *_facts(found, table),
        ("measured on", f"{first.n_test:,} texts, fitted on {first.n_fit:,} others"),
        (
            "explained",
            "; ".join(f"{each.site} {bias.joint:.1%}" for each, bias in measured) + " by all features together",
        ),
    ]
    tables = [each_table for each, bias in measured for each_table in _bias_tables(each.site, bias)]
    said = [*_left_out(table), *_together([(each.site, bias.warnings) for each, bias in measured])]
    figures = {
        "model": found[0].model,
        "texts": len(table),
        "sites": {each.site: _bias_figures(bias) for each, bias in measured},
        "left_out": dict(table.left_out),
    }
    return ProbeReport("bias", _subject(found), facts, tables, said, figures, _bias_plots(measured))


def linear_report(found: Sequence[Representation], table: LabelledTexts, *, random_state: int = 0) -> ProbeReport:
    """How well a linear probe decodes each feature at each site, and its control task; see `bias_report`."""
    fit, test = halves(table.texts, random_state)
    types = text_types(table.texts)
    probes = {
        each.site: {
            feature.name: linear_probe(each.X, feature.labels, types, fit, test, random_state=random_state)
            for feature in table.features
        }
        for each in found
    }
    tables = [_decoded_table(site, of_site) for site, of_site in probes.items()]
    known = float(np.mean([probe.known_types for probe in next(iter(probes.values())).values()]))
    facts = [
        *_facts(found, table),
        ("measured on", f"{len(test):,} texts, fitted on {len(fit):,} others"),
        (
            "control task",
            f"a random label for each text's commonest rare word; {known:.0%} of them were seen in fitting",
        ),
    ]
    said = [*_left_out(table), *_together([(site, _probe_notes(of_site)) for site, of_site in probes.items()])]
    figures = {
        "model": found[0].model,
        "texts": len(table),
        "sites": {site: {name: asdict(probe) for name, probe in each.items()} for site, each in probes.items()},
    }
    return ProbeReport("linear", _subject(found), facts, tables, said, figures, _probe_plots(probes))


def _facts(found: Sequence[Representation], table: LabelledTexts) -> list[tuple[str, str]]:
    sites = ", ".join(f"{each.site} ({each.X.shape[1]})" for each in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return [("model", found[0].model), ("site", f"{sites}{more}"), ("texts", f"{len(table):,} of {table.name}")]


def _subject(found: Sequence[Representation]) -> str:
    sites = found[0].site if len(found) == 1 else f"{len(found)} sites, {found[0].site} to {found[-1].site}"
    return f"{found[0].model}, {sites}"


def _bias_tables(site: str, bias: ModelBias) -> list[Table]:
    ordered = sorted(bias.features, key=lambda figures: -figures.share)
    rows = [_variance_row(figures) for figures in ordered]
    return [
        Table(f"{site}: share of variance", ["feature", *_VARIANCE], rows, _VARIANCE),
        _decoded_table(site, {figures.name: figures.probe for figures in ordered}),
    ]


def _variance_row(figures: FeatureFigures) -> list[str]:
    return [
        figures.name,
        f"{figures.share:.1%}",
        f"{figures.interval[0]:.1%} {figures.interval[1]:.1%}",
        f"{figures.null:.1%}",
        f"{figures.unique:.1%}",
        "" if figures.balanced is None else f"{figures.balanced:.1%}",
        str(figures.component),
        f"{figures.component_r:.2f}",
    ]


def _decoded_table(site: str, probes: Mapping[str, LinearProbe]) -> Table:
    rows = [_probe_row(name, probe) for name, probe in probes.items()]
    return Table(f"{site}: decoded by a linear probe", ["feature", *_DECODED], rows, _DECODED)


def _bias_figures(bias: ModelBias) -> dict[str, object]:
    return {
        "joint": bias.joint,
        "dimensions": bias.dimensions,
        "n_fit": bias.n_fit,
        "n_test": bias.n_test,
        "warnings": list(bias.warnings),
        "features": {figures.name: asdict(figures) for figures in bias.features},
    }


def _bias_plots(measured: Sequence[tuple[Representation, ModelBias]]) -> dict[str, str]:
    last, bias = measured[-1]
    ordered = sorted(bias.features, key=lambda figures: -figures.share)
    plots = {
        "variance.svg": bar_plot(
            f"{last.model}, {last.site}: share of variance (line: permuted values)",
            [(figures.name, figures.share, *figures.interval) for figures in ordered],
            marks=[figures.null for figures in ordered],
        )
    }
    if len(measured) > 1:
        names = [figures.name for figures in bias.features]
        series = {name: [_of(each, name).share for _, each in measured] for name in names}
        plots["sites.svg"] = line_plot(
            f"{last.model}: share of variance by site", range(len(measured)), series, "site, as in the tables"
        )
    return plots


def _of(bias: ModelBias, name: str) -> FeatureFigures:
    return next(figures for figures in bias.features if figures.name == name)


def _probe_row(name: str, probe: LinearProbe) -> list[str]:
    return [
        name,
        f"{probe.accuracy:.3f}",
        f"{probe.interval[0]:.3f} {probe.interval[1]:.3f}",
        f"{probe.majority:.3f}",
        f"{probe.control:.3f}",
        f"{probe.selectivity:+.3f}",
        f"{probe.selectivity_interval[0]:+.3f} {probe.selectivity_interval[1]:+.3f}",
    ]


def _probe_notes(probes: dict[str, LinearProbe]) -> list[str]:
    said = []
    for name, probe in probes.items():
        if probe.interval[0] <= probe.majority:
            said.append(f"{name!r} is decoded no better than by always saying the most frequent value")
        elif probe.selectivity_interval[0] <= 0:
            said.append(f"{name!r} is decoded no better than random labels learned by heart: the probe does the work")
    return said


def _probe_plots(probes: dict[str, dict[str, LinearProbe]]) -> dict[str, str]:
    site, last = list(probes.items())[-1]
    bars = [(name, probe.accuracy, *probe.interval) for name, probe in last.items()]
    majorities = [probe.majority for probe in last.values()]
    plots = {"accuracy.svg": bar_plot(f"{site}: accuracy (line: most frequent value)", bars, marks=majorities)}
    if len(probes) > 1:
        series = {name: [of_site[name].selectivity for of_site in probes.values()] for name in last}
        plots["sites.svg"] = line_plot("Selectivity by site", range(len(probes)), series, "site, as in the tables")
    return plots


def _left_out(table: LabelledTexts) -> list[str]:
    return [f"{name!r} is left out: it {reason}" for name, reason in table.left_out.items()]


def _together(by_site: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Warnings, each with its site when there are several; what holds for all sites is said once."""
    if len(by_site) == 1:
        return list(by_site[0][1])
    common = [text for text in by_site[0][1] if all(text in said for _, said in by_site)]
    return common + [f"{site}: {text}" for site, said in by_site for text in said if text not in common]
