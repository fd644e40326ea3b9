"""`sememe probe`: what a representation favours, what can be decoded from it, whether it uses the order of words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_fields, add_json_flag, new_parser, read_fields
from sememe.cli.output import print_facts, print_json, print_table
from sememe.errors import InputError
from sememe.probes.bench_config import BenchConfig

if TYPE_CHECKING:
    from sememe.probes.labelled import LabelledTexts
    from sememe.probes.reading import Representation
    from sememe.probes.report import ProbeReport

_MAPPINGS = ("features", "prevalence", "outputs", "widths")
_EXAMPLES = """sememe probe bias minilm --features labels.csv
  sememe probe bias smollm2-135m --site 'layers.*.residual' --features labels.csv --out study/probes/labels
  sememe probe linear my.bank --features labels.jsonl
  sememe probe order minilm --texts captions.txt
  sememe probe similarity minilm wordllama --texts papers.jsonl
  sememe probe bench --features easy=linear,hard=parity4 --seeds 5"""


def parser() -> argparse.ArgumentParser:
    parser = new_parser("probe", "What a representation favours, ignores, or confuses.", _EXAMPLES)
    actions = parser.add_subparsers(dest="action", required=True, metavar="bias | linear | order | similarity | bench")
    for name, told in (
        ("bias", "how much of the variance each of your features takes, and how well it is decoded"),
        ("linear", "linear probes with control tasks"),
    ):
        action = actions.add_parser(name, help=told)
        _add_source(action)
        _add_features(action, required=True)
        _add_common(action)
        action.set_defaults(report=_bias if name == "bias" else _linear)
    _add_order(actions)
    _add_similarity(actions)
    _add_bench(actions)
    return parser


def run(options: argparse.Namespace) -> int:
    report: ProbeReport = options.report(options)
    if options.out is not None:
        report.save(options.out)
    if options.json:
        print_json({**report.figures, "warnings": list(report.warnings)})
        return 0
    facts = [*report.facts, *([("written to", str(options.out))] if options.out is not None else [])]
    print_facts(facts)
    for table in report.tables:
        print(f"\n{table.title}")
        print_table(table.columns, table.rows, right=table.right)
    if report.warnings:
        print("\nBefore you use these figures:")
        for warning in report.warnings:
            print(f"- {warning}")
    return 0


def _add_order(actions: Any) -> None:
    order = actions.add_parser("order", help="whether a text encoder uses the order of words")
    _add_source(order)
    order.add_argument(
        "--texts", metavar="FILE", help="your texts: a .txt file, one a line, or what sememe index takes"
    )
    order.add_argument("--pairs", metavar="FILE", help="JSON lines with query and text, which says the same")
    order.add_argument("-n", type=int, default=500, help="texts and pairs at most (default 500)")
    order.add_argument("--tagger", default="auto", help="of words: auto, spacy or lexicon (default auto)")
    _add_common(order)
    order.set_defaults(report=_order)


def _add_similarity(actions: Any) -> None:
    similarity = actions.add_parser("similarity", help="how alike two models are on the same texts, and what misleads")
    similarity.add_argument("model", metavar="FIRST", help="an encoder, a language model with --site, or a bank")
    similarity.add_argument("second", metavar="SECOND", help="the other")
    _add_reading(similarity)
    similarity.add_argument("--site-second", metavar="SITE", help="of the second, if it is a language model")
    similarity.add_argument("--texts", metavar="FILE", help="texts without features")
    _add_features(similarity, required=False)
    similarity.add_argument("-n", type=int, default=500, help="texts at most (default 500)")
    similarity.add_argument("--metric", default="euclidean", choices=("euclidean", "cosine", "correlation"))
    _add_common(similarity)
    similarity.set_defaults(report=_similarity)


def _add_bench(actions: Any) -> None:
    bench = actions.add_parser("bench", help="networks whose features matter equally: what they, and measures, favour")
    default = "easy=linear,hard=xor"
    bench.add_argument("--features", default=default, help=f"NAME=KIND,... (default {default})")
    bench.add_argument("--prevalence", default="", help="NAME=SHARE,...: the part of the inputs whose answer is known")
    bench.add_argument("--outputs", default="", help="NAME,...: the order in which a transformer answers")
    widths = ",".join(map(str, BenchConfig().widths))
    bench.add_argument("--widths", default=widths, help=f"hidden layers of the MLP (default {widths})")
    bench.add_argument("--seeds", type=int, default=3, help="networks (default 3)")
    bench.add_argument("--measure", default="", help="NAME,... (default all): r2, pca, rsa, units, probe, atoms, ...")
    add_fields(bench, BenchConfig, leave_out=_MAPPINGS)
    _add_common(bench)
    bench.set_defaults(report=_bench)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL_OR_BANK", help="an encoder, a language model with --site, or the folder of a bank"
    )
    _add_reading(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", help="site or sites of a language model, such as 'layers.*.residual'")
    parser.add_argument(
        "--tokens",
        choices=("mean", "last"),
        default="mean",
        help="the last of a text, or the mean of all but the first (default)",
    )
    parser.add_argument("--max-tokens", type=int, help="cut longer texts; of language models")
    parser.add_argument("--device", help="a torch device (default: the GPU when there is one)")


def _add_features(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--features", required=required, metavar="FILE", help="CSV or JSON lines: a text and its features a record"
    )
    parser.add_argument("--columns", default="", help="the features to use (default: all that can be)")
    parser.add_argument("--text-field", help="the field that holds the text (default: text, abstract, ...)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--random-state", type=int, default=0, help="of halves, cases and permutations (default 0)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write report and plots, such as STUDY/probes/NAME")
    add_json_flag(parser)


def _bias(options: argparse.Namespace) -> ProbeReport:
    from sememe.probes.model_reports import bias_report

    table = _table(options)
    return bias_report(_represented(options, table), table, random_state=options.random_state)


def _linear(options: argparse.Namespace) -> ProbeReport:
    from sememe.probes.model_reports import linear_report

    table = _table(options)
    return linear_report(_represented(options, table), table, random_state=options.random_state)


def _order(options: argparse.Namespace) -> ProbeReport:
    from sememe.probes.order_report import order_report
    from sememe.probes.reading import encoder_of
    from sememe.probes.sources import read_pairs, read_texts

    texts = read_texts(options.texts, options.n)[1] if options.texts else []
    pairs = read_pairs(options.pairs, options.n) if options.pairs else []
    encode = encoder_of(options.model, options.site, tokens=options.tokens, device=options.device)
    return order_report(options.model, encode, texts, pairs, tagger=options.tagger, random_state=options.random_state)


def _similarity(options: argparse.Namespace) -> ProbeReport:
    from sememe.probes.comparison_report import similarity_report
    from sememe.probes.labelled import unlabelled
    from sememe.probes.sources import read_texts

    if bool(options.texts) == bool(options.features):
        raise InputError("give --texts or --features", where="sememe probe similarity", hint="One of them, not both")
    if options.features:
        table = _table(options, options.n)
    else:
        table = unlabelled(*read_texts(options.texts, options.n), name=Path(options.texts).name)
    first = _represented(options, table)
    options.model, options.site = options.second, options.site_second
    second = _represented(options, table)
    if len(first) > 1 or len(second) > 1:
        raise InputError("compare one site with one site", where="--site", hint="Run it once a pair")
    return similarity_report(first[0], second[0], table, metric=options.metric, random_state=options.random_state)


def _bench(options: argparse.Namespace) -> ProbeReport:
    from sememe.probes.audit import MEASURES
    from sememe.probes.bench_report import bench_report

    mappings: dict[str, Any] = {
        "features": _pairs_of(options.features, "--features"),
        "prevalence": {name: _number(share) for name, share in _pairs_of(options.prevalence, "--prevalence").items()},
        "outputs": tuple(_listed(options.outputs)),
        "widths": tuple(int(_number(width)) for width in _listed(options.widths)),
    }
    config = read_fields(options, BenchConfig, **mappings)
    return bench_report(config, options.seeds, _listed(options.measure) or tuple(MEASURES))


def _table(options: argparse.Namespace, limit: int | None = None) -> LabelledTexts:
    from sememe.probes.labelled import read_labelled

    return read_labelled(options.features, _listed(options.columns), text_field=options.text_field, limit=limit)


def _represented(options: argparse.Namespace, table: LabelledTexts) -> list[Representation]:
    from sememe.probes.reading import represent

    return represent(
        options.model,
        table.ids,
        table.texts,
        options.site,
        tokens=options.tokens,
        max_tokens=options.max_tokens,
        device=options.device,
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs_of(text: str, flag: str) -> dict[str, str]:
    found = {}
    for part in _listed(text):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise InputError(f"{part!r} is not NAME=VALUE", where=flag)
        found[name.strip()] = value.strip()
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number", where="sememe probe bench") from None
