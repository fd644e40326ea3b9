"""Training a sparse autoencoder: our trainer and those of three others, on the same vectors, at the same size.

The peers need packages that do not fit beside ours, so each runs with a Python of its own, given in
`SEMEME_PEER_PYTHON` (sae-lens), `SEMEME_SPARSIFY_PYTHON` (eai-sparsify) and `SEMEME_DL_PYTHON` (dictionary-learning). A
peer whose Python is not given is left out. Real vectors can be given as a .npy file in `SEMEME_VECTORS`; otherwise they
are made: sums of few directions, some of them common and most of them rare.

All get centred vectors of unit mean squared norm. Two comparisons with each peer: the rate, in vectors a second of
training alone, without imports; and the seconds until ours has a held-out FVU (the share of variance left unexplained)
at most that of the peer after all its steps, at the least number of steps tried that gets there.

This file is also the program that the other Pythons run, so it imports nothing but the standard library at the top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

N_VECTORS, DIMENSIONS, N_ATOMS, BATCH, ACTIVE = 40_000, 576, 2048, 512, 32
N_HELD_OUT = 2000
TIMED_STEPS, STEPS = 60, 400
RUNS = 3
# Each with the best of the learning rates 3e-4, 1e-3, 3e-3 and 6e-3 on activations of other layers of SmolLM2.
OUR_RATE = 6e-3
PEERS = {
    "sae-lens batchtopk": ("SEMEME_PEER_PYTHON", 3e-3),
    "eai-sparsify topk": ("SEMEME_SPARSIFY_PYTHON", 3e-3),
    "dictionary-learning batchtopk": ("SEMEME_DL_PYTHON", 3e-3),
}


def run(steps: int = STEPS) -> dict[str, Any]:
    """Vectors a second, and seconds to the same quality.

    Args:
        steps: how long the peers train for the comparison of quality.

    """
    import numpy as np

    source = os.environ.get("SEMEME_VECTORS")
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder) / "vectors.npy"
        data = _standardised(np.load(source)[:N_VECTORS] if source else _made_vectors())
        np.save(vectors, data)
        found: dict[str, Any] = {
            "vectors": f"{len(data):,} of {Path(source).name}" if source else f"{len(data):,}, made",
            "size": f"{N_ATOMS} atoms, {data.shape[1]} dimensions, batches of {BATCH}",
        }
        shorter = (steps // 4, steps // 2, 5 * steps // 8, 3 * steps // 4, steps)
        tried = {n: _train(sys.executable, "ours", vectors, n) for n in shorter}
        for n, ours in tried.items():
            found[f"ours after {n} steps"] = _quality(ours)
        lines: list[dict[str, Any]] = []
        for kind, (variable, _) in PEERS.items():
            python = os.environ.get(variable)
            if not python:
                found[kind] = f"not run: {variable} is not set"
                continue
            compared, notes = _compared(kind, python, vectors, steps, tried)
            lines += compared
            found |= notes
        return {**found, "comparisons": lines}


def _compared(
    kind: str, python: str, vectors: Path, steps: int, tried: dict[int, Any]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from benchmarks.harness import comparison

    theirs = _train(python, kind, vectors, steps)
    notes = {f"{kind} after {steps} steps": _quality(theirs)}
    name = f"{kind} {theirs['version']}"
    job = f"{N_ATOMS} atoms of {theirs['dimensions']} dimensions, batches of {BATCH}"
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(RUNS):
        rates["ours"].append(BATCH * _train(sys.executable, "ours", vectors, TIMED_STEPS)["rate"])
        rates["theirs"].append(BATCH * _train(python, kind, vectors, TIMED_STEPS)["rate"])
    lines = [comparison(f"train {job}", rates["ours"], name, rates["theirs"], unit="vectors/s", higher_is_better=True)]
    enough = [n for n, ours in tried.items() if ours["fvu"] <= theirs["fvu"]]
    if not enough:
        return lines, {**notes, f"{kind}: to the same FVU": "ours does not reach it in as many steps"}
    n = min(enough)
    seconds = {"ours": [n * BATCH / rate for rate in rates["ours"]], "theirs": []}
    seconds["theirs"] = [steps * BATCH / rate for rate in rates["theirs"]]
    lines.append(
        comparison(
            f"reach FVU {theirs['fvu']:.3f}",
            seconds["ours"],
            name,
            seconds["theirs"],
            unit="s",
            higher_is_better=False,
            steps=f"{n} against {steps}",
            active=f"{tried[n]['active']:.1f} against {theirs['active']:.1f}",
        )
    )
    return lines, notes


def _quality(trained: dict[str, Any]) -> str:
    return f"FVU {trained['fvu']:.4f}, {trained['active']:.1f} active, {trained['dead']} dead of {N_ATOMS}"


def _train(python: str, kind: str, vectors: Path, steps: int) -> dict[str, Any]:
    """Train in a process of its own; what it measured."""
    done = subprocess.run(
        [python, __file__, kind, str(vectors), str(steps)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _made_vectors() -> Any:
    """Sums of eight or so of 3,000 directions whose frequencies fall off as in language, and some noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    directions = rng.standard_normal((3000, DIMENSIONS), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    share = 1 / np.arange(10, 3010)
    vectors = 0.1 * rng.standard_normal((N_VECTORS, DIMENSIONS), dtype=np.float32) / np.sqrt(DIMENSIONS)
    for _ in range(8):
        chosen = rng.choice(3000, N_VECTORS, p=share / share.sum())
        vectors += rng.uniform(0.3, 1, (N_VECTORS, 1)).astype(np.float32) * directions[chosen]
    return vectors


def _standardised(vectors: Any) -> Any:
    import numpy as np

    centred = np.random.default_rng(0).permutation(vectors - vectors.mean(axis=0))
    return (centred / np.sqrt(np.square(centred).sum(axis=1).mean())).astype(np.float32)


def main() -> None:
    """Train with one trainer and print what was measured as JSON."""
    import numpy as np

    kind, path, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    vectors = np.load(path)
    trainers = {"ours": _train_ours, "sae-lens": _train_sae_lens, "eai-sparsify": _train_sparsify}
    train = trainers.get(kind.split()[0], _train_dictionary_learning)
    trained = train(vectors, steps, kind)
    codes_of, decode = trained.pop("encode"), trained.pop("decode")
    held_out, seen = vectors[:N_HELD_OUT], vectors[N_HELD_OUT : N_HELD_OUT + 10_000]
    codes = codes_of(held_out)
    fired = (codes_of(seen) > 0).any(axis=0) | (codes > 0).any(axis=0)
    trained["fvu"] = float(np.square(held_out - decode(codes)).sum() / np.square(held_out).sum())
    trained["active"] = float((codes > 0).sum(axis=1).mean())
    trained["dead"] = int((~fired).sum())
    trained["dimensions"] = vectors.shape[1]
    print(json.dumps(trained))


def _train_ours(vectors: Any, steps: int, kind: str) -> dict[str, Any]:
    import numpy as np
    import torch  # noqa: F401  so that the time is without the import, as for the others

    from sememe.atoms.config import AtomsConfig
    from sememe.atoms.rows import Rows
    from sememe.atoms.training import train
    from sememe.atoms.weights import check_codes

    del kind
    n = np.arange(len(vectors))
    rows = Rows(vectors, n[N_HELD_OUT:], n[:N_HELD_OUT], np.zeros(vectors.shape[1], np.float32), 1.0, False)
    config = AtomsConfig(n_atoms=N_ATOMS, target_active=ACTIVE, steps=steps, batch_size=BATCH, learning_rate=OUR_RATE)
    started = time.perf_counter()
    weights = train(rows, config).weights
    seconds = time.perf_counter() - started
    return {
        "rate": steps / seconds,
        "encode": lambda x: weights.encode(x).toarray(),
        "decode": lambda codes: weights.decode(check_codes(codes, N_ATOMS)),
    }


def _batches(train: Any) -> Any:
    """Endless shuffled batches of a tensor."""
    import numpy as np
    import torch

    rng = np.random.default_rng(1)
    while True:
        order = torch.from_numpy(rng.permutation(len(train)))
        for start in range(0, len(train) - BATCH + 1, BATCH):
            yield train[order[start : start + BATCH]]


def _rate_of(kind: str) -> float:
    return float(os.environ.get("PEER_RATE", PEERS[kind][1]))


def _train_sae_lens(vectors: Any, steps: int, kind: str) -> dict[str, Any]:
    import sae_lens
    import torch
    from sae_lens.config import SAETrainerConfig

    torch.manual_seed(0)
    common = {"d_in": vectors.shape[1], "d_sae": N_ATOMS, "normalize_activations": "none"}
    sae = sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(k=ACTIVE, **common))
    config = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=_rate_of(kind),
        lr_end=0.0,
        lr_warm_up_steps=steps // 20,
        lr_decay_steps=steps // 5,
        dead_feature_window=200,
    )
    trainer = sae_lens.SAETrainer(config, sae, _batches(torch.from_numpy(vectors[N_HELD_OUT:])))
    started = time.perf_counter()
    trainer.fit()
    seconds = time.perf_counter() - started
    return {"rate": steps / seconds, "version": sae_lens.__version__, **_torch_coder(sae.encode, sae.decode)}


def _train_sparsify(vectors: Any, steps: int, kind: str) -> dict[str, Any]:
    """Its coder with its loss and its own order of a step, and Adam with the same schedule as the others."""
    import importlib.metadata

    import torch
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    coder = SparseCoder(vectors.shape[1], SparseCoderConfig(num_latents=N_ATOMS, k=ACTIVE))
    optimizer = torch.optim.Adam(coder.parameters(), lr=_rate_of(kind), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1.0, (i + 1) / (0.05 * steps), (steps - i) / (0.2 * steps))
    )
    batches = _batches(torch.from_numpy(vectors[N_HELD_OUT:]))
    started = time.perf_counter()
    for _ in range(steps):
        coder.set_decoder_norm_to_unit_norm()
        coder(next(batches)).fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    seconds = time.perf_counter() - started

    def encode(x: Any) -> Any:
        found = coder.encode(x)
        return torch.zeros(len(x), N_ATOMS).scatter(1, found.top_indices, found.top_acts)

    version = importlib.metadata.version("eai-sparsify")
    decode = lambda codes: codes @ coder.W_dec + coder.b_dec  # noqa: E731
    return {"rate": steps / seconds, "version": version, **_torch_coder(encode, decode)}


def _train_dictionary_learning(vectors: Any, steps: int, kind: str) -> dict[str, Any]:
    import importlib.metadata

    import torch
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    trainer = BatchTopKTrainer(
        steps=steps,
        activation_dim=vectors.shape[1],
        dict_size=N_ATOMS,
        k=ACTIVE,
        layer=0,
        lm_name="none",
        lr=_rate_of(kind),
        warmup_steps=max(1, steps // 20),
        decay_start=steps - max(1, steps // 5),
        threshold_start_step=steps // 4,
        seed=0,
        device="cpu",
    )
    batches = _batches(torch.from_numpy(vectors[N_HELD_OUT:]))
    started = time.perf_counter()
    for step in range(steps):
        trainer.update(step, next(batches))
    seconds = time.perf_counter() - started
    version = importlib.metadata.version("dictionary-learning")
    return {"rate": steps / seconds, "version": version, **_torch_coder(trainer.ae.encode, trainer.ae.decode)}


def _torch_coder(encode: Any, decode: Any) -> dict[str, Any]:
    """Functions on arrays from functions on tensors."""
    import torch

    def on_arrays(function: Any) -> Any:
        def call(x: Any) -> Any:
            with torch.no_grad():
                return function(torch.from_numpy(x)).float().numpy()

        return call

    return {"encode": on_arrays(encode), "decode": on_arrays(decode)}


if __name__ == "__main__":
    main()
