"""Finding a circuit: ours, the paper's method, its controls, and patching where it is asked for; one result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from sememe.circuits.agreement import Agreement, agreement
from sememe.circuits.attention import attention_patterns
from sememe.circuits.circuit import Circuit
from sememe.circuits.faithfulness import faithfulness
from sememe.circuits.literature import published_heads
from sememe.circuits.patching import Kind, Patched, patch_heads
from sememe.circuits.published import Published, PublishedConfig, published_scores
from sememe.circuits.reliable import Reliable, ReliableConfig, reliable_scores
from sememe.circuits.scoring import edge_scores
from sememe.circuits.tasks import make_task
from sememe.errors import InputError
from sememe.version import __version__

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel

FEW_PAIRS = 50
ABLE, STILL = 0.8, 0.25
METHODS = {
    "reliable": "ours",
    "attribution": "ours, absolute after the mean",
    "unique": "the paper: unique codes",
    "normalised": "the paper: normalised",
    "z": "normalised against the null",
    "random_projection": "control: random projection",
    "mean_difference": "control: mean difference",
    "importance": "head importance (HISP), same gradients",
}
"""The kinds of evidence that rank heads, and how they are called in tables."""


@dataclass(frozen=True)
class FindConfig:
    """What is run.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    n: int = field(default=64, metadata={"help": "pairs of prompts (the paper has 250)"})
    corruption: str | None = field(
        default=None, metadata={"help": "how negative prompts are made (default: the task's)"}
    )
    patching_pairs: int = field(default=16, metadata={"help": "pairs that --patching patches every head on"})
    patching_kind: Kind = field(
        default="resample",
        metadata={
            "help": "what --patching gives a head: its work on the negative, the mean of that, or nothing (ablation)",
            "choices": get_args(Kind),
        },
    )
    faithfulness_pairs: int = field(default=16, metadata={"help": "pairs that faithfulness is measured on; 0: not"})
    examples: int = field(default=3, metadata={"help": "pairs whose attention is kept"})
    random_state: int = field(default=0, metadata={"help": "seed of prompts, autoencoder, permutations"})

    def __post_init__(self) -> None:
        least = {"n": 4, "patching_pairs": 1, "faithfulness_pairs": 0, "examples": 1}
        problems = [f"{name} is {getattr(self, name)}; give {low} or more" for name, low in least.items()
                    if getattr(self, name) < low]  # fmt: skip
        if problems:
            raise InputError("; ".join(problems), where="circuits")


def find_circuit(
    lm: LanguageModel,
    task: str,
    config: FindConfig | None = None,
    *,
    reliable: ReliableConfig | None = None,
    published: PublishedConfig | None = None,
    patching: bool = False,
    note: Callable[[str], object] | None = None,
) -> Circuit:
    """Find which attention heads do a task.

    Args:
        lm: the model.
        task: a built-in task's name, or a file of JSON lines.
        config: how much is run.
        reliable: our method's options.
        published: the paper's protocol.
        patching: patch every head too, and compare.
        note: called with a line before each part.

    Raises:
        InputError: there is no such task, it does not fit the model, or an option is out of range.

    """
    config = config or FindConfig()
    say = note or (lambda _: None)
    pairs = make_task(task, lm, config.n, config.random_state, config.corruption)
    say(f"reading {len(pairs)} pairs")
    ours = reliable_scores(lm, pairs, reliable)
    say("learning codes")
    theirs = published_scores(lm, pairs, published, config.random_state)
    patched = None
    if patching:
        say("patching every head")
        patched = patch_heads(lm, pairs.part(range(min(config.patching_pairs, len(pairs)))), config.patching_kind)
    circuit = _assembled(
        lm, pairs, ours, theirs, patched=patched, config=config, published=published or PublishedConfig()
    )
    if config.faithfulness_pairs:
        say("keeping only the circuit")
        part = pairs.part(range(min(config.faithfulness_pairs, len(pairs))))
        found = faithfulness(lm, part, circuit.heads.tolist(), random_state=config.random_state)
        circuit.card["faithfulness"] = {**asdict(found), "random_kept": list(found.random_kept), "n_pairs": len(part)}
    return circuit


def _assembled(
    lm: LanguageModel,
    task: Task,
    ours: Reliable,
    theirs: Published,
    *,
    patched: Patched | None,
    config: FindConfig,
    published: PublishedConfig,
) -> Circuit:
    evidence = _evidence(ours, theirs, patched)
    card: dict[str, Any] = {
        "model": lm.name,
        "task": task.name,
        "corruption": task.corruption,
        "n_layers": lm.n_layers,
        "n_heads": lm.n_heads,
        "n_pairs": len(task),
        "parameters": {"find": asdict(config), "reliable": asdict(ours.config), "published": asdict(published)},
        "seconds": {"reliable": ours.seconds, "published": theirs.seconds}
        | ({"patching": patched.seconds} if patched else {}),
        "ability": _ability(ours),
        "silent": theirs.silent,
        "agreement": {} if patched is None else _agreements(evidence, patched.circuit),
        "published": _published(lm, task, evidence),
        "warnings": _warnings(task, ours, patched),
        "examples": _examples(lm, task, config.examples),
        "sememe": __version__,
    }
    attention = [attention_patterns(lm, task.positive[row]).astype(np.float16) for row in range(len(card["examples"]))]
    circuit = Circuit(evidence, theirs.codes, attention, card)
    card["edges"] = _edges(circuit)
    return circuit


def _evidence(ours: Reliable, theirs: Published, patched: Patched | None) -> dict[str, np.ndarray]:
    counts, projected = theirs.counts, theirs.random_projection
    evidence = {
        "reliable": ours.scores,
        "attribution": ours.attributed.effect,
        "importance": ours.attributed.importance.mean(axis=0),
        "unique": counts.positive,
        "unique_negative": counts.negative,
        "total": counts.total,
        "normalised": counts.normalised,
        "null_mean": theirs.null.mean,
        "null_bound": theirs.null.bound,
        "z": theirs.null.z(counts.normalised),
        "random_projection": projected.normalised,
        "mean_difference": theirs.mean_difference,
    }
    if patched is not None:
        evidence["patching"] = patched.effect
    return {name: np.asarray(values, np.float64) for name, values in evidence.items()}


def _ability(ours: Reliable) -> dict[str, float]:
    """Whether the model does the task, on the pairs that our method read."""
    clean, corrupted = ours.attributed.clean, ours.attributed.corrupted
    return {
        "positive": float(clean.mean()),
        "negative": float(corrupted.mean()),
        "positive_right": float((clean > 0).mean()),
        "negative_right": float((corrupted > 0).mean()),
    }


def _published(lm: LanguageModel, task: Task, evidence: dict[str, np.ndarray]) -> dict[str, Any]:
    """Agreement with the circuit that was published for this model and task, with its source; else nothing."""
    known = published_heads(lm, task.name)
    return {} if known is None else {"source": known[0], "agreement": _agreements(evidence, known[1])}


def _agreements(evidence: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, dict[str, float]]:
    if not 0 < truth.sum() < len(truth):
        return {}

    def compared(name: str) -> Agreement:
        return agreement(np.abs(evidence[name]), truth)

    return {name: asdict(compared(name)) for name in METHODS}


def _warnings(task: Task, ours: Reliable, patched: Patched | None) -> list[str]:
    ability = _ability(ours)
    found = []
    if ability["positive_right"] < ABLE:
        found.append(
            f"the model prefers a right answer on only {ability['positive_right']:.0%} of the positive prompts: "
            "it may have no circuit for this task"
        )
    if ability["negative"] > STILL * ability["positive"]:
        found.append(
            f"it still prefers the same answer by {ability['negative']:.2f} nats on the negative prompts: "
            "they may not take the answer's ground away"
        )
    if len(task) < FEW_PAIRS:
        found.append(f"{len(task)} pairs are few for counting codes: below {FEW_PAIRS} a class the counts are coarse")
    if patched is None:
        found.append("nothing was checked against patching; --patching does that")
    return found


def _examples(lm: LanguageModel, task: Task, n: int) -> list[dict[str, Any]]:
    shown = range(min(n, len(task)))
    return [
        {
            "tokens": [lm.tokenizer.decode([token]) for token in task.positive[row]],
            "answer": list(task.pairs[row].answer),
            "wrong": list(task.pairs[row].wrong),
        }
        for row in shown
    ]


def _edges(circuit: Circuit) -> list[list[int]]:
    """Pairs of the circuit's heads, from the lower layer to the higher one, the most unique pairs of codes first."""
    heads = np.sort(circuit.heads)
    if len(heads) < 2:
        return []
    scores = edge_scores(circuit.codes[:, heads], int(circuit.card["n_pairs"]))
    pairs = [
        [int(heads[a]), int(heads[b]), int(scores[a, b])]
        for a in range(len(heads))
        for b in range(a + 1, len(heads))
        if heads[a] // circuit.n_heads < heads[b] // circuit.n_heads
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
