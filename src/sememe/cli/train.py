"""`sememe train`: encoders trained on the user's own texts."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli import codes, train_feedback
from sememe.cli.flags import add_fields, add_json_flag, add_prompts, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, print_table, size
from sememe.corpus import ReadConfig
from sememe.errors import InputError
from sememe.models.scratch import ScratchConfig
from sememe.objectives import OBJECTIVES, objective_class, objective_config
from sememe.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sememe.corpus import Corpus
    from sememe.models.trainable import EncoderChanges, TrainableEncoder
    from sememe.training.encoders import TrainedEncoder
    from sememe.training.objective import Objective
    from sememe.training.plan import Plan
    from sememe.training.verdict import Verdict

SCRATCH, PAIRS = "scratch", "pairs"


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
    encoder.add_argument("source", nargs="?", metavar="CORPUS", help="any source that sememe index takes")
    encoder.add_argument("--pairs", metavar="FILE", help="instead: records with query, positive and maybe negatives")
    encoder.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    encoder.add_argument(
        "--from",
        dest="start",
        default="minilm",
        metavar="MODEL",
        help="encoder, language model, or 'scratch' (default minilm)",
    )
    encoder.add_argument(
        "--objective", choices=tuple(OBJECTIVES), help="what to learn (default contriever; of --pairs: pairs)"
    )
    encoder.add_argument("--nest", metavar="SIZES", help="learn prefixes of these sizes too, such as 32,64,128")
    _add_changes(encoder.add_argument_group("changes to the encoder"))
    encoder.add_argument(
        "--eval",
        nargs="+",
        default=[],
        metavar="BEIR_DIR",
        help="measure on test collections too, before and after; python:PACKAGE: on installed code",
    )
    encoder.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    encoder.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    encoder.add_argument("--device", help="a torch device (default: the GPU when there is one)")
    add_json_flag(encoder)
    _add_options(encoder)
    train_feedback.add_parser(kinds)
    codes.add_parser(kinds)
    return parser


def _add_changes(group: Any) -> None:
    group.add_argument(
        "--normalize",
        choices=("yes", "no"),
        help="end with vectors of length one, compared by cosine, or with their own, compared by dot product "
        "(default: as the encoder's are compared)",
    )
    group.add_argument("--dense", type=int, metavar="WIDTH", help="put a linear layer of so many outputs at its end")
    group.add_argument("--lora", type=int, metavar="RANK", help="train low-rank adapters instead of the weights")
    add_prompts(group)


def _add_options(encoder: argparse.ArgumentParser) -> None:
    def group(title: str) -> Any:
        return encoder.add_argument_group(title)

    add_fields(group("training"), TrainingConfig)
    known = set(_names(TrainingConfig))
    for name in OBJECTIVES:
        config = objective_config(name)
        add_fields(group(f"--objective {name}"), config, leave_out=known)
        known |= set(_names(config))
    add_fields(group(f"--from {SCRATCH}"), ScratchConfig, leave_out=known)
    add_fields(group("reading the corpus"), ReadConfig)


def _names(config: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.what == "feedback":
        return train_feedback.run(options)
    if options.what == "codes":
        return codes.run_training(options)
    from sememe.training.encoders import EncoderTraining
    from sememe.training.workers import Workers

    workers = Workers.current()
    started = time.perf_counter()
    config = read_fields(options, TrainingConfig)
    objective = _objective(options)
    corpus = _corpus(options)
    encoder = _start(options, corpus, tokens=OBJECTIVES[_name(options)].compares_tokens)
    more = {"collections": options.eval, "resume": options.resume}
    with EncoderTraining(encoder, corpus, objective, options.out, config, **more) as job:
        plan = job.plan()
        if workers.is_first and not options.json:
            _print_plan(plan)
        if options.dry_run:
            if options.json:
                print_json({"plan": dataclasses.asdict(plan)})
            return 0
        plan.check()
        trained = job.run()
    if not workers.is_first:
        return 0
    if options.json:
        print_json({**trained.card, "path": str(trained.path), "seconds": time.perf_counter() - started})
        return 0
    _print_trained(trained, time.perf_counter() - started)
    return 0


def _name(options: argparse.Namespace) -> str:
    given: str | None = options.objective
    return given or ("contriever" if options.pairs is None else PAIRS)


def _objective(options: argparse.Namespace) -> Objective:
    """The objective that was asked for; options of others are refused."""
    name = _name(options)
    chosen = objective_config(name)
    if OBJECTIVES[name].takes_pairs != (options.pairs is not None):
        if options.pairs is None:
            raise InputError(f"--objective {name} and --pairs FILE belong together")
        raise InputError(f"--objective {name} learns from a CORPUS, not from --pairs")
    for other in OBJECTIVES:
        foreign = set(_names(objective_config(other))) - set(_names(chosen))
        given = sorted(field for field in foreign if hasattr(options, field))
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is an option of --objective {other}")
    objective: Objective = objective_class(name)(read_fields(options, chosen))
    if options.nest is None:
        return objective
    from sememe.objectives.nested import Nested

    return Nested(objective, _sizes(options.nest))


def _corpus(options: argparse.Namespace) -> Corpus:
    from sememe import read
    from sememe.objectives.pairs import read_pairs

    if (options.source is None) == (options.pairs is None):
        raise InputError("give a CORPUS to learn from, or --pairs FILE", hint="See sememe train encoder --help")
    how = dataclasses.asdict(read_fields(options, ReadConfig))
    return read(options.source, **how) if options.pairs is None else read_pairs(options.pairs, **how)


def _sizes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is no list of sizes", where="--nest", hint="Such as 32,64,128") from None


def _start(options: argparse.Namespace, corpus: Any, *, tokens: bool) -> TrainableEncoder:
    from sememe.models.scratch import encoder_from_scratch
    from sememe.models.trainable import TrainableEncoder, as_trainable
    from sememe.models.trainable_tokens import TrainableTokens

    changes = _changes(options)
    if options.start == SCRATCH and tokens:
        raise InputError(
            f"--objective {options.objective} starts from an encoder",
            where=f"--from {SCRATCH}",
            hint="Train one from scratch first, with --objective masked-lm or pairs",
        )
    if options.start == SCRATCH:
        if changes.normalize is False:
            raise InputError(
                "an encoder from scratch needs vectors of length one: other dot products saturate the softmax",
                where="--normalize no",
                hint="Leave it out",
            )
        config = read_fields(options, ScratchConfig)
        return as_trainable(encoder_from_scratch(_Contents(corpus), config, device=options.device), changes)
    given = [name for name in _names(ScratchConfig) if name != "seed" and hasattr(options, name)]
    if given:
        raise InputError(f"--{given[0]} is an option of --from {SCRATCH}")
    kind = TrainableTokens if tokens else TrainableEncoder
    return kind.load(options.start, changes, device=options.device)


def _changes(options: argparse.Namespace) -> EncoderChanges:
    from sememe.models.lora import LoraConfig
    from sememe.models.trainable import EncoderChanges

    seed = read_fields(options, TrainingConfig).seed
    lora = None if options.lora is None else LoraConfig(options.lora, 2.0 * options.lora, seed=seed)
    normalize = None if options.normalize is None else options.normalize == "yes"
    return EncoderChanges(normalize, options.dense, lora, seed, options.query_prompt, options.document_prompt)


class _Contents:
    """What a corpus says, text by text, as often as one asks."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def __iter__(self) -> Iterator[str]:
        return (document.content for document in self._corpus)


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
    _print_verdict("held-out questions", verdict)
    for name, found in trained.collections.items():
        _print_verdict(f"queries of {name}", found)


def _print_verdict(title: str, verdict: Verdict) -> None:
    print()
    if verdict.table:
        metrics = list(next(iter(verdict.table.values())))
        rows = [[name, *(f"{found[metric]:.3f}" for metric in metrics)] for name, found in verdict.table.items()]
        print_table([f"{verdict.questions} {title}", *metrics], rows, right=metrics)
    for sentence in verdict.words:
        print(sentence)
