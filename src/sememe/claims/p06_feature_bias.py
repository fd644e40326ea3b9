"""Paper 06: representations favour features that are simple, learned first, frequent or answered first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting

if TYPE_CHECKING:
    from sememe.probes.feature_bias import BenchRun

MAIN, CONTROL, EASY_ONLY, HARD_ONLY = "linear and xor", "linear twice, Adam", "easy only", "hard only"
UNTRAINED = "untrained"
ORDER, PREVALENCE = "linear twice, a first", "linear twice, b known in 10%"
DECODER = "decoder, marker twice"
TWICE, MARKERS = {"a": "linear", "b": "linear"}, {"a": "marker", "b": "marker"}
ADAM = {"optimizer": "adam"}
COMPLEX = ("xor", "parity3", "parity4")
N_RSA, N_SHUFFLES = 400, 5

Cells = Mapping[str, Mapping[str, Any]]
_CORE: Cells = {
    MAIN: {},
    CONTROL: {"features": TWICE, **ADAM},
    EASY_ONLY: {"only": "easy"},
    HARD_ONLY: {"only": "hard"},
    UNTRAINED: {"max_steps": 0},
    ORDER: {"features": TWICE, "first": "a"},
    PREVALENCE: {"features": TWICE, "prevalence": {"b": 0.1}},
}
_TOKENS: Mapping[str, Any] = {
    "arch": "decoder", "features": MARKERS, "length": 8, "vocabulary": 16, "batch_size": 64, "n_train": 16_384,
    "n_val": 1024, "check_every": 50, "extra_steps": 300, "max_steps": 4000,
}  # fmt: skip
_ENCODED = {**_TOKENS, "arch": "transformer"}
_SWAPPED = {"outputs": ("b", "a")}
_MORE: Cells = {
    "linear and parity4": {"features": {"easy": "linear", "hard": "parity4"}},
    "linear and xor, hard first": {"first": "hard"},
    "linear and xor, Adam": ADAM,
    "linear and parity4, Adam": {"features": {"easy": "linear", "hard": "parity4"}, **ADAM},
    "linear and xor, 2 hidden layers": {"widths": (256, 64)},
    "linear and xor, 6 hidden layers": {"widths": (256, 128, 64, 64, 64, 64)},
    "linear and xor, half as wide": {"widths": (128, 64, 32, 32)},
    DECODER: _TOKENS,
    f"{DECODER}, b answered first": {**_TOKENS, **_SWAPPED},
    "decoder, marker and equal": {**_TOKENS, "features": {"easy": "marker", "hard": "equal"}},
    "encoder-decoder, marker twice": _ENCODED,
    "encoder-decoder, marker twice, b answered first": {**_ENCODED, **_SWAPPED},
}  # fmt: skip
_EXTRA: Cells = {
    "linear and parity4, Adam, dropout 0.25": {
        "features": {"easy": "linear", "hard": "parity4"},
        "dropout": 0.25,
        **ADAM,
    },
    **{
        f"linear and {kind}": {"features": {"easy": "linear", "hard": kind}}
        for kind in ("and", "or", "majority5", "xor_of_ands", "sum_mod3_is0", "parity3")
    },
    "linear and xor, momentum": {"optimizer": "momentum"},
    "linear and xor, AdamW": {"optimizer": "adamw"},
    "linear and xor, twice as wide": {"widths": (512, 256, 128, 128)},
}


@dataclass(frozen=True)
class _Size:
    """Which cells are trained, and what differs from the bench's defaults in all of them."""

    cells: Cells
    mlp: Mapping[str, Any]
    control: Mapping[str, Any]


_SMALLER = {"widths": (64, 32, 32), "n_train": 4096, "n_val": 512, "check_every": 50, "extra_steps": 300,
            "learning_rate": 0.2}  # fmt: skip
_FEWER = {"n_train": 4096, "n_val": 256, "extra_steps": 100, "batch_size": 32, "width": 16}
SIZES = {
    "tiny": _Size(
        {
            **_CORE,
            DECODER: {**_TOKENS, **_FEWER},
            f"{DECODER}, b answered first": {**_TOKENS, **_FEWER, **_SWAPPED},
        },
        _SMALLER,
        {"learning_rate": 0.0},
    ),
    "small": _Size({**_CORE, **_MORE}, {}, {"batch_size": 256, "extra_steps": 3000}),
    "full": _Size({**_CORE, **_MORE, **_EXTRA}, {}, {"batch_size": 256, "extra_steps": 3000}),
}


@contextmanager
def prepare(setting: Setting) -> Iterator[_Size]:
    """Nothing is shared: every seed has data of its own."""
    yield SIZES[setting.scale]


def measure(size: _Size, seed: int) -> dict[str, float]:
    """Train a network of every cell and measure it."""
    figures: dict[str, float] = {}
    kept: dict[str, BenchRun] = {}
    for name, options in size.cells.items():
        run = _trained(size, name, options, seed)
        for feature, share in run.explained.share.items():
            figures[f"{name}: {feature}"] = share
        if "arch" in options:  # where it is read decides much
            figures |= {
                f"{name}, {place}: {feature}": share
                for place, shares in run.elsewhere.items()
                for feature, share in shares.items()
            }
        if name != UNTRAINED:
            figures[f"{name}: learned"] = float(run.is_learned)
            figures[f"{name}: least accuracy"] = min(
                run.accuracy[feature] for feature in run.learned_at or run.accuracy
            )
            figures[f"{name}: steps"] = run.steps
        if name in (MAIN, EASY_ONLY, HARD_ONLY):
            kept[name] = run
    return figures | _downstream(kept) | _null(kept[MAIN], seed)


def _trained(size: _Size, name: str, options: Mapping[str, Any], seed: int) -> BenchRun:
    from sememe.probes.bench_config import BenchConfig
    from sememe.probes.feature_bias import train_one

    base = {} if "arch" in options else {**size.mlp, **(size.control if name == CONTROL else {})}
    if "optimizer" in options:
        base.pop("learning_rate", None)
    return train_one(BenchConfig(**{**base, **options}), seed)


def _downstream(kept: Mapping[str, BenchRun]) -> dict[str, float]:
    from sememe.probes.downstream import accuracy_of_components, pc_alignment, reuse_bias, steer_curve
    from sememe.probes.similarity import rsa

    run = kept[MAIN]
    phi, F = run.phi[run.test], run.task.F[run.test]
    assert run.head is not None
    aligned, one = pc_alignment(phi, F, 2), accuracy_of_components(phi, F, run.head, (1,))[0]
    figures = {
        "sub-features: an input of the xor": _sub_feature(run),
        "first component: |r| with easy": float(aligned[0, 0]),
        "second component: |r| with hard": float(aligned[1, 1]),
        "first component alone: accuracy of easy": float(one[0]),
        "first component alone: accuracy of hard": float(one[1]),
        "units correlated with easy": run.density["easy"],
        "units correlated with hard": run.density["hard"],
        "reuse: follows easy": reuse_bias(phi, F),
    }
    for place, name in enumerate(("easy", "hard")):
        steered = steer_curve(phi, F, place, run.head, (0.75, 1.0))
        figures[f"steering {name}: length of its direction"] = steered.norm
        figures[f"steering {name} at 0.75: flips it"] = float(steered.flipped[0, place])
        figures[f"steering {name} at 0.75: changes the other"] = float(steered.flipped[0, 1 - place])
    inputs = run.task.take(run.test[:N_RSA])
    there = {name: other.represent(inputs) for name, other in kept.items()}
    for name in (EASY_ONLY, HARD_ONLY):
        figures[f"RSA of both and {name}"] = rsa(there[MAIN], there[name])
    return figures


def _sub_feature(run: BenchRun) -> float:
    """Mean share of the two inputs of the XOR."""
    from sememe.probes.variance_explained import explained_by

    bits = run.task.sub_features("hard")
    return float(np.mean(list(explained_by(run.phi, bits, ("1", "2"), run.val, run.test).share.values())))


def _null(run: BenchRun, seed: int) -> dict[str, float]:
    """The largest |R²| of shuffled easy labels."""
    from sememe.probes.variance_explained import variance_explained

    rng = np.random.default_rng([seed, 6])
    f, found = run.task.F[:, 0], []
    for _ in range(N_SHUFFLES):
        shuffled = rng.permutation(f)
        halves = run.phi[run.val], shuffled[run.val], run.phi[run.test], shuffled[run.test]
        found.append(abs(variance_explained(*halves)))
    return {"shuffled labels: largest |R2|": max(found)}


def _difference(figures: Figures, cell: str, more: str = "easy", less: str = "hard") -> np.ndarray:
    """Share of one feature minus that of another by seed; NaN where the network did not learn all features."""
    learned = np.array(figures.get(f"{cell}: learned", [1.0] * len(figures[f"{cell}: {more}"])))
    found = np.array(figures[f"{cell}: {more}"]) - np.array(figures[f"{cell}: {less}"])
    return np.where(learned == 1, found, np.nan)


def _mostly(found: np.ndarray) -> bool:
    """Whether a difference is positive in four of five seeds; a network that did not learn counts against it."""
    return bool((found > 0).sum() >= 0.8 * len(found))


def _within(figures: Figures, name: str, low: float, high: float) -> bool:
    return bool(low <= np.mean(figures[name]) <= high)


def _favours_easy(figures: Figures) -> bool:
    easy, hard = (np.array(figures[f"{MAIN}: {name}"]) for name in ("easy", "hard"))
    return bool((easy >= 2.5 * hard).sum() >= 0.8 * len(easy))


def _answered_first(figures: Figures) -> bool:
    return bool(
        _mostly(
            np.minimum(
                _difference(figures, DECODER, "a", "b"), _difference(figures, f"{DECODER}, b answered first", "b", "a")
            )
        )
    )


def _conditions() -> Sequence[Condition]:
    def at_full_size(figures: Figures) -> bool:
        return "linear and parity4: easy" in figures

    return (
        Condition(
            "linear and xor, SGD: every network has both features at 0.999",
            lambda figures: min(figures[f"{MAIN}: least accuracy"]) >= 0.999 and min(figures[f"{MAIN}: learned"]) == 1,
        ),
        Condition(
            "its easy feature explains .55 to .85 of the variance, its hard one .03 to .30 (means; at full size)",
            lambda figures: (
                not at_full_size(figures)
                or (_within(figures, f"{MAIN}: easy", 0.55, 0.85) and _within(figures, f"{MAIN}: hard", 0.03, 0.30))
            ),
        ),
        Condition(
            "the easy one explains at least 2.5 times as much in 4 of 5 networks (at full size), and more in 4 of 5",
            lambda figures: (
                _mostly(_difference(figures, MAIN)) and (not at_full_size(figures) or _favours_easy(figures))
            ),
        ),
        Condition(
            "control, two linear features: shares differ by less than 0.2 and add up to more than 0.85 (means)",
            lambda figures: bool(
                np.abs(_difference(figures, CONTROL, "a", "b")).mean() < 0.2
                and np.mean(np.add(figures[f"{CONTROL}: a"], figures[f"{CONTROL}: b"])) > 0.85
            ),
        ),
        Condition(
            "RSA: both is nearer to easy only than to hard only by 0.3 (at full size), and nearer in any case",
            lambda figures: bool(
                np.mean(np.subtract(figures[f"RSA of both and {EASY_ONLY}"], figures[f"RSA of both and {HARD_ONLY}"]))
                >= (0.3 if at_full_size(figures) else 0)
            ),
        ),
        Condition(
            "complexity: linear explains more than xor, parity3 and parity4 in 4 of 5 networks (where trained)",
            lambda figures: all(
                _mostly(_difference(figures, f"linear and {kind}"))
                for kind in COMPLEX
                if f"linear and {kind}: easy" in figures
            ),
        ),
        Condition(
            "learning order: of two linear features the one learned first explains more in 4 of 5 (tiny: on average)",
            lambda figures: (
                _mostly(_difference(figures, ORDER, "a", "b"))
                if at_full_size(figures)
                else bool(np.nanmean(_difference(figures, ORDER, "a", "b")) > -0.1)
            ),
        ),
        Condition(
            "prevalence: of two linear features the one known in 10% of the inputs explains less in 4 of 5",
            lambda figures: _mostly(_difference(figures, PREVALENCE, "a", "b")),
        ),
        Condition(
            "position: of two marker features a decoder holds more of the one it answers first, in both orders, in 4 "
            "of 5",
            _answered_first,
        ),
        Condition(
            "untrained, no feature explains more than 0.1; shuffled labels explain at most 0.01",
            lambda figures: (
                max(*figures[f"{UNTRAINED}: easy"], *figures[f"{UNTRAINED}: hard"]) <= 0.1
                and max(figures["shuffled labels: largest |R2|"]) <= 0.01
            ),
        ),
    )


CLAIM = Claim(
    id="p06_feature_bias",
    title="A network that computes several features equally well represents the simple, the first learned, the "
    "frequent and the first answered one more strongly",
    paper="An MLP that computes a linear and a non-linear feature reliably: 55% of the variance of its representation "
    "is explained by the easy one and 5% by the hard one (abstract). Directions of the other effects: section 3; "
    "dropout with Adam can reverse the bias, depth widens it, width hardly changes it",
    protocol="Vectors of 32 fair bits, features on bits of their own, balanced and independent; MLP 256-128-64-64, "
    "leaky ReLU, SGD at 0.1, batches of 128, 32,768 inputs, 2,000 steps after all features pass 99.9% on validation "
    "inputs; representation: last hidden layer; R² of the map from the feature to the representation, fitted on 4,096 "
    "inputs and measured on 4,096 others. Tokens: 8 of a vocabulary of 16; two blocks of width 32, Adam at 1e-3, 300 "
    "steps more. A decoder is read at the separator below its last block, where all answers are still to be written, "
    "and at three other places; an encoder-decoder at the mean of the encoder's states. Networks that do not pass the "
    "gate are counted against a condition. Sizes are ours, for the paper gives none. Tiny: MLP 64-32-32, 4,096 inputs",
    baselines=(
        "`linear twice, Adam`: two features of one kind, batches of 256, 3,000 steps more",
        "`untrained`: the same network before training",
        "`shuffled labels`: the easy feature's values permuted over inputs",
        "`easy only`, `hard only`: networks that learn one of the two",
    ),
    metric="Share of the representation's variance that a feature explains (R², pooled); Spearman correlation of "
    "Euclidean dissimilarities of 400 inputs (RSA)",
    threshold=_conditions(),
    seeds={"tiny": (0,), "small": (0, 1, 2, 3, 4), "full": tuple(range(10))},
    extras={"torch": "models"},
    prepare=prepare,
    measure=measure,
)
