"""The report on how alike two models' representations of the same texts are."""

from __future__ import annotations

from dataclasses import asdict

from sememe.probes.labelled import LabelledTexts
from sememe.probes.plots import bar_plot
from sememe.probes.reading import Representation
from sememe.probes.report import ProbeReport, Table
from sememe.probes.similarity import Metric, compare_representations, linear_cka


def similarity_report(
    a: Representation,
    b: Representation,
    table: LabelledTexts,
    *,
    metric: Metric = "euclidean",
    permutations: int = 199,
    random_state: int = 0,
) -> ProbeReport:
    """Compare two representations of a table's texts, with and without each of its features.

    Args:
        a: one representation.
        b: the other.
        table: the texts; the length of a text is always one of its features.
        metric: of the dissimilarities.
        permutations: for the null.
        random_state: of the permutations.

    Raises:
        InputError: there are too few or too many texts.
    """
    features = {feature.name: feature.matrix for feature in table.features}
    found = compare_representations(
        a.X, b.X, features, metric=metric, permutations=permutations, random_state=random_state
    )
    right = ["value", "95%", "permuted", "p"]
    measures = {"RSA": found.rsa, "CKA, debiased": found.cka}
    rows = [
        [name, f"{m.value:.3f}", f"{m.interval[0]:.3f} {m.interval[1]:.3f}", f"{m.null:+.3f}", f"{m.p:.3f}"]
        for name, m in measures.items()
    ]
    plain = linear_cka(a.X, b.X, debiased=False)
    rows.append(["CKA, plain (biased upwards)", f"{plain:.3f}", "", "", ""])
    tables = [Table("likeness", ["measure", *right], rows, right)]
    without = ["RSA without", "CKA without", "share of the first", "share of the second"]
    tables.append(
        Table(
            "what it rests on",
            ["feature", *without],
            [
                [name, f"{found.rsa.without[name]:.3f}", f"{found.cka.without[name]:.3f}", f"{one:.1%}", f"{other:.1%}"]
                for name, (one, other) in found.shares.items()
            ],
            without,
        )
    )
    names = [f"{each.model}, {each.site}" for each in (a, b)]
    facts = [
        ("first", f"{names[0]}, {a.X.shape[1]} dimensions, first component {found.top_share[0]:.0%}"),
        ("second", f"{names[1]}, {b.X.shape[1]} dimensions, first component {found.top_share[1]:.0%}"),
        ("texts", f"{found.n:,} of {table.name}"),
    ]
    bars = [(name, m.value, *m.interval) for name, m in measures.items()]
    plot = bar_plot(f"{names[0]} and {names[1]}", bars, marks=[m.null for m in measures.values()])
    figures = {**asdict(found), "cka_plain": plain, "first": names[0], "second": names[1], "metric": metric}
    return ProbeReport(
        "similarity", " and ".join(names), facts, tables, found.warnings, figures, {"similarity.svg": plot}
    )
