"""What the claim about circuits measures on a language model; whatever takes minutes is kept in the work folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import artifact
from sememe.circuits.agreement import agreement
from sememe.circuits.attribution import attribute_heads
from sememe.circuits.faithfulness import faithfulness
from sememe.circuits.patching import patch_heads, true_heads
from sememe.circuits.published import PublishedConfig, score_outputs
from sememe.circuits.reliable import ReliableConfig, reliable_scores
from sememe.circuits.scoring import node_scores, permutation_null
from sememe.circuits.tasks import Task, make_task

if TYPE_CHECKING:
    from sememe import LanguageModel

PATCHING_SEED = 500
CORRUPTIONS = {"ioi": "third-name"}
"""The paper's negatives; elsewhere they are what a task makes by default."""
OURS_PAIRS = 3
SUBSETS = (1, 2, 4, 8)
FAITHFUL_PAIRS = 6
KEPT_AT_ONCE = 8


@dataclass(frozen=True)
class Size:
    """How much of a language model is measured.

    Attributes:
        tasks: names of built-in tasks.
        patched: pairs that every head is patched on.
        pairs: pairs that codes are counted on.
        n_train: prompts that the autoencoder is trained on.
        varied: tasks on which code length and pooling are varied too.

    """

    tasks: tuple[str, ...]
    patched: int
    pairs: int
    n_train: int
    varied: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reference:
    """Patching of every head: effects (pairs, heads), what it cost, and the heads that it finds."""

    effects: np.ndarray
    clean: np.ndarray
    cpu_seconds: float

    @property
    def truth(self) -> np.ndarray:
        """The heads that matter, bool (heads,)."""
        return true_heads(self.effects.mean(axis=0))


def patching_reference(lm: LanguageModel, task: str, n: int, work: Path) -> Reference:
    """Patch every head on `n` pairs, once for all seeds and runs, a few pairs at a time."""
    pairs = make_task(task, lm, n, PATCHING_SEED, CORRUPTIONS.get(task))
    parts = []
    for start in range(0, n, KEPT_AT_ONCE):
        part = pairs.part(range(start, min(start + KEPT_AT_ONCE, n)))
        parts.append(_kept(work / f"patching-{task}-{n}-{start}", partial(_patched, lm, part)))
    return Reference(
        np.concatenate([arrays["effects"] for arrays, _ in parts]),
        np.concatenate([arrays["clean"] for arrays, _ in parts]),
        sum(card["cpu_seconds"] for _, card in parts),
    )


def _patched(lm: LanguageModel, pairs: Task) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    started = time.process_time()
    found = patch_heads(lm, pairs)
    spent = time.process_time() - started
    return {"effects": found.effects.reshape(len(pairs), -1), "clean": found.clean}, {"cpu_seconds": spent}


def reference_figures(task: str, reference: Reference) -> dict[str, float]:
    """How sure the reference is of itself, and what patching on fewer pairs would have found."""
    size, effects = np.abs(reference.effects), reference.effects
    n = len(effects)
    figures = {
        f"{task}: heads in the circuit": float(reference.truth.sum()),
        f"{task}: logit difference": float(reference.clean.mean()),
        f"{task}: patching, CPU seconds": reference.cpu_seconds,
    }
    halves = [agreement(np.abs(effects[half::2].mean(axis=0)), true_heads(effects[1 - half :: 2].mean(axis=0))).auc
              for half in (0, 1)]  # fmt: skip
    figures[f"{task}: patching one half of the pairs against the other: AUC"] = float(np.mean(halves))
    # A single pair is judged by the other pairs, so that it does not judge itself.
    singles = [agreement(size[row], true_heads(np.delete(effects, row, axis=0).mean(axis=0))).auc for row in range(n)]
    figures[f"{task}: patching one pair: AUC"] = float(np.mean(singles))
    figures[f"{task}: patching one pair: times faster"] = float(n)
    return figures


def gradient_figures(
    lm: LanguageModel, task: str, reference: Reference, size: Size, *, seed: int, work: Path
) -> dict[str, float]:
    """Ours, attribution patching and head importance on a seed's own pairs, and what they cost."""
    return _kept_figures(
        work / f"gradients-{task}-{size.patched}-{size.pairs}-{seed}",
        lambda: _gradients(lm, task, reference, size.pairs, seed),
    )


def _gradients(lm: LanguageModel, task: str, reference: Reference, n: int, seed: int) -> dict[str, float]:
    pairs = make_task(task, lm, n, seed, CORRUPTIONS.get(task))
    reliable_scores(lm, pairs.part([0]))  # the first pass of a process is slower than all later ones
    started = time.process_time()
    ours = reliable_scores(lm, pairs, ReliableConfig(pairs=OURS_PAIRS))
    spent = time.process_time() - started
    few, many = pairs.part(range(OURS_PAIRS)), pairs.part(range(max(SUBSETS)))
    started = time.process_time()
    plain_few = attribute_heads(lm, few)
    spent_plain = time.process_time() - started
    plain, mixed = attribute_heads(lm, many), attribute_heads(lm, many, point=ReliableConfig().point)
    figures = _compared(f"{task}: ours, {OURS_PAIRS} pairs", ours.scores, reference)
    figures[f"{task}: ours, {OURS_PAIRS} pairs: CPU seconds"] = spent
    figures[f"{task}: ours, {OURS_PAIRS} pairs: times faster"] = reference.cpu_seconds / spent
    figures |= _compared(f"{task}: attribution patching, {OURS_PAIRS} pairs", np.abs(plain_few.effect), reference)
    figures[f"{task}: attribution patching, {OURS_PAIRS} pairs: times faster"] = reference.cpu_seconds / spent_plain
    figures |= _compared(f"{task}: head importance, {max(SUBSETS)} pairs", plain.importance.mean(axis=0), reference)
    for size in SUBSETS:
        scores = np.abs(mixed.effects[:size]).mean(axis=0)
        figures[f"{task}: ours, {size} pairs: AUC"] = agreement(scores, reference.truth).auc
        scores = np.abs(plain.effects[:size].mean(axis=0))
        figures[f"{task}: attribution patching, {size} pairs: AUC"] = agreement(scores, reference.truth).auc
    best = np.argsort(-ours.scores, kind="stable")[: int(reference.truth.sum())]
    kept = faithfulness(lm, pairs.part(range(n - FAITHFUL_PAIRS, n)), best.tolist(), n_random=3, random_state=seed)
    figures[f"{task}: ours keeps of the logit difference"] = kept.kept
    figures[f"{task}: random circuits keep"] = float(np.mean(kept.random_kept))
    figures[f"{task}: no head keeps"] = kept.empty / kept.full
    return figures


def same_pairs_figures(lm: LanguageModel, task: str, reference: Reference, work: Path) -> dict[str, float]:
    """Ours on the very pairs that were patched."""
    path = work / f"same-{task}-{len(reference.effects)}"
    return _kept_figures(path, lambda: _same_pairs(lm, task, reference))


def _same_pairs(lm: LanguageModel, task: str, reference: Reference) -> dict[str, float]:
    n = len(reference.effects)
    pairs = make_task(task, lm, n, PATCHING_SEED, CORRUPTIONS.get(task))
    reliable_scores(lm, pairs.part([0]))
    started = time.process_time()
    ours = reliable_scores(lm, pairs, ReliableConfig(pairs=n))
    spent = time.process_time() - started
    figures = _compared(f"{task}: ours, the patched pairs", ours.scores, reference)
    return {**figures, f"{task}: ours, the patched pairs: times faster": reference.cpu_seconds / spent}


def code_figures(
    lm: LanguageModel, task: str, reference: Reference, size: Size, *, seed: int, work: Path
) -> dict[str, float]:
    """The paper's method, its controls, and what changes with examples, code length and pooling."""
    arrays, card = _kept(
        work / f"codes-{task}-{size.pairs}-{size.n_train}-{seed}",
        lambda: _codes(lm, task, size, seed, varied=task in size.varied),
    )
    n, codes = size.pairs, arrays["codes"]
    counts = node_scores(codes, n)
    figures = _compared(f"{task}: the paper, unique codes", counts.positive, reference)
    figures |= _compared(f"{task}: the paper, normalised", counts.normalised, reference)
    z = permutation_null(codes, n, 20, seed).z(counts.normalised)
    figures |= _compared(f"{task}: normalised against the null", z, reference)
    random = node_scores(arrays["random_projection"], n)
    figures |= _compared(f"{task}: random projection, unique codes", random.positive, reference)
    figures |= _compared(f"{task}: mean difference", arrays["mean_difference"], reference)
    permuted = node_scores(codes[np.random.default_rng(seed).permutation(len(codes))], n).positive
    figures |= _compared(f"{task}: labels permuted, unique codes", permuted, reference)
    drawn = np.random.default_rng(seed).random((int(codes.shape[1]),))
    figures |= _compared(f"{task}: random heads", drawn, reference)
    for pairs in (n // 4, n // 2):
        part = np.concatenate([codes[:pairs], codes[n : n + pairs]])
        figures[f"{task}: the paper, unique codes, {pairs} pairs: AUC"] = agreement(
            node_scores(part, pairs).positive, reference.truth
        ).auc
    for name in ("50 codes", "50 codes, last position"):
        if name in arrays:
            figures[f"{task}: the paper, unique codes, {name}: AUC"] = agreement(
                node_scores(arrays[name], n).positive, reference.truth
            ).auc
    figures[f"{task}: the paper: CPU seconds"] = card["cpu_seconds"]
    figures[f"{task}: the paper: times faster"] = reference.cpu_seconds / card["cpu_seconds"]
    figures[f"{task}: silent codes"] = card["silent"]
    return figures


def _codes(
    lm: LanguageModel, task: str, size: Size, seed: int, *, varied: bool
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from sememe.circuits.head_outputs import head_outputs
    from sememe.circuits.scoring import random_projection_codes

    pairs = make_task(task, lm, size.pairs, seed, CORRUPTIONS.get(task))
    prompts = [*pairs.positive, *pairs.negative]
    config = PublishedConfig(n_train=size.n_train)
    started = time.process_time()
    outputs = head_outputs(lm, prompts, config.pool).outputs
    read = time.process_time() - started
    found = score_outputs(outputs, size.pairs, config, seed)
    arrays = {
        "codes": found.codes,
        "mean_difference": found.mean_difference,
        "random_projection": random_projection_codes(outputs, config.n_latents, seed),
    }
    if varied:
        fewer = PublishedConfig(n_train=size.n_train, n_latents=50)
        arrays["50 codes"] = score_outputs(outputs, size.pairs, fewer, seed).codes
        last = head_outputs(lm, prompts, "last").outputs
        arrays["50 codes, last position"] = score_outputs(last, size.pairs, fewer, seed).codes
    return arrays, {"cpu_seconds": read + found.cpu_seconds, "silent": found.silent}


def _compared(name: str, scores: np.ndarray, reference: Reference) -> dict[str, float]:
    found = agreement(scores, reference.truth)
    return {
        f"{name}: AUC": found.auc,
        f"{name}: average precision": found.average_precision,
        f"{name}: precision at the circuit's size": found.precision_at_size,
    }


def _kept_figures(path: Path, compute: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Figures that were measured before, or are now, and kept."""
    _, card = _kept(path, lambda: ({"none": np.zeros(0)}, {"figures": compute()}))
    return dict(card["figures"])


def _kept(
    path: Path, compute: Callable[[], tuple[dict[str, np.ndarray], dict[str, Any]]]
) -> tuple[Mapping[str, np.ndarray], Mapping[str, Any]]:
    """What was computed before, or is now, and kept."""
    if not (path / artifact.CARD).is_file():
        arrays, card = compute()
        artifact.save(path, "measurement", arrays, card)
    return artifact.load(path, "measurement")
