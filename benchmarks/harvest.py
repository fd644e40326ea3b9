"""Harvesting activations: ours, and transformers' own forward pass cut off behind the same block.

Both read the same texts in the same batches of equal lengths with the same model in memory, and give the residual
stream of every token. Ours also checks, batches by length, and hands out a record a text; the peer is the least that
could be written with transformers: a copy of the model with its later blocks removed. The texts all have one length, so
that padding favours nobody.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import RUNS, alternate, comparison, in_fresh_process

N_TEXTS, N_TOKENS, LAYER, BATCH = 16, 128, 14, 8
MODEL = "smollm2-135m"


def run() -> dict[str, Any]:
    """Tokens a second of both, in turn in one process."""
    import numpy as np
    import torch

    from sememe import LanguageModel

    lm = LanguageModel.load(MODEL, device="cpu")
    site = f"layers.{LAYER}.residual"
    rng = np.random.default_rng(0)
    ids = rng.integers(100, int(lm.model.config.vocab_size), (N_TEXTS, N_TOKENS))
    texts = [row.tolist() for row in ids]
    base = lm.model.base_model
    blocks, kept = base.layers, base.layers[: LAYER + 1]

    def ours() -> list[Any]:
        return [record[site] for record in lm.activations(texts, site, batch_size=BATCH)]

    def theirs() -> list[Any]:
        found = []
        base.layers = kept
        with torch.inference_mode():
            for start in range(0, N_TEXTS, BATCH):
                batch = torch.from_numpy(ids[start : start + BATCH])
                states = base(input_ids=batch, output_hidden_states=True, use_cache=False).hidden_states
                # transformers normalises the last state; the one that leaves the block is not kept, so it is hooked.
                found.append(captured.pop() if captured else states[-1])
        base.layers = blocks
        return found

    captured: list[Any] = []
    handle = blocks[LAYER].register_forward_hook(
        lambda _module, _inputs, output: captured.append(output[0] if isinstance(output, tuple) else output)
    )
    difference = float(np.abs(np.stack(ours()) - torch.cat(theirs()).numpy()).max())
    captured.clear()
    seconds = alternate({"ours": ours, "theirs": theirs}, RUNS)
    handle.remove()
    tokens = N_TEXTS * N_TOKENS
    limits, _ = in_fresh_process("benchmarks.harness:machine_limits", threads=torch.get_num_threads())
    parameters = sum(p.numel() for block in kept for p in block.parameters())
    return {
        "comparisons": [
            comparison(
                f"harvest {site} of {N_TEXTS} texts of {N_TOKENS} tokens",
                [tokens / value for value in seconds["ours"]],
                "transformers, later blocks removed",
                [tokens / value for value in seconds["theirs"]],
                unit="tokens/s",
                higher_is_better=True,
                limit=limits["gemm_gflops"] * 1e9 / (2 * parameters),
                limit_by="float32 matrix arithmetic of the blocks",
            )
        ],
        "largest_difference": difference,
    }
