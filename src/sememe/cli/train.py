"""`sememe train`: encoders trained on the user's own texts."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_fields, add_json_flag, add_optional_fields, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, print_table, size
from sememe.corpus import ReadConfig
from sememe.errors import InputError
from sememe.models.scratch import ScratchConfig
from sememe.objectives import OBJECTIVES, objective_class, objective_config
from sememe.training.config import TrainingConfig

if TYPE_CHECKING:
    from sememe.models.trainable import TrainableEncoder
    from sememe.training.encoders import TrainedEncoder
    from sememe.training.objective import Objective
    from sememe.training.plan import Plan

SCRATCH = "scratch"


def parser() -> argparse.ArgumentParser:
    """The verb's parser."""
    parser = new_parser(
        "train", "Train models on your own texts.", "sememe train encoder papers.jsonl --out my-encoder"
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    encoder = kinds.add_parser(
        "encoder",
        help="an encoder, without labels",
        description="Train an encoder on a corpus, without labels, and measure it on texts that it never saw.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sememe train encoder papers.jsonl --out my-encoder\n"
        "  sememe train encoder papers.jsonl --from scratch --queue 4096 --steps 2000 --out my-encoder\n"
        "  sememe train encoder papers.jsonl --nest 32,64,128,384 --out my-encoder",
    )
    encoder.add_argument("source", metavar="CORPUS", help="any source that sememe index takes")
    encoder.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    encoder.add_argument(
        "--from", dest="start", default="minilm", metavar="MODEL", help="an encoder, or 'scratch' (default minilm)"
    )
    encoder.add_argument("--objective", default="contriever", choices=tuple(OBJECTIVES), help="what to learn")
    encoder.add_argument("--nest", metavar="SIZES", help="learn prefixes of these sizes too, such as 32,64,128")
    encoder.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    encoder.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    encoder.add_argument("--device", help="a torch device (default: the GPU when there is one)")
    add_json_flag(encoder)
    _add_options(encoder)
    return parser


def _add_options(encoder: argparse.ArgumentParser) -> None:
    def group(title: str) -> Any:
        return encoder.add_argument_group(title)

    add_fields(group("training"), TrainingConfig)
    known = set(_names(TrainingConfig))
    for name in OBJECTIVES:
        config = objective_config(name)
        add_optional_fields(group(f"--objective {name}"), config, leave_out=known)
        known |= set(_names(config))
    add_optional_fields(group(f"--from {SCRATCH}"), ScratchConfig, leave_out=known)
    add_fields(group("reading the corpus"), ReadConfig)


def _names(config: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    from sememe import read
    from sememe.training.encoders import EncoderTraining

    started = time.perf_counter()
    config = read_fields(options, TrainingConfig)
    objective = _objective(options)
    corpus = read(options.source, **dataclasses.asdict(read_fields(options, ReadConfig)))
    encoder = _start(options, corpus)
    with EncoderTraining(encoder, corpus, objective, options.out, config, resume=options.resume) as job:
        plan = job.plan()
        if not options.json:
            _print_plan(plan)
        if options.dry_run:
            if options.json:
                print_json({"plan": dataclasses.asdict(plan)})
            return 0
        plan.check()
        trained = job.run()
    if options.json:
        print_json({**trained.card, "path": str(trained.path), "seconds": time.perf_counter() - started})
        return 0
    _print_trained(trained, time.perf_counter() - started)
    return 0


def _objective(options: argparse.Namespace) -> Objective:
    """The objective that was asked for; options of others are refused."""
    chosen = objective_config(options.objective)
    for name in OBJECTIVES:
        foreign = set(_names(objective_config(name))) - set(_names(chosen))
        given = sorted(field for field in foreign if hasattr(options, field))
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is an option of --objective {name}")
    objective: Objective = objective_class(options.objective)(read_fields(options, chosen))
    if options.nest is None:
        return objective
    from sememe.objectives.nested import Nested

    return Nested(objective, _sizes(options.nest))


def _sizes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is no list of sizes", where="--nest", hint="Such as 32,64,128") from None


def _start(options: argparse.Namespace, corpus: Any) -> TrainableEncoder:
    from sememe.models.scratch import encoder_from_scratch
    from sememe.models.trainable import TrainableEncoder, as_trainable

    if options.start == SCRATCH:
        config = read_fields(options, ScratchConfig)
        return as_trainable(encoder_from_scratch((each.content for each in corpus), config, device=options.device))
    given = [name for name in _names(ScratchConfig) if name != "seed" and hasattr(options, name)]
    if given:
        raise InputError(f"--{given[0]} is an option of --from {SCRATCH}")
    return TrainableEncoder.load(options.start, device=options.device)


def _print_plan(plan: Plan) -> None:
    print_facts(
        [
            ("steps", f"{plan.steps:,}, {plan.examples:,} examples, {plan.trained / 1e6:.1f} M trained numbers"),
            ("time", f"{duration(plan.train_seconds)} to train, {duration(plan.measure_seconds)} to measure"),
            ("memory", size(plan.memory_bytes)),
            ("disk", f"{size(plan.disk_bytes)} of {size(plan.disk_free)} free, while it runs"),
        ]
    )


def _print_trained(trained: TrainedEncoder, seconds: float) -> None:
    card, verdict = trained.card, trained.verdict
    print()
    data = card["data"]
    left_out = f", {data['repeated']:,} repeated" if data["repeated"] else ""
    print_facts(
        [
            ("encoder", f"{trained.path}, {card['width']} dimensions, {card['similarity']}, {duration(seconds)}"),
            ("documents", f"{data['documents']:,}, {data['held_out']:,} held out{left_out}"),
            ("steps", f"{card['steps']:,}; the encoder is that of step {card['kept_step']:,}"),
            ("loss", f"{card['loss']['first']:.3f} at first, {card['loss']['last']:.3f} at last"),
        ]
    )
    print()
    if verdict.table:
        metrics = list(next(iter(verdict.table.values())))
        rows = [[name, *(f"{found[metric]:.3f}" for metric in metrics)] for name, found in verdict.table.items()]
        print_table([f"{verdict.questions} questions", *metrics], rows, right=metrics)
        print()
    for sentence in verdict.words:
        print(sentence)
