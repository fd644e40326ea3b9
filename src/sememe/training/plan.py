"""What training would cost, from timing it on a batch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.errors import InputError
from sememe.models.trainable import TrainableEncoder
from sememe.training.config import TrainingConfig
from sememe.training.objective import DataView, Objective
from sememe.training.representing import Represent, own_random_numbers
from sememe.training.search_task import SearchTask

_PATIENT = 5.0  # seconds; a first batch that takes longer is not timed again
_PROBED = 16  # held-out texts


@dataclass(frozen=True)
class Plan:
    """What a run would cost, before it starts.

    Attributes:
        steps: optimiser steps.
        examples: pairs and the like that are trained on, repetitions counted.
        trained: how many numbers are trained.
        train_seconds: for the steps, from timing a batch.
        measure_seconds: for all measurements on held-out texts, from timing a few.
        memory_bytes: weights, gradients, the optimiser's state and the activations that are held.
        disk_bytes: while it runs.
        disk_free: where it would be.

    """

    steps: int
    examples: int
    trained: int
    train_seconds: float
    measure_seconds: float
    memory_bytes: int
    disk_bytes: int
    disk_free: int

    def check(self) -> None:
        """Refuse what cannot end well.

        Raises:
            InputError: there is not enough room on the disk.

        """
        if self.disk_bytes > self.disk_free:
            raise InputError(
                f"training needs {self.disk_bytes / 2**30:.1f} GiB of disk and {self.disk_free / 2**30:.1f} are free"
            )


def plan_training(
    encoder: TrainableEncoder,
    objective: Objective,
    data: DataView,
    config: TrainingConfig,
    tasks: Mapping[SearchTask, int],
    *,
    folder: Path,
) -> Plan:
    """Time a batch and a few texts; nothing is changed by it.

    Args:
        encoder: what would be trained.
        objective: the loss, prepared.
        data: the batches.
        config: the options.
        tasks: what is measured, and how often.
        folder: where the run would keep what it needs.

    """
    seconds, activations = _time_batch(encoder, objective, data, config)
    weights = list(encoder.parameters().values()) + list(objective.parameters().values())
    trained = sum(weight.numel() for weight in weights)
    everything = encoder.count_parameters() + sum(weight.numel() for weight in objective.parameters().values())
    state = sum(tensor.numel() * tensor.element_size() for tensor in objective.arrays().values())
    copies = 4 if tasks else 3  # the weights, two moments and the best so far
    checkpoint = 4 * trained * copies + state
    return Plan(
        steps=config.steps,
        examples=config.steps * config.accumulate * config.batch_size,
        trained=trained,
        train_seconds=seconds * config.steps * config.accumulate,
        measure_seconds=sum(times * task.estimate(encoder.encoder, _PROBED) for task, times in tasks.items()),
        memory_bytes=4 * everything + 4 * trained * copies + state + activations,
        disk_bytes=2 * checkpoint + 2 * 4 * everything + 4 * int(data.about.get("tokens", 0)),
        disk_free=shutil.disk_usage(folder).free,
    )


def _time_batch(
    encoder: TrainableEncoder, objective: Objective, data: DataView, config: TrainingConfig
) -> tuple[float, int]:
    """Seconds of a batch, and the bytes that are held for the way back."""
    held: dict[int, int] = {}
    represent = Represent(
        encoder,
        objective.views,
        objective.encoders(),
        chunk=config.chunk,
        precision=config.precision,
        seed=config.seed,
    )
    encoder.train()
    with own_random_numbers(encoder.device):
        seconds = _pass(represent, objective, data, held)
        if seconds < _PATIENT:
            seconds = _pass(represent, objective, data, None)
    for weight in [*encoder.parameters().values(), *objective.parameters().values()]:
        weight.grad = None
    encoder.train(False)
    return seconds, sum(held.values())


def _pass(represent: Represent, objective: Objective, data: DataView, held: dict[int, int] | None) -> float:
    import torch

    def note(tensor: Any) -> Any:
        if held is not None and not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            # Where memory is used again for the next piece, it counts once.
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    started = time.perf_counter()
    batch = data.batch(0)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        computed = represent.batch(batch, 0)
        computed.backward(objective.loss(computed.representations, batch).value)
    return time.perf_counter() - started
