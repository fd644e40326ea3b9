"""Training a feedback encoder for an index: from judged queries to a saved `PrfEncoder`, measured on held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sememe import disk
from sememe.errors import InputError
from sememe.evaluation.metrics import Comparison, compare, query_metrics
from sememe.lock import WriterLock
from sememe.models.feedback_encoder import PrfEncoder
from sememe.models.trainable import as_trainable
from sememe.models.transformer import TransformerEncoder
from sememe.objectives.ance_prf import AncePrf, AncePrfConfig, Judged
from sememe.search.feedback import Feedback
from sememe.search.query_vectors import encoded_queries
from sememe.training.checkpoint import remove_work
from sememe.training.config import TrainingConfig
from sememe.training.encoders import work_folder
from sememe.training.loop import train

if TYPE_CHECKING:
    from sememe.search.index import Index

METRIC = "ndcg@10"
LEAST = 4
_AT_ONCE = 64


@dataclass(frozen=True)
class TrainedFeedback:
    """A feedback encoder on disk, and how it measured on queries that chose nothing.

    Attributes:
        path: its folder; `PrfEncoder.load` and `--feedback` take it.
        table: `plain`, `average`, `untrained` and `trained` -> mean nDCG@10.
        change: trained against plain search.
        queries: how many it was trained on.
        steps: that were taken, and that whose weights were kept.

    """

    path: Path
    table: Mapping[str, float]
    change: Comparison
    queries: int
    steps: tuple[int, int]


def train_feedback(
    index: Index,
    pairs: Sequence[tuple[str, str]],
    path: str | Path,
    *,
    k: int = 3,
    window: int | None = None,
    lowercase: bool = False,
    held_out: float = 0.2,
    objective: AncePrfConfig | None = None,
    training: TrainingConfig | None = None,
) -> TrainedFeedback:
    """Train a query encoder that reads the k best passages of the first search. The index is not changed.

    A run that was killed goes on when it is started again with the same arguments.

    Args:
        index: its encoder is where training starts, its vectors are what queries are compared with.
        pairs: queries and the ids of documents that answer them.
        path: the folder to write.
        k: passages; the encoder must later be used with so many.
        window: tokens that it reads.
        lowercase: lower-case texts first, as ANCE needs it.
        held_out: share of the queries to measure with; one half of them chooses the step, the other reports.
        objective: options of the objective.
        training: options of the loop; its checks are on the held-out queries.

    Raises:
        InputError: there are too few queries, or the encoder is no transformer.
        ModelError: training has left the finite numbers.

    """
    path, options, config = Path(path), objective or AncePrfConfig(), training or TrainingConfig(learning_rate=1e-5)
    start = PrfEncoder.from_encoder(index.encoder, k, window, lowercase)
    assert isinstance(start.encoder, TransformerEncoder)
    answers: dict[str, set[str]] = {}
    for query, document in pairs:
        answers.setdefault(query, set()).add(document)
    order = np.random.default_rng([config.seed, 17]).permutation(np.array(list(answers), object)).tolist()
    n_held = round(held_out * len(order))
    if n_held < LEAST or len(order) - n_held < config.batch_size:
        raise InputError(
            f"{len(order)} queries leave {n_held} to measure with and {len(order) - n_held} to train on",
            hint=f"At least {LEAST} and {config.batch_size}, the batch size, are needed",
        )
    choosing, reporting = order[: n_held // 2], order[n_held // 2 : n_held]
    judged = _judged(index, start, {query: answers[query] for query in order[n_held:]}, options.depth)
    # The trained copy has weights of its own: the index's encoder stays as it is.
    trainable = as_trainable(start.encoder).copy()
    trainable.module.requires_grad_(True)
    assert isinstance(trainable.encoder, TransformerEncoder)
    trained = start.with_weights(trainable.encoder)
    learning = AncePrf(judged, trained, lambda rows: np.asarray(index.bank[rows]), index.text, options)
    work = work_folder(path)
    disk.make_folder(work)
    lock = WriterLock(work)
    try:
        learning.prepare(trainable, config.batch_size, config.seed)
        data = learning.data((), trainable, config.batch_size, config.seed, work)

        def check(_: int) -> float:
            return float(np.mean(list(_measured(index, choosing, answers, Feedback(trained)).values())))

        done = train(trainable, learning, data, config, check=check, work=work)
        trained.save_pretrained(path)
    finally:
        lock.release()
    remove_work(work)
    systems = {"plain": None, "average": Feedback("average", k=k), "untrained": Feedback(start)}
    found = {name: _measured(index, reporting, answers, how) for name, how in systems.items()}
    found["trained"] = _measured(index, reporting, answers, Feedback(trained))
    table = {name: float(np.mean(list(values.values()))) for name, values in found.items()}
    change = compare(found["trained"], found["plain"])
    return TrainedFeedback(path, table, change, len(judged), (done.steps, done.kept_step))


def _judged(index: Index, prf: PrfEncoder, answers: Mapping[str, set[str]], depth: int) -> list[Judged]:
    """One for each query and document that answers it, with what the plain search finds."""
    queries, judged = list(answers), []
    for first in range(0, len(queries), _AT_ONCE):
        some = queries[first : first + _AT_ONCE]
        vectors = encoded_queries(index, [prf.as_read(query) for query in some])
        for query, hits in zip(some, index.search_batch(vectors, depth), strict=True):
            rows = {document: index.rows_of(document).tolist() for document in sorted(answers[query])}
            every = frozenset(int(row) for of in rows.values() for row in of)
            found = [int(hit.row) for hit in hits]
            # Of a document of several windows that which was found, else its first.
            judged += [
                Judged(query, next((row for row in found if row in of), of[0]), found, every) for of in rows.values()
            ]
    return judged


def _measured(
    index: Index, queries: Sequence[str], answers: Mapping[str, set[str]], feedback: Feedback | None
) -> Mapping[str, float]:
    runs = index.rank_batch(list(queries), 10, feedback=feedback)
    run = dict(zip(queries, runs, strict=True))
    found: Mapping[str, float] = query_metrics(run, {q: dict.fromkeys(answers[q], 1) for q in queries}, [METRIC])[
        METRIC
    ]
    return found
