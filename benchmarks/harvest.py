"""Harvesting activations: ours, transformers' own forward pass cut off behind the same block, and other packages.

All read the same texts in the same batches of equal lengths with the same weights in memory, and give the residual
stream of every token. Ours also checks, batches by length, and hands out a record a text; the first peer is the least
that could be written with transformers: a copy of the model with its later blocks removed. transformer-lens and nnsight
run in processes of their own, in turn with ours. The texts all have one length, so that
padding favours nobody.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import RUNS, alternate, comparison, in_fresh_process
from benchmarks.harvest_peers import PYTHONS, HarvestPeer

N_TEXTS, N_TOKENS, LAYER, BATCH = 16, 128, 14, 8
MODEL = "smollm2-135m"
SITE = f"layers.{LAYER}.residual"


def run() -> dict[str, Any]:
    """Tokens a second of all, in turn."""
    import numpy as np
    import torch

    from sememe import LanguageModel

    lm = LanguageModel.load(MODEL, device="cpu")
    ids = np.random.default_rng(0).integers(100, int(lm.model.config.vocab_size), (N_TEXTS, N_TOKENS))
    texts = [row.tolist() for row in ids]
    truncated = _truncated(lm.model.base_model, torch.from_numpy(ids))

    def ours() -> list[Any]:
        return [record[SITE] for record in lm.activations(texts, SITE, batch_size=BATCH)]

    found: dict[str, Any] = {
        kind: f"not run: {name} is not set" for kind, name in PYTHONS.items() if name not in os.environ
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = _peers(folder, lm, ids)
        expected = np.stack(ours())
        differences = {"transformers": float(np.abs(expected - np.concatenate(truncated())).max())}
        contestants: dict[str, Callable[[], Any]] = {"ours": ours, "transformers, later blocks removed": truncated}
        seconds = alternate(contestants | {peer.name: peer.harvest for peer in peers}, RUNS)
        for peer in peers:
            peer.close()
            differences[peer.name] = float(np.abs(expected - np.load(peer.states)).max())
    limits, _ = in_fresh_process("benchmarks.harness:machine_limits", threads=torch.get_num_threads())
    parameters = sum(p.numel() for block in lm.model.base_model.layers[: LAYER + 1] for p in block.parameters())
    tokens = N_TEXTS * N_TOKENS
    found["comparisons"] = [
        comparison(
            f"harvest {SITE} of {N_TEXTS} texts of {N_TOKENS} tokens",
            [tokens / value for value in seconds["ours"]],
            peer,
            [tokens / value for value in theirs],
            unit="tokens/s",
            higher_is_better=True,
            limit=limits["gemm_gflops"] * 1e9 / (2 * parameters),
            limit_by="float32 matrix arithmetic of the blocks",
        )
        for peer, theirs in seconds.items()
        if peer != "ours"
    ]
    return {**found, "largest_difference": differences}


def _truncated(base: Any, ids: Any) -> Callable[[], list[Any]]:
    """transformers' own forward pass through the first blocks only."""
    import torch

    blocks, kept = base.layers, base.layers[: LAYER + 1]

    def states() -> list[Any]:
        captured: list[Any] = []
        # transformers normalises the last state; the one that leaves the block is not kept, so it is hooked.
        handle = blocks[LAYER].register_forward_hook(
            lambda _module, _inputs, output: captured.append(output[0] if isinstance(output, tuple) else output)
        )
        base.layers = kept
        with torch.inference_mode():
            for start in range(0, N_TEXTS, BATCH):
                base(input_ids=ids[start : start + BATCH], use_cache=False)
        base.layers = blocks
        handle.remove()
        return [batch.numpy() for batch in captured]

    return states


def _peers(folder: Path, lm: Any, ids: Any) -> list[HarvestPeer]:
    import numpy as np

    named = [kind for kind, variable in PYTHONS.items() if os.environ.get(variable)]
    if named:
        lm.model.save_pretrained(folder / "model")
        lm.tokenizer.save_pretrained(folder / "model")
        np.save(folder / "ids.npy", ids)
    return [HarvestPeer(kind, folder, LAYER, BATCH) for kind in named]
