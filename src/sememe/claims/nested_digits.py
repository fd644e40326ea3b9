"""Cutting the representation of a small classifier of handwritten digits, and a cascade over its sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.claims.nested_text import principal_basis
from sememe.extras import require

SIZES = (2, 4, 8, 16, 32, 64)
HIDDEN, EPOCHS, BATCH, RATE, DECAY = 256, 30, 64, 2e-3, 1e-4
TRAINED = 0.6


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels from 0 to 1, float32 (n, 64), and classes (n,)."""

    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class _Model:
    """A trained network: images -> representations (n, 64), and -> probabilities (n_sizes, n, 10)."""

    represent: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray]


def load_images() -> Images:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, which come with the package."""
    digits = require("sklearn.datasets", "dev").load_digits()
    return Images((digits.data / 16).astype(np.float32), digits.target.astype(np.int64))


def digits_figures(images: Images, seed: int) -> dict[str, float]:
    """1-NN accuracy in percent of each method at each size, and of the cascade."""
    order = np.random.default_rng([seed, 6]).permutation(len(images.X))
    n_train = round(TRAINED * len(order))
    train, test = (Images(images.X[rows], images.y[rows]) for rows in (order[:n_train], order[n_train:]))
    models = {"MRL": _trained(train, SIZES, seed), "MRL-E": _trained(train, SIZES, seed, efficient=True)}
    separate = {m: _trained(train, (m,), seed) for m in SIZES}
    full = separate[SIZES[-1]]
    codes = {name: (model.represent(train.X), model.represent(test.X)) for name, model in models.items()}
    whole = full.represent(train.X), full.represent(test.X)
    basis = principal_basis(whole[0])
    codes["prefix of FF-64"] = whole
    codes["SVD of FF-64"] = whole[0] @ basis, whole[1] @ basis
    figures = {
        f"digits {name}@{m}": nearest_accuracy(*sides, train.y, test.y, m)
        for name, sides in codes.items()
        for m in SIZES
    }
    for m, model in separate.items():
        sides = model.represent(train.X), model.represent(test.X)
        figures[f"digits FF@{m}"] = nearest_accuracy(*sides, train.y, test.y, m)
    return {**figures, **_cascade_figures(models["MRL"].probabilities(test.X), test.y)}


def nearest_accuracy(train: np.ndarray, test: np.ndarray, y_train: np.ndarray, y_test: np.ndarray, m: int) -> float:
    """Percent of test rows whose nearest training row, by unit prefixes of `m` dimensions, is of their class."""
    from sememe.search.adaptive import truncate

    nearest = (truncate(test, m) @ truncate(train, m).T).argmax(axis=1)
    return 100 * float((y_train[nearest] == y_test).mean())


def _cascade_figures(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Thresholds fitted on one half of the test images, reported on the other."""
    from sememe.objectives.cascade import Cascade

    half = len(y) // 2
    answers = Cascade(SIZES).fit(probabilities[:, :half], y[:half]).predict(probabilities[:, half:])
    largest = probabilities[-1, half:].argmax(axis=1)
    return {
        "cascade: accuracy": 100 * float((answers.labels == y[half:]).mean()),
        "cascade: accuracy at 64": 100 * float((largest == y[half:]).mean()),
        "cascade: expected dimension": answers.expected_dimension,
    }


def _trained(train: Images, dims: Sequence[int], seed: int, *, efficient: bool = False) -> _Model:
    from sememe.objectives.matryoshka import MatryoshkaHeads, matryoshka_cross_entropy

    torch = require("torch", "models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(train.X.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, SIZES[-1])
        )
        heads = MatryoshkaHeads(dims, int(train.y.max()) + 1, efficient=efficient)
        optimizer = torch.optim.AdamW([*network.parameters(), *heads.parameters()], lr=RATE, weight_decay=DECAY)
        X, y = torch.from_numpy(train.X), torch.from_numpy(train.y)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(X)).split(BATCH):
                optimizer.zero_grad()
                matryoshka_cross_entropy(heads(network(X[rows])), y[rows]).backward()
                optimizer.step()

    def represent(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            z: np.ndarray = network(torch.from_numpy(X)).numpy()
        return z

    def probabilities(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = torch.stack(heads(network(torch.from_numpy(X))))
            p: np.ndarray = logits.softmax(dim=2).numpy()
        return p

    return _Model(represent, probabilities)
