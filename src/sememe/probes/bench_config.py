"""How a network of the training bench is made and trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sememe.errors import InputError
from sememe.probes.feature_tasks import BIT_KINDS, TOKEN_KINDS, FeatureTask, make_boolean, make_sequences

ARCHITECTURES = ("mlp", "decoder", "transformer")
"""`decoder` is a causal transformer; `transformer` is an encoder with a decoder."""
PLACES = {
    "mlp": (),
    "decoder": ("separator below", "separator", "answers", "inputs below"),
    "transformer": ("encoder",),
}
"""Where a representation can be read, the default first; an MLP has `layer N`, the last one by default."""
RATES = {"sgd": 0.1, "momentum": 0.01, "adam": 1e-3, "adamw": 1e-3}
"""Optimiser -> learning rate when none is given; `momentum` is SGD with 0.9."""


@dataclass(frozen=True)
class BenchConfig:
    """One cell of the bench: the features, the network, and how it learns.

    The paper does not give sizes; these are ours (see docs/probes.md).

    Raises:
        InputError: a value is out of range; all problems are reported together.
    """

    arch: str = field(default="mlp", metadata={"help": "the network", "choices": ARCHITECTURES})
    features: Mapping[str, str] = field(default_factory=lambda: {"easy": "linear", "hard": "xor"})
    outputs: tuple[str, ...] = ()
    """The order in which a transformer answers; by default that of the features."""
    read: str = field(default="", metadata={"help": "where the representation is read; see docs/probes.md"})
    first: str = field(default="", metadata={"help": "a feature that is learned alone before all are learned"})
    only: str = field(default="", metadata={"help": "a feature that is learned alone, the others never"})
    prevalence: Mapping[str, float] = field(default_factory=dict)
    """Feature -> share of the training inputs whose answer is known; 1 when it is not given."""
    optimizer: str = field(default="", metadata={"help": "default: sgd for the MLP, adam for the others",
                                                 "choices": tuple(RATES)})  # fmt: skip
    learning_rate: float = field(default=0.0, metadata={"help": "0: what the optimiser is used with"})
    batch_size: int = field(default=128, metadata={"help": "inputs of a step"})
    n_train: int = field(default=32_768, metadata={"help": "training inputs"})
    n_val: int = field(default=4096, metadata={"help": "inputs that maps are fitted on, and as many to measure on"})
    widths: tuple[int, ...] = (256, 128, 64, 64)
    """Hidden layers of the MLP; the last one is the representation."""
    width: int = field(default=32, metadata={"help": "of the transformers"})
    layers: int = field(default=2, metadata={"help": "of the transformers"})
    heads: int = field(default=4, metadata={"help": "of the transformers"})
    length: int = field(default=16, metadata={"help": "tokens of an input"})
    vocabulary: int = field(default=64, metadata={"help": "tokens that there are"})
    dropout: float = field(default=0.0, metadata={"help": "in training"})
    gate: float = field(default=0.999, metadata={"help": "accuracy from which a feature counts as learned"})
    check_every: int = field(default=100, metadata={"help": "steps between looks at the accuracy"})
    extra_steps: int = field(default=2000, metadata={"help": "steps after all features are learned"})
    max_steps: int = field(default=20_000, metadata={"help": "steps after which a run is given up; 0: untrained"})

    def __post_init__(self) -> None:
        kinds = tuple(BIT_KINDS) if self.arch == "mlp" else TOKEN_KINDS
        problems = [
            f"there is no kind {kind!r} for {self.arch}" for kind in self.features.values() if kind not in kinds
        ]
        problems += [
            f"there is no feature {name!r}"
            for name in (*self.prevalence, *filter(None, (self.first, self.only)), *self.outputs)
            if name not in self.features
        ]
        for name, choices in (("arch", ARCHITECTURES), ("optimizer", ("", *RATES))):
            if getattr(self, name) not in choices:
                problems.append(f"{name} is {getattr(self, name)!r}, not one of {', '.join(filter(None, choices))}")
        allowed = PLACES.get(self.arch) or tuple(f"layer {n}" for n in range(1, len(self.widths) + 1))
        if self.read not in ("", *allowed):
            problems.append(f"read is {self.read!r}, not one of {', '.join(allowed)}")
        problems += [f"{name} must be 1 or more" for name in _COUNTS if getattr(self, name) < 1]
        problems += [f"prevalence of {name} must be above 0 and at most 1"
                     for name, share in self.prevalence.items() if not 0 < share <= 1]  # fmt: skip
        if self.outputs and sorted(self.outputs) != sorted(self.features):
            problems.append("outputs must name every feature once")
        if self.max_steps < 0 or self.extra_steps < 0:
            problems.append("max_steps and extra_steps must be 0 or more")
        if not self.widths or min(self.widths) < 1 or not 0 <= self.dropout < 1 or not 0 < self.gate <= 1:
            problems.append("widths must be 1 or more, dropout from 0 to below 1, gate above 0 and at most 1")
        if problems:
            raise InputError("; ".join(problems), where="BenchConfig")

    @property
    def learned(self) -> tuple[str, ...]:
        """The features that a network must learn."""
        return (self.only,) if self.only else tuple(self.features)

    @property
    def chosen_optimizer(self) -> str:
        """The optimiser that is used."""
        return self.optimizer or ("sgd" if self.arch == "mlp" else "adam")

    @property
    def chosen_rate(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or RATES[self.chosen_optimizer]

    @property
    def place(self) -> str:
        """Where the representation is read."""
        return self.read or (PLACES[self.arch] or (f"layer {len(self.widths)}",))[0]

    def draw(self, n: int, random_state: int) -> FeatureTask:
        """Inputs and features of this cell."""
        if self.arch == "mlp":
            return make_boolean(n, self.features, random_state=random_state)
        return make_sequences(n, self.features, self.length, self.vocabulary, random_state)


_COUNTS = ("batch_size", "n_train", "n_val", "width", "layers", "heads", "check_every")
