"""Training a sparse autoencoder: our trainer and sae-lens's, on the same vectors, at the same size and batch.

sae-lens needs packages that do not fit beside ours, so it runs with a Python of its own: give that one's path in
`SEMEME_PEER_PYTHON`. Without it only our own figures are measured. Real vectors can be given as a .npy file in
`SEMEME_VECTORS`; otherwise they are made: sums of few directions, some of them common and most of them rare.

Both get centred vectors of unit mean squared norm and the same number of steps. The rate counts training alone, without
imports. FVU, the share of variance left unexplained, and the mean number of active atoms are of held-out vectors.

This file is also the program that the other Python runs, so it imports nothing but the standard library at the top.
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

N_VECTORS, DIMENSIONS, N_ATOMS, BATCH, ACTIVE = 20_000, 384, 4096, 256, 32
N_HELD_OUT = 2000
TIMED_STEPS, STEPS = 150, 2000
RUNS = 3
# sae-lens's own kinds; each with the best of the learning rates 3e-4, 1e-3, 3e-3 and 6e-3 on sentence vectors.
PEERS = {"batchtopk": 3e-3, "jumprelu": 3e-3}


def run(steps: int = STEPS) -> dict[str, Any]:
    """Steps a second, and how good the result is after equally many steps.

    Args:
        steps: how long to train for the comparison of quality.

    """
    import numpy as np

    from benchmarks.harness import comparison

    peer = os.environ.get("SEMEME_PEER_PYTHON")
    source = os.environ.get("SEMEME_VECTORS")
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder) / "vectors.npy"
        np.save(vectors, _standardised(np.load(source) if source else _made_vectors()))
        found: dict[str, Any] = {
            "vectors": f"{len(np.load(vectors, mmap_mode='r')):,} of {Path(source).name}" if source else "made",
            "size": f"{N_ATOMS} atoms, {DIMENSIONS} dimensions, batches of {BATCH}",
        }
        ours = _train(sys.executable, "ours", vectors, steps)
        found[f"ours after {steps} steps"] = _quality(ours)
        if not peer:
            rates = [_train(sys.executable, "ours", vectors, TIMED_STEPS)["rate"] for _ in range(RUNS)]
            return {**found, "steps a second": max(rates), "peer": "none: SEMEME_PEER_PYTHON is not set"}
        lines = []
        for kind in PEERS:
            theirs = _train(peer, kind, vectors, steps)
            found[f"sae-lens {kind} after {steps} steps"] = _quality(theirs)
            rates = {"ours": [], "theirs": []}
            for _ in range(RUNS):
                rates["ours"].append(_train(sys.executable, "ours", vectors, TIMED_STEPS)["rate"])
                rates["theirs"].append(_train(peer, kind, vectors, TIMED_STEPS)["rate"])
            name = f"sae-lens {theirs['version']} {kind}"
            lines.append(
                comparison(
                    f"train {N_ATOMS} atoms of {DIMENSIONS} dimensions, batches of {BATCH}",
                    rates["ours"],
                    name,
                    rates["theirs"],
                    unit="steps/s",
                    higher_is_better=True,
                    FVU=f"{ours['fvu']:.3f} against {theirs['fvu']:.3f} after {steps} steps",
                    active=f"{ours['active']:.1f} against {theirs['active']:.1f}",
                )
            )
        return {**found, "comparisons": lines}


def _quality(trained: dict[str, Any]) -> str:
    return f"FVU {trained['fvu']:.3f}, {trained['active']:.1f} active, {trained['dead']} dead of {N_ATOMS}"


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
    trained = _train_ours(vectors, steps) if kind == "ours" else _train_peer(vectors, steps, kind)
    codes, decoded = trained.pop("apply")(vectors[:N_HELD_OUT])
    residual = vectors[:N_HELD_OUT] - decoded
    fired = (trained.pop("apply_train")(vectors[N_HELD_OUT:]) > 0).any(axis=0) | (codes > 0).any(axis=0)
    trained["fvu"] = float(np.square(residual).sum() / np.square(vectors[:N_HELD_OUT]).sum())
    trained["active"] = float((codes > 0).sum(axis=1).mean())
    trained["dead"] = int((~fired).sum())
    print(json.dumps(trained))


def _train_ours(vectors: Any, steps: int) -> dict[str, Any]:
    import numpy as np

    from sememe.atoms.config import AtomsConfig
    from sememe.atoms.rows import Rows
    from sememe.atoms.training import train

    n = np.arange(len(vectors))
    rows = Rows(vectors, n[N_HELD_OUT:], n[:N_HELD_OUT], np.zeros(DIMENSIONS, np.float32), 1.0, False)
    config = AtomsConfig(n_atoms=N_ATOMS, target_active=ACTIVE, steps=steps, batch_size=BATCH)
    started = time.perf_counter()
    weights = train(rows, config).weights
    seconds = time.perf_counter() - started

    def apply(x: Any) -> tuple[Any, Any]:
        codes = weights.encode(x)
        return codes.toarray(), weights.decode(codes)

    return {"rate": steps / seconds, "apply": apply, "apply_train": lambda x: weights.encode(x).toarray()}


def _train_peer(vectors: Any, steps: int, kind: str) -> dict[str, Any]:
    import numpy as np
    import sae_lens
    import torch
    from sae_lens.config import SAETrainerConfig

    torch.manual_seed(0)
    rate = float(os.environ.get("PEER_RATE", PEERS[kind]))
    common = {"d_in": DIMENSIONS, "d_sae": N_ATOMS, "normalize_activations": "none"}
    if kind == "batchtopk":
        sae: Any = sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(k=ACTIVE, **common))
    else:
        sae = sae_lens.JumpReLUTrainingSAE(
            sae_lens.JumpReLUTrainingSAEConfig(
                jumprelu_sparsity_loss_mode="quadratic",
                target_l0=ACTIVE,
                l0_coefficient=float(os.environ.get("PEER_L0", "1e-3")),
                l0_warm_up_steps=steps // 10,
                **common,
            )
        )
    train = torch.from_numpy(vectors[N_HELD_OUT:])
    rng = np.random.default_rng(1)

    def batches() -> Any:
        while True:
            order = torch.from_numpy(rng.permutation(len(train)))
            for start in range(0, len(train) - BATCH + 1, BATCH):
                yield train[order[start : start + BATCH]]

    config = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=rate,
        lr_end=0.0,
        lr_warm_up_steps=steps // 20,
        lr_decay_steps=steps // 5,
        dead_feature_window=200,
    )
    trainer = sae_lens.SAETrainer(config, sae, batches())
    started = time.perf_counter()
    trainer.fit()
    seconds = time.perf_counter() - started

    def codes_of(x: Any) -> Any:
        with torch.no_grad():
            return sae.encode(torch.from_numpy(x))

    def apply(x: Any) -> tuple[Any, Any]:
        codes = codes_of(x)
        with torch.no_grad():
            return codes.numpy(), sae.decode(codes).numpy()

    return {
        "rate": steps / seconds,
        "version": sae_lens.__version__,
        "apply": apply,
        "apply_train": lambda x: codes_of(x).numpy(),
    }


if __name__ == "__main__":
    main()
