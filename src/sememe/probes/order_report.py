"""The report on what a text encoder does with the order of words, beside a bag of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sememe.probes.perturb import Perturber
from sememe.probes.plots import bar_plot
from sememe.probes.report import ProbeReport, Table
from sememe.probes.swap_templates import attribute_cases, converse_cases
from sememe.probes.word_order import (
    BagOfWords,
    Encode,
    OrderReport,
    Preference,
    Sensitivity,
    order_test,
    sensitivity,
    swap_test,
)

N_CONVERSE, N_ATTRIBUTE = 1200, 800
DEAF, HEARS = 0.5, 0.75


def order_report(
    model: str,
    encode: Encode,
    texts: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    *,
    tagger: str = "auto",
    random_state: int = 0,
) -> ProbeReport:
    """How often an encoder prefers the text that says the same.

    Args:
        model: its name.
        encode: texts -> vectors (n, d).
        texts: texts of the user's own, whose words are put in other orders.
        pairs: a query and a text that says the same; each is asked for among its perturbations.
        tagger: of words; see `sememe.probes.tagging`.
        random_state: of cases and permutations.

    Raises:
        InputError: no text or pair can be used.
        ModelError: the encoder does not give one finite vector a text.
    """
    used = Perturber(tagger).tagger  # an unknown one is refused before anything is encoded
    bag = BagOfWords().encode
    cases = {
        "converse": converse_cases(N_CONVERSE, random_state),
        "attribute": attribute_cases(N_ATTRIBUTE, random_state),
    }
    swapped = {name: (swap_test(encode, each), swap_test(bag, each)) for name, each in cases.items()}
    tables = [_swap_table(swapped), _kind_table(swapped["converse"][0])]
    figures: dict[str, Any] = {
        "model": model,
        **{name: {**asdict(found), "bag_of_words": rival.accuracy} for name, (found, rival) in swapped.items()},
    }
    facts = [("model", model)]
    moved = None
    if texts:
        moved = sensitivity(encode, texts, Perturber(tagger, random_state))
        tables.append(_moved_table(moved))
        figures["sensitivity"] = asdict(moved)
        facts += [("texts", f"{moved.n:,}, words tagged by {used}")]
    if pairs:
        found = order_test(encode, pairs, Perturber(tagger, random_state))
        rival = order_test(bag, pairs, Perturber(tagger, random_state))
        tables.append(_order_table(found, rival))
        figures["order"] = {**asdict(found), "bag_of_words": rival.p_at_1}
        facts += [("pairs", f"{found.n:,}, {found.skipped} left out with fewer than two words")]
    facts.append(("verdict", _verdict(swapped["converse"][0], moved)))
    bars = [(name, found.accuracy, *found.interval) for name, (found, _) in swapped.items()]
    plots = {"order.svg": bar_plot(f"{model}: prefers what says the same (line: guessing)", bars, marks=[0.5, 0.5])}
    said = ["the lists of swapped sentences and the fallback tagger are English"]
    return ProbeReport("order", model, facts, tables, said, figures, plots)


def _swap_table(swapped: dict[str, tuple[Preference, Preference]]) -> Table:
    right = ["right", "95%", "bag of words", "guessing", "cosine, true", "false"]
    rows = [
        [
            name,
            f"{found.accuracy:.3f}",
            f"{found.interval[0]:.3f} {found.interval[1]:.3f}",
            f"{rival.accuracy:.3f}",
            "0.500",
            f"{found.true:.3f}",
            f"{found.false:.3f}",
        ]
        for name, (found, rival) in swapped.items()
    ]
    return Table("prefers the sentence that says the same", ["test", *right], rows, right)


def _kind_table(found: Preference) -> Table:
    rows = [[kind, f"{value:.3f}"] for kind, value in sorted(found.by_kind.items(), key=lambda item: item[1])]
    return Table("converse, by relation", ["relation", "right"], rows, ["right"])


def _moved_table(moved: Sensitivity) -> Table:
    right = ["cosine", "nearer than any other text"]
    rows = [[kind, f"{value:.3f}", f"{moved.nearer[kind]:.1%}"] for kind, value in moved.cosine.items()]
    rows += [
        ["the nearest other text", f"{moved.nearest_other:.3f}", ""],
        ["two texts", f"{moved.random_pair:.3f}", ""],
    ]
    return Table("your texts with their words in another order", ["perturbation", *right], rows, right)


def _order_table(found: OrderReport, rival: OrderReport) -> Table:
    right = ["score", "bag of words", "unchanged"]
    rows = [
        [f"first of all (guessing {found.chance:.2f})", f"{found.p_at_1:.3f}", f"{rival.p_at_1:.3f}", ""],
        *[
            [f"before: {kind}", f"{value:.3f}", f"{rival.pairwise[kind]:.3f}", f"{found.unchanged[kind]:.1%}"]
            for kind, value in found.pairwise.items()
        ],
    ]
    return Table("your pairs: the true text among its perturbations", ["rank", *right], rows, right)


def _verdict(converse: Preference, moved: Sensitivity | None) -> str:
    if converse.interval[1] < DEAF:
        said = "it ranks a sentence with its roles swapped above one that says the same: it hears words, not order"
    elif converse.interval[0] > HEARS:
        said = "it tells who does what to whom"
    else:
        said = "it tells who does what to whom hardly better than by guessing"
    if moved is not None and moved.nearer.get("swaps", 0.0) > HEARS:
        said += f"; a text of yours with two words swapped is nearer than any other text in {moved.nearer['swaps']:.0%}"
    return said
