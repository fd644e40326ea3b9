"""The training bench: networks that compute several features equally well, and what their representations favour.

After Lampinen, Chan and Hermann (2024). Any measure of representations can be calibrated on it: all features matter
equally here, so what a measure sees more of is a bias, of the representation or its own.

The project's one training loop trains encoders of texts with a schedule; the bench trains networks of a few thousand
weights with the plain optimisers that are under study, at a constant rate. It takes over its habits: batches are a
function of their number, and torch's random numbers of the caller are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sememe.errors import ModelError
from sememe.extras import require
from sememe.probes.bench_config import BenchConfig
from sememe.probes.bench_networks import make_decoder, make_mlp, make_transformer
from sememe.probes.feature_tasks import FeatureTask, check_independence
from sememe.probes.variance_explained import Explained, explained_by, trajectory, unit_density
from sememe.progress import track
from sememe.training.drawing import EveryEpoch
from sememe.training.representing import own_random_numbers

TRACED = 1024  # inputs of each half that trajectories are measured on
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class BenchRun:
    """One network.

    Attributes:
        seed: of its data, weights and batches.
        steps: how many it was trained for.
        learned_at: feature -> the step at which it passed the gate; features that never did are not in it.
        accuracy: feature -> accuracy on test inputs at the end.
        learned: the features that it was to learn.
        is_learned: whether all of them pass the gate on test inputs; if not, its shares say little.
        explained: what each feature explains of its representation.
        elsewhere: place -> feature -> share, at all places where a representation can be read.
        density: feature -> how many units are correlated with it.
        traced_steps: the steps of the trajectories.
        traced_accuracy: (steps, features), on validation inputs.
        traced_variance: (steps, features), in units of the final total variance.
        task: validation and test inputs and features.
        phi: their representations (n, d), float32; the first half is validation.
        head: representation -> logits (n, features); MLP only.
    """

    seed: int
    steps: int
    learned_at: Mapping[str, int]
    accuracy: Mapping[str, float]
    learned: Sequence[str]
    is_learned: bool
    explained: Explained
    elsewhere: Mapping[str, Mapping[str, float]]
    density: Mapping[str, int]
    traced_steps: Sequence[int]
    traced_accuracy: np.ndarray
    traced_variance: np.ndarray
    task: FeatureTask = field(repr=False)
    phi: np.ndarray = field(repr=False)
    head: Callable[[np.ndarray], np.ndarray] | None = field(repr=False)
    represent: Callable[[FeatureTask], np.ndarray] = field(repr=False)

    @property
    def val(self) -> np.ndarray:
        """The rows of `phi` that maps are fitted on."""
        return np.arange(len(self.phi) // 2)

    @property
    def test(self) -> np.ndarray:
        """The rows of `phi` that are measured on."""
        return np.arange(len(self.phi) // 2, len(self.phi))


@dataclass(frozen=True, eq=False)
class BenchResult:
    """The networks of one cell.

    Attributes:
        config: the cell.
        runs: networks that learned every feature.
        excluded: networks that did not; they are counted and never averaged.
    """

    config: BenchConfig
    runs: Sequence[BenchRun]
    excluded: Sequence[BenchRun]

    def shares(self, name: str) -> np.ndarray:
        """R² of a feature by run."""
        return np.array([run.explained.share[name] for run in self.runs])


def run_bench(config: BenchConfig, seeds: Sequence[int]) -> BenchResult:
    """Train a network for each seed and measure what its representation favours.

    Args:
        config: the cell.
        seeds: one network each.

    Raises:
        ModelError: a network's loss is no longer finite.
        MissingExtraError: torch is not installed.
    """
    require("torch", "models")
    runs = [train_one(config, seed) for seed in track(seeds, "Training", len(seeds), unit="networks")]
    return BenchResult(config, [run for run in runs if run.is_learned], [run for run in runs if not run.is_learned])


def train_one(config: BenchConfig, seed: int) -> BenchRun:
    """Train and measure one network; see `run_bench`. With `max_steps=0` it stays untrained."""
    import torch

    with own_random_numbers(torch.device("cpu")):
        torch.manual_seed(seed)
        training = _Training(config, seed)
        training.go()
    return training.measured()


class _Training:
    def __init__(self, config: BenchConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        train = config.draw(config.n_train, 2 * seed)
        self.task = config.draw(2 * config.n_val, 2 * seed + 1)
        check_independence(train.F, train.names)
        self.names = train.names
        # Outputs are in the order in which they are answered, features in the order in which they were given.
        self.order = [self.names.index(name) for name in config.outputs or self.names]
        self.network = _network(config, train)
        self.X, self.Y = _tensor(train.X), _tensor(train.F[:, self.order].astype(np.float32))
        self.known = _tensor(_known(config, self.order, len(train.X), seed))
        self.weights = np.ones(len(self.names), np.float32)
        self.optimizer = _optimizer(config, self.network)
        self.batches = EveryEpoch(len(train.X), seed)
        self.step, self.learned_at = 0, dict[str, int]()
        self.checkpoints: list[tuple[np.ndarray, np.ndarray]] = []
        self.traced: list[tuple[int, list[float]]] = []

    def go(self) -> None:
        """Phases: one feature alone if so configured, then all; each ends some steps after its features are learned."""
        phases = [[self.config.first]] if self.config.first else []
        for wanted in [*phases, list(self.config.learned)]:
            active = [float(self.names[place] in wanted) for place in self.order]
            self._phase(wanted, _tensor(np.array(active, np.float32)))

    def _phase(self, wanted: list[str], active: Any) -> None:
        end = self.config.max_steps + self.step
        self._look(self.step, wanted)
        while self.step < end:
            self._take_step(active)
            if self.step % self.config.check_every == 0 or self.step == end:
                self._look(self.step, wanted)
                if all(name in self.learned_at for name in wanted):
                    began = max(self.learned_at[name] for name in wanted)
                    if self.step - began >= self.config.extra_steps:
                        return

    def _take_step(self, active: Any) -> None:
        import torch

        rows = torch.from_numpy(self.batches.draw(self.step, self.config.batch_size))
        self.network.train()
        self.optimizer.zero_grad()
        logits = self.network.logits(self.X[rows], self.Y[rows])
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, self.Y[rows], reduction="none")
        loss = (losses * self.known[rows] * active).sum(dim=1).mean()
        if not torch.isfinite(loss):
            hint = "Lower the learning rate"
            raise ModelError(f"the loss is {float(loss)}", where=f"seed {self.seed}, step {self.step}", hint=hint)
        loss.backward()
        self.optimizer.step()
        self.step += 1

    def _look(self, step: int, wanted: list[str]) -> None:
        """Note accuracy and representation; a feature is learned at the first look that passes the gate."""
        if self.traced and self.traced[-1][0] == step:
            return
        n = self.config.n_val
        accuracy = self._accuracy(slice(0, n))
        for name, value in zip(self.names, accuracy, strict=True):
            if name in wanted and value >= self.config.gate:
                self.learned_at.setdefault(name, step)
        rows = min(TRACED, n)
        traced = np.r_[:rows, n : n + rows]
        phi = self._read(self.task.X[traced], self.task.F[traced])[self.config.place]
        self.checkpoints.append((phi[:rows], phi[rows:]))
        self.traced.append((step, accuracy))

    def _accuracy(self, rows: slice) -> list[float]:
        import torch

        self.network.eval()
        X, Y = self.task.X[rows], self.task.F[rows][:, self.order]
        with torch.inference_mode():
            answers = np.concatenate(
                [
                    (self.network.logits(_tensor(X[at : at + _BLOCK]), _tensor(Y[at : at + _BLOCK])) > 0).numpy()
                    for at in range(0, len(X), _BLOCK)
                ]
            )
        right = (answers == Y).mean(axis=0)
        return [float(right[self.order.index(place)]) for place in range(len(self.names))]

    def _represent(self, task: FeatureTask) -> np.ndarray:
        return self._read(task.X, task.F)[self.config.place]

    def _read(self, X: np.ndarray, F: np.ndarray) -> dict[str, np.ndarray]:
        """All places, float32 (n, width)."""
        import torch

        self.network.eval()
        found: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            for at in range(0, len(X), _BLOCK):
                answers = _tensor(F[at : at + _BLOCK, self.order])
                for place, states in self.network.representations(_tensor(X[at : at + _BLOCK]), answers).items():
                    found.setdefault(place, []).append(states.numpy())
        return {place: np.concatenate(parts) for place, parts in found.items()}

    def _logits(self, phi: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits: np.ndarray = self.network.head(_tensor(phi.astype(np.float32))).numpy()
        return logits[:, [self.order.index(place) for place in range(len(self.names))]]

    def measured(self) -> BenchRun:
        n, names = self.config.n_val, self.names
        accuracy = dict(zip(names, self._accuracy(slice(n, None)), strict=True))
        places, F = self._read(self.task.X, self.task.F), self.task.F
        phi, val, test = places[self.config.place], np.arange(n), np.arange(n, 2 * n)
        rows = min(TRACED, n)
        variance = trajectory(self.checkpoints, F[:rows], F[n : n + rows])
        return BenchRun(
            seed=self.seed,
            steps=self.step,
            learned_at=self.learned_at,
            accuracy=accuracy,
            learned=self.config.learned,
            is_learned=all(
                name in self.learned_at and accuracy[name] >= self.config.gate for name in self.config.learned
            ),
            explained=explained_by(phi, F, names, val, test),
            elsewhere={place: explained_by(there, F, names, val, test).share for place, there in places.items()},
            density=dict(zip(names, unit_density(phi, F).tolist(), strict=True)),
            traced_steps=[step for step, _ in self.traced],
            traced_accuracy=np.array([values for _, values in self.traced]),
            traced_variance=variance,
            task=self.task,
            phi=phi,
            head=self._logits if self.config.arch == "mlp" else None,
            represent=self._represent,
        )


def _network(config: BenchConfig, task: FeatureTask) -> Any:
    n_inputs, n_features = task.X.shape[1], task.F.shape[1]
    if config.arch == "mlp":
        return make_mlp(n_inputs, config.widths, n_features, config.dropout)
    make = make_decoder if config.arch == "decoder" else make_transformer
    sizes = {name: getattr(config, name) for name in ("width", "layers", "heads", "dropout")}
    return make(task.vocabulary, n_inputs, n_features, **sizes)


def _known(config: BenchConfig, order: Sequence[int], n: int, seed: int) -> np.ndarray:
    """1 where an answer is known in training, (n, outputs): a fixed part of the inputs for each feature."""
    known = np.ones((n, len(order)), np.float32)
    names = tuple(config.features)
    for column, place in enumerate(order):
        share = config.prevalence.get(names[place], 1.0)
        hidden = np.random.default_rng([seed, 13, place]).permutation(n)[round(share * n) :]
        known[hidden, column] = 0
    return known


def _optimizer(config: BenchConfig, network: Any) -> Any:
    import torch

    rate, weights = config.chosen_rate, list(network.parameters())
    if config.chosen_optimizer in ("sgd", "momentum"):
        return torch.optim.SGD(weights, lr=rate, momentum=0.9 if config.chosen_optimizer == "momentum" else 0.0)
    kind = torch.optim.Adam if config.chosen_optimizer == "adam" else torch.optim.AdamW
    return kind(weights, lr=rate)


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))
