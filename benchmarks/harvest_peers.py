"""Harvesting with other packages: a process of their own Python each, that waits for its turn.

transformer-lens and nnsight need packages that do not fit beside ours, so each runs with a Python of its own, given in
`SEMEME_TRANSFORMER_LENS_PYTHON` and `SEMEME_NNSIGHT_PYTHON`; a peer whose Python is not given is left out. Each stops
behind the block that is read, by its own means, and keeps only what is asked for.

This file is also the program that those Pythons run, so it imports nothing but the standard library at the top. It
writes `ready` when the model is loaded; for each line that it reads it harvests once, and writes the seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PYTHONS = {"transformer-lens": "SEMEME_TRANSFORMER_LENS_PYTHON", "nnsight": "SEMEME_NNSIGHT_PYTHON"}


class HarvestPeer:
    """A package in a process of its own, harvesting when it is told to.

    Args:
        kind: a key of `PYTHONS`.
        folder: holds `model/` (a Hugging Face folder) and `ids.npy` (token ids, shape (texts, tokens)).
        layer: the block whose output is read.
        batch_size: texts a batch.

    """

    def __init__(self, kind: str, folder: Path, layer: int, batch_size: int) -> None:
        self.states = folder / f"{kind}.npy"
        command = [os.environ[PYTHONS[kind]], __file__, kind, str(folder), str(layer), str(batch_size)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
        )
        self.name = f"{kind} {self._answer('ready')}"

    def harvest(self) -> float:
        """Seconds of one harvest, in the process itself."""
        assert self._process.stdin is not None
        self._process.stdin.write("once\n")
        self._process.stdin.flush()
        return float(self._answer("seconds"))

    def close(self) -> None:
        """End the process; it leaves what it harvested last in `states`, shape (texts, tokens, d)."""
        self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}")

    def _answer(self, key: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # packages print what they like between
            if line.startswith(f"{key} "):
                return line.split(" ", 1)[1].strip()
        raise RuntimeError(f"the peer ended before it wrote {key!r}")


def _transformer_lens(model: str, layer: int) -> tuple[str, Callable[[Any], Any]]:
    from importlib.metadata import version

    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(model, device="cpu", dtype=torch.float32)
    name = f"blocks.{layer}.hook_resid_post"

    def states(batch: Any) -> Any:
        _, cache = bridge.run_with_cache(batch, names_filter=name, stop_at_layer=layer + 1, return_type=None)
        return cache[name]

    return version("transformer-lens"), states


def _nnsight(model: str, layer: int) -> tuple[str, Callable[[Any], Any]]:
    from importlib.metadata import version

    from nnsight import LanguageModel

    traced = LanguageModel(model, device_map="cpu", dispatch=True)

    def states(batch: Any) -> Any:
        with traced.trace(batch) as tracer:
            saved = traced.model.layers[layer].output.save()
            tracer.stop()
        return saved[0] if isinstance(saved, tuple) else saved

    return version("nnsight"), states


_LOADERS = {"transformer-lens": _transformer_lens, "nnsight": _nnsight}


def main(kind: str, folder: Path, layer: int, batch_size: int) -> None:
    """Load, then harvest once for each line on standard input."""
    import numpy as np
    import torch

    ids = torch.from_numpy(np.load(folder / "ids.npy"))
    version, states = _LOADERS[kind](str(folder / "model"), layer)
    print(f"ready {version}", flush=True)
    found: list[Any] = []
    for _ in sys.stdin:
        started = time.perf_counter()
        with torch.inference_mode():
            found = [states(ids[start : start + batch_size]) for start in range(0, len(ids), batch_size)]
        print(f"seconds {time.perf_counter() - started}", flush=True)
    np.save(folder / f"{kind}.npy", torch.cat(found).float().numpy())


if __name__ == "__main__":
    kind, folder, layer, batch_size = sys.argv[1:]
    main(kind, Path(folder), int(layer), int(batch_size))
