"""Finding the heads of a task: our gradients and our patching against transformer-lens' patching, on the same pairs.

All read the same weights and the same token ids and count processor seconds, which a busy machine disturbs least. The
peer patches with its own `get_act_patch_attn_head_out_all_pos`, as its users do: the whole model runs once more for
each head. Our patching runs from each head's own layer on. Agreement is the ROC AUC of our gradients' scores against
the heads that the peer's patching finds (a tenth of the largest mean effect).

A first-order method needs two forward passes and one backward pass, which is about three forward passes; patching h
heads needs h of them, or half as many from each head's layer on. So with equal arithmetic h / 3 bounds what a gradient
can gain on the same pairs: 90 for the 270 heads of SmolLM2-135M. What is beyond that is overhead of the peer.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.circuits_peers import PYTHON, patched_by_transformer_lens
from benchmarks.harness import RUNS, comparison

MODEL = "smollm2-135m"
TASKS = {"ioi": "third-name", "greater-than": None}
"""Built-in tasks and their corruptions, as in the claim."""
N_PAIRS, SEED = 8, 700
FEW = 3
UNIT = "processor s"


def run(n_pairs: int = N_PAIRS, tasks: dict[str, str | None] = TASKS) -> dict[str, Any]:
    """Processor seconds of each way, and how well they agree."""
    from sememe import LanguageModel

    lm = LanguageModel.load(MODEL, device="cpu")
    found: dict[str, Any] = {"pairs": n_pairs, "heads": lm.n_layers * lm.n_heads, "comparisons": []}
    peer = bool(os.environ.get(PYTHON))
    if not peer:
        found["transformer-lens"] = f"not run: {PYTHON} is not set"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if peer:
            lm.model.save_pretrained(folder / "model")
            lm.tokenizer.save_pretrained(folder / "model")
        for task, corruption in tasks.items():
            figures, lines = _task(lm, task, corruption, n_pairs, folder if peer else None)
            found[task] = figures
            found["comparisons"] += lines
    return found


def _task(
    lm: Any, name: str, corruption: str | None, n: int, folder: Path | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from sememe.circuits.agreement import agreement
    from sememe.circuits.patching import patch_heads, true_heads
    from sememe.circuits.reliable import ReliableConfig, reliable_scores
    from sememe.circuits.tasks import make_task

    task = make_task(name, lm, n, SEED, corruption)
    scores, gradients = _timed(lambda: reliable_scores(lm, task, ReliableConfig(pairs=n)).scores, RUNS)
    few_scores, few = _timed(lambda: reliable_scores(lm, task, ReliableConfig(pairs=FEW)).scores, RUNS)
    patched, patching = _timed(lambda: patch_heads(lm, task).effect, 1)
    theirs = None if folder is None else _peer(task, folder)
    effect = patched if theirs is None else np.asarray(theirs["effects"]).ravel()
    truth = true_heads(effect)
    figures = {
        "heads in the circuit": int(truth.sum()),
        f"AUC, {n} pairs": agreement(scores, truth).auc,
        f"AUC, {FEW} pairs": agreement(few_scores, truth).auc,
        "our patching, largest difference in nats": float(np.abs(effect - patched).max()),
        "our gradients": gradients,
        f"our gradients, {FEW} pairs": few,
        "our patching": patching,
    }
    if theirs is None:
        return figures, []
    peer, cost = f"transformer-lens {theirs['version']} patching", [theirs["cpu_seconds"]]
    lines = []
    for read, ours in ((n, gradients), (FEW, few)):
        job = f"heads of {name} by gradients, {read} of its {n} pairs"
        lines.append(comparison(job, ours, peer, cost, unit=UNIT, auc=figures[f"AUC, {read} pairs"]))
    lines.append(comparison(f"patching every head, {name}, {n} pairs", patching, peer, cost, unit=UNIT))
    return figures, lines


def _peer(task: Any, folder: Path) -> dict[str, Any]:
    groups = [
        {
            "positive": [task.positive[row] for row in rows],
            "negative": [task.negative[row] for row in rows],
            "answer": [task.answer[row] for row in rows],
            "wrong": [task.wrong[row] for row in rows],
        }
        for rows in task.by_length()
    ]
    (folder / "pairs.json").write_text(json.dumps(groups))
    return patched_by_transformer_lens(folder)


def _timed(job: Callable[[], np.ndarray], runs: int) -> tuple[np.ndarray, list[float]]:
    """What a job returns and the processor seconds of each run; a job that runs several times runs once before."""
    if runs > 1:
        job()
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        value = job()
        seconds.append(time.process_time() - started)
    return value, seconds
