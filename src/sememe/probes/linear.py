"""Linear probes with control tasks: what can be decoded, and how much of that the probe itself brings.

Hewitt and Liang, "Designing and Interpreting Probes with Control Tasks" (EMNLP 2019): a control task gives every *type*
of input a random label. It can only be learned by heart, so a probe's accuracy on held-out inputs of known types is
what its own capacity brings; selectivity is the accuracy on the real task minus that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.evaluation.metrics import compare

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""L2 penalties to choose from, on a fifth of the fitting half; they multiply half the squared norm of the weights."""
N_CONTROLS = 5
LEAST = 20  # inputs of each half
Z = 1.959963984540054  # of a 95% interval
_ITERATIONS = 200
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Multinomial logistic regression on standardised inputs: argmax_c of (x - mean) / scale @ W[:, c] + b[c].

    Attributes:
        W: (d, classes).
        b: (classes,).
        mean: (d,).
        scale: (d,).
    """

    W: np.ndarray
    b: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray, y: np.ndarray, strength: float, n_classes: int | None = None) -> LinearClassifier:
        """Minimise the mean cross-entropy plus `strength` / 2 |W|^2, by L-BFGS from zero.

        Args:
            X: (n, d).
            y: (n,) classes, counted from 0.
            strength: of the penalty; above 0.
            n_classes: by default as many as y has.
        """
        from scipy.optimize import minimize
        from scipy.special import log_softmax

        n, d, k = len(X), X.shape[1], n_classes or int(y.max()) + 1
        mean, scale = X.mean(axis=0), X.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        Z, onehot = (X - mean) / scale, np.eye(k)[y]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            W, b = flat[: d * k].reshape(d, k), flat[d * k :]
            log_p = log_softmax(Z @ W + b, axis=1)
            pull = (np.exp(log_p) - onehot) / n
            value = -float((onehot * log_p).sum()) / n + strength / 2 * float(np.square(W).sum())
            return value, np.concatenate([(Z.T @ pull + strength * W).ravel(), pull.sum(axis=0)])

        found = minimize(loss, np.zeros((d + 1) * k), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
        return cls(found.x[: d * k].reshape(d, k), found.x[d * k :], mean, scale)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of each row (n,), int64."""
        classes: np.ndarray = ((X - self.mean) / self.scale @ self.W + self.b).argmax(axis=1)
        return classes


@dataclass(frozen=True)
class LinearProbe:
    """How well a label is decoded.

    Attributes:
        accuracy: on held-out inputs.
        interval: its 95% interval (Wilson's).
        majority: accuracy of always answering the most frequent class.
        control: mean accuracy of control tasks on the same held-out inputs.
        known_types: share of held-out inputs whose type occurs in the fitting half; only they can be learned by heart.
        selectivity: accuracy minus control.
        selectivity_interval: its 95% bootstrap interval over held-out inputs.
        strength: the penalty that was chosen.
        n_fit: inputs that it was fitted on.
        n_test: inputs that it was measured on.
    """

    accuracy: float
    interval: tuple[float, float]
    majority: float
    control: float
    known_types: float
    selectivity: float
    selectivity_interval: tuple[float, float]
    strength: float
    n_fit: int
    n_test: int


def linear_probe(
    X: np.ndarray,
    y: Sequence[Hashable] | np.ndarray,
    types: Sequence[Hashable],
    fit: np.ndarray,
    test: np.ndarray,
    *,
    random_state: int = 0,
) -> LinearProbe:
    """Decode a label, and control tasks, with the same probe.

    Args:
        X: representations (n, d).
        y: their labels (n,); two classes or more.
        types: what a control task gives one label to; see `text_types`.
        fit: rows to fit on; the penalty is chosen on a fifth of them.
        test: rows to measure on.
        random_state: of the control tasks and of that fifth.

    Raises:
        InputError: too few inputs, one class only, or a row in both halves.
    """
    if min(len(fit), len(test)) < LEAST:
        raise InputError(f"{len(fit)} and {len(test)} inputs", where="linear_probe", hint=f"Give {LEAST} of each")
    if len(np.intersect1d(fit, test)):
        raise InputError("a row is fitted on and measured on", where="linear_probe")
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    if len(np.unique(labels[fit])) < 2:
        raise InputError(f"always '{classes[labels[fit][0]]}' in the fitting half", where="linear_probe")
    X = np.asarray(X, np.float64)
    rng = np.random.default_rng([random_state, 17])
    strength = _choose_strength(X[fit], labels[fit], len(classes), rng)
    right = LinearClassifier.fit(X[fit], labels[fit], strength, len(classes)).predict(X[test]) == labels[test]
    control = np.zeros(len(test))
    for _ in range(N_CONTROLS):
        shuffled = _control_labels(types, labels[fit], rng)
        probe = LinearClassifier.fit(X[fit], shuffled[fit], strength, len(classes))
        control += (probe.predict(X[test]) == shuffled[test]) / N_CONTROLS
    names = [str(row) for row in test]
    compared = compare(
        dict(zip(names, right.astype(float).tolist(), strict=True)), dict(zip(names, control.tolist(), strict=True))
    )
    known = {types[row] for row in fit}
    majority = np.bincount(labels[fit], minlength=len(classes)).argmax()
    return LinearProbe(
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), len(test)),
        majority=float((labels[test] == majority).mean()),
        control=float(control.mean()),
        known_types=float(np.mean([types[row] in known for row in test])),
        selectivity=compared.difference,
        selectivity_interval=(compared.low, compared.high),
        strength=strength,
        n_fit=len(fit),
        n_test=len(test),
    )


def text_types(texts: Sequence[str]) -> list[str]:
    """The type of each text: its word that occurs in most of the texts, but in no more than a tenth of them.

    Hewitt and Liang's types are words; a text has no such natural type. Words that several texts share are what a probe
    of texts can learn by heart. A text without such a word is a type of its own.
    """
    words = [sorted(set(_WORD.findall(text.lower()))) for text in texts]
    counts = Counter(word for found in words for word in found)
    most = max(2, len(texts) // 10)
    types = []
    for number, found in enumerate(words):
        shared = [word for word in found if 2 <= counts[word] <= most]
        types.append(max(shared, key=lambda word: counts[word]) if shared else f"\0{number}")
    return types


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson, 1927)."""
    p = right / n
    centre, spread = p + Z**2 / (2 * n), Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return float((centre - spread) / (1 + Z**2 / n)), float((centre + spread) / (1 + Z**2 / n))


def _choose_strength(X: np.ndarray, y: np.ndarray, n_classes: int, rng: np.random.Generator) -> float:
    order = rng.permutation(len(X))
    held, kept = order[: len(X) // 5], order[len(X) // 5 :]
    if len(np.unique(y[kept])) < 2:
        return STRENGTHS[-1]
    scores = {
        strength: float(
            (LinearClassifier.fit(X[kept], y[kept], strength, n_classes).predict(X[held]) == y[held]).mean()
        )
        for strength in STRENGTHS
    }
    return max(sorted(scores, reverse=True), key=lambda strength: scores[strength])  # of equals the strongest


def _control_labels(types: Sequence[Hashable], y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random label for every type, with the frequencies of the real ones."""
    places = {kind: number for number, kind in enumerate(dict.fromkeys(types))}
    drawn = rng.choice(y, len(places))
    return np.array([drawn[places[kind]] for kind in types])
