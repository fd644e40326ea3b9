"""Patching every head with transformer-lens: a process of its own Python, given in `SEMEME_TRANSFORMER_LENS_PYTHON`.

This file is also the program that that Python runs, so it imports nothing but the standard library at the top. It reads
a model folder and the pairs as token ids, patches every head at all positions with the package's own function, and
prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PYTHON = "SEMEME_TRANSFORMER_LENS_PYTHON"


def patched_by_transformer_lens(folder: Path) -> dict[str, Any]:
    """Its `version`, `effects` (layers, heads; the mean over pairs), `cpu_seconds`, without loading the model.

    Args:
        folder: holds `model/` (a Hugging Face folder) and `pairs.json` (groups of pairs of one length; see `main`).

    """
    done = subprocess.run(
        [os.environ[PYTHON], __file__, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(folder: Path) -> dict[str, Any]:
    """Patch group by group: `positive`, `negative` (pairs, tokens), `answer`, `wrong` (lists of ids of each pair)."""
    import torch
    from transformer_lens import patching
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(folder / "model"), device="cpu", dtype=torch.float32)
    groups = json.loads((folder / "pairs.json").read_text())
    total: Any = 0.0
    n_pairs = 0
    started = time.process_time()
    with torch.inference_mode():
        for group in groups:
            positive, negative = torch.tensor(group["positive"]), torch.tensor(group["negative"])

            def difference(logits: Any, group: dict[str, Any] = group) -> Any:
                last = logits[:, -1]
                parts = [
                    _best(row, answer) - _best(row, wrong)
                    for row, answer, wrong in zip(last, group["answer"], group["wrong"])  # noqa: B905
                ]
                return torch.stack(parts).mean()

            _, cache = bridge.run_with_cache(negative, names_filter=lambda name: name.endswith("hook_z"))
            clean = difference(bridge(positive))
            found = patching.get_act_patch_attn_head_out_all_pos(bridge, positive, cache, difference)
            total = total + len(positive) * (clean - found).double()
            n_pairs += len(positive)
    spent = time.process_time() - started
    return {"version": version("transformer-lens"), "effects": (total / n_pairs).tolist(), "cpu_seconds": spent}


def _best(logits: Any, ids: list[int]) -> Any:
    return logits[ids].logsumexp(0)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
