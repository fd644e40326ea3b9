"""Training inside a claim."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sememe.corpus import Document
    from sememe.models.trainable import TrainableEncoder
    from sememe.training.config import TrainingConfig
    from sememe.training.loop import Trained
    from sememe.training.objective import Objective


def fit(
    encoder: TrainableEncoder, documents: Sequence[Document], objective: Objective, settings: TrainingConfig
) -> Trained:
    """Train an encoder in place without holding anything out: the last weights count."""
    from sememe.training.loop import train

    objective.prepare(encoder, settings.batch_size, settings.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = objective.data(documents, encoder, settings.batch_size, settings.seed, Path(scratch))
        return train(encoder, objective, data, settings)
