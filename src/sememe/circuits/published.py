"""The paper's method whole: outputs, a discrete autoencoder on a few prompts, codes, counts; and its controls."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from sememe.circuits.discrete import DiscreteConfig, DiscreteSAE
from sememe.circuits.head_outputs import head_outputs, unit_rms
from sememe.circuits.scoring import (
    Counts,
    Null,
    mean_difference,
    node_scores,
    permutation_null,
    random_projection_codes,
)
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel


@dataclass(frozen=True)
class PublishedConfig:
    """The paper's protocol; defaults are its own.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    pool: Literal["mean", "last"] = field(
        default="mean",
        metadata={"help": "outputs averaged over positions, or the last one's", "choices": ("mean", "last")},
    )  # fmt: skip
    n_train: int = field(default=10, metadata={"help": "prompts that the autoencoder is trained on"})
    disjoint: bool = field(
        default=False, metadata={"help": "count codes only on prompts that the autoencoder was not trained on"}
    )
    unit_rms: bool = field(default=False, metadata={"help": "give every head's outputs the same size first"})
    n_permutations: int = field(default=20, metadata={"help": "permutations of the labels for the null"})
    n_latents: int = field(default=200, metadata={"help": "how many different codes there can be"})
    l1: float = field(default=0.02, metadata={"help": "weight of the sparsity penalty (the paper: 0.05 for docstring)"})
    steps: int = field(default=500, metadata={"help": "steps of training"})
    decoder_norm: Literal["atom", "official"] = field(
        default="atom",
        metadata={"help": "unit norm for each atom, or for each output coordinate as in the official code",
                  "choices": ("atom", "official")},
    )  # fmt: skip

    def __post_init__(self) -> None:
        problems = []
        if self.pool not in ("mean", "last"):
            problems.append(f"pool is {self.pool!r}; use mean or last")
        if self.n_train < 1:
            problems.append(f"n_train is {self.n_train}; give 1 or more")
        if self.n_permutations < 2:
            problems.append(f"n_permutations is {self.n_permutations}; give 2 or more")
        if problems:
            raise InputError("; ".join(problems), where="circuits")
        self.autoencoder  # noqa: B018  (it checks its own values)

    @property
    def autoencoder(self) -> DiscreteConfig:
        """How the autoencoder is trained."""
        return DiscreteConfig(self.n_latents, self.l1, self.steps, decoder_norm=self.decoder_norm)


@dataclass(frozen=True, eq=False)
class Published:
    """What the paper's method and its controls say.

    Attributes:
        codes: int32 (prompts, heads), the positive prompts first.
        counts: of the codes; the paper counts the training prompts too.
        null: of the normalised score.
        random_projection: counts of codes that nothing was learned for.
        mean_difference: float64 (heads,).
        silent: share of codes that are 0 because no latent was active.
        seconds: wall time of the method, controls and null left out.
        cpu_seconds: what processors spent on it.

    """

    codes: np.ndarray
    counts: Counts
    null: Null
    random_projection: Counts
    mean_difference: np.ndarray
    silent: float
    seconds: float
    cpu_seconds: float


def published_scores(
    lm: LanguageModel, task: Task, config: PublishedConfig | None = None, random_state: int = 0
) -> Published:
    """Run the paper's method with its controls.

    Args:
        lm: the model.
        task: the pairs; the paper has 250, and below 50 the counts are coarse.
        config: its protocol.
        random_state: of the training prompts, the autoencoder, the permutations and the random directions.

    """
    config = config or PublishedConfig()
    started, cpu_started = time.perf_counter(), time.process_time()
    outputs = head_outputs(lm, [*task.positive, *task.negative], config.pool).outputs
    read, cpu_read = time.perf_counter() - started, time.process_time() - cpu_started
    found = score_outputs(outputs, len(task), config, random_state)
    return replace(found, seconds=read + found.seconds, cpu_seconds=cpu_read + found.cpu_seconds)


def score_outputs(outputs: np.ndarray, n_positive: int, config: PublishedConfig, random_state: int = 0) -> Published:
    """The same from outputs (prompts, heads, width) that were read before, the positive prompts first."""
    started, cpu_started = time.perf_counter(), time.process_time()
    if config.unit_rms:
        outputs = unit_rms(outputs)
    rng = np.random.default_rng(random_state)
    chosen = rng.permutation(len(outputs))[: config.n_train]
    autoencoder = DiscreteSAE(config.autoencoder, random_state).fit(outputs[chosen])
    codes = autoencoder.codes(outputs)
    counted = ~np.isin(np.arange(len(outputs)), chosen) if config.disjoint else np.ones(len(outputs), bool)
    positives = int(counted[:n_positive].sum())
    counts = node_scores(codes[counted], positives)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Published(
        codes=codes,
        counts=counts,
        null=permutation_null(codes[counted], positives, config.n_permutations, random_state),
        random_projection=node_scores(random_projection_codes(outputs, config.n_latents, random_state), n_positive),
        mean_difference=mean_difference(outputs, n_positive),
        silent=float(autoencoder.silent(outputs).mean()),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )
