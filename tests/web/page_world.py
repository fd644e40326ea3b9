"""A small collection and small random atoms."""

from __future__ import annotations

import numpy as np
from starlette.testclient import TestClient

from sememe import Atoms, Document
from sememe.atoms import Weights

PORT = 8765
WORDS = "red green blue cat dog bird runs sleeps flies over under big small house tree river stone cloud".split()  # noqa: SIM905
N_ATOMS, DIMENSIONS = 24, 16


def make_documents(n=60):
    rng = np.random.default_rng(0)
    documents = [
        Document(
            f"d{i}",
            " ".join(rng.choice(WORDS, rng.integers(4, 24))) + ".",
            title=f"Title {' '.join(rng.choice(WORDS, 2))}",
            metadata={"year": 2000 + i % 7, "venue": "UAI", "authors": ["A. One", "B. Two"]},
        )
        for i in range(n)
    ]
    long_text = " ".join(rng.choice(WORDS, 90))
    return [*documents, Document("folder/long text?.txt", long_text), Document("untitled", "a text without a title")]


class SmallAtoms(Atoms):
    """Atoms whose map takes no time."""

    def map(self):
        return self.decoder[:, :2]


def make_atoms(labels=None):
    rng = np.random.default_rng(1)
    decoder = rng.standard_normal((N_ATOMS, DIMENSIONS)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    weights = Weights(
        decoder=decoder,
        encoder=decoder,
        encoder_bias=np.zeros(N_ATOMS, np.float32),
        bias=0.05 * rng.standard_normal(DIMENSIONS).astype(np.float32),
        # The last atom is never active.
        thresholds=np.array([0.15] * (N_ATOMS - 1) + [9.0], np.float32),
    )
    card = {
        "r2": 0.61,
        "r2_train": 0.72,
        "mean_active": 5.5,
        "dead": 1,
        "dense": 3,
        "n_train": 54,
        "n_held_out": 6,
        "warnings": ["few vectors"],
        "certificate": {
            "inner_product": "euclidean",
            "live_atoms": N_ATOMS - 1,
            "mutual_coherence": 0.71,
            "welch_bound": 0.148,
            "unique_k_max": 1,
            "mean_active": 5.5,
        },
    }
    if labels is None:
        labels = [f"{WORDS[i % len(WORDS)]}, word{i}" for i in range(N_ATOMS)]
        labels[3] = ""
    return SmallAtoms(weights, np.full(N_ATOMS, 5), card, labels)


def client_of(app, host=f"127.0.0.1:{PORT}"):
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False, raise_server_exceptions=False)
