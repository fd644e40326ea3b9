"""Training a product codebook, linear heads, or both, on frozen vectors, with the loss of contrastive quantisation.

What is trained is small (a codebook, one or two d x d maps), so it takes seconds to minutes on a CPU and needs
neither the texts nor the encoder. Heads without a codebook are a conventional dense model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sememe.errors import InputError
from sememe.extras import require
from sememe.objectives.contrastive_quantization import (
    codeword_counts,
    contrastive_quantization_loss,
    multi_ce,
    nearest_codewords,
)
from sememe.objectives.locality_batches import Batch
from sememe.progress import progress

LEARNABLE = ("codebook", "query_head", "document_head")
_DEV_DOCUMENTS = 8192
_USAGE_DOCUMENTS = 8192


@dataclass(frozen=True)
class ContrastiveConfig:
    """How to train.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    steps: int = field(default=400, metadata={"help": "most training steps"})
    batch_size: int = field(default=192, metadata={"help": "queries in a batch, each with one positive document"})
    negatives: int = field(default=192, metadata={"help": "random documents in a batch that all its queries share"})
    learning_rate: float = field(default=3e-4, metadata={"help": "of Adam"})
    temperature: float = field(default=1 / 15, metadata={"help": "what scores are divided by; the paper's is 1"})
    distance_scale: float = field(default=10.0, metadata={"help": "what distances to codewords are multiplied by"})
    dense_weight: float = field(default=1.0, metadata={"help": "weight of the cross-entropy of exact scores"})
    l2_weight: float = field(default=0.0, metadata={"help": "weight of the mean distance from vector to codewords"})
    check_every: int = field(default=50, metadata={"help": "steps between checks on the dev queries"})
    patience: int = field(
        default=4, metadata={"help": "checks without improvement before it stops; 0 trains to the end and keeps that"}
    )
    dev_share: float = field(default=0.1, metadata={"help": "share of the queries that decides when to stop"})

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 2, "check_every": 1, "negatives": 0, "patience": 0, "l2_weight": 0}
        problems = [f"{name} must be at least {low}" for name, low in least.items() if not getattr(self, name) >= low]
        above = ("learning_rate", "temperature", "distance_scale")
        problems += [f"{name} must be above 0" for name in above if not 0 < getattr(self, name) < np.inf]
        if not self.dense_weight >= 0:
            problems.append("dense_weight must be at least 0")
        if not 0 <= self.dev_share < 1 or (self.patience and not self.dev_share):
            problems.append("dev_share must be below 1, and above 0 unless patience is 0")
        if problems:
            raise InputError("; ".join(problems), where="ContrastiveConfig")


@dataclass(frozen=True, eq=False)
class Space:
    """What queries and documents are compared in; None stands for the identity, or for no quantiser.

    Attributes:
        codebook: the codewords; shape (M, K, d / M).
        rotation: R, orthogonal, shape (d, d); never trained.
        query_head: shape (d, d); a query q becomes ``H q``.
        document_head: shape (d, d).

    """

    codebook: np.ndarray | None = None
    rotation: np.ndarray | None = None
    query_head: np.ndarray | None = None
    document_head: np.ndarray | None = None

    def queries(self, vectors: np.ndarray) -> np.ndarray:
        """Query vectors (n, d) after their head."""
        return _headed(vectors, self.query_head)

    def documents(self, vectors: np.ndarray) -> np.ndarray:
        """Document vectors (n, d) after their head, not quantised."""
        return _headed(vectors, self.document_head)

    def problems(self, d: int) -> list[str]:
        """What does not fit vectors of `d` dimensions, in words."""
        found = []
        if self.codebook is not None:
            shape = self.codebook.shape
            if len(shape) != 3 or shape[0] * shape[2] != d:
                found.append(f"a codebook of shape {shape} does not fit vectors of {d} dimensions")
        for name in ("rotation", "query_head", "document_head"):
            matrix = getattr(self, name)
            if matrix is not None and matrix.shape != (d, d):
                found.append(f"{name} must have shape ({d}, {d}), not {matrix.shape}")
        return found


@dataclass(frozen=True, eq=False)
class Fitted:
    """What `fit_contrastive` learned.

    Attributes:
        space: the state that did best on the dev queries; with `patience` 0, the last one.
        step: the step that this state is from; 0 is the start.
        dev_losses: step -> loss on the dev queries over up to 8,192 documents; empty without a dev split.
        perplexity: of codeword use, for each slice, at the end: K when all are used alike; empty without a codebook.
        reseeded: how many codewords that no document was nearest to were given the place of a document.

    """

    space: Space
    step: int
    dev_losses: Mapping[int, float]
    perplexity: Sequence[float]
    reseeded: int


def fit_contrastive(
    queries: np.ndarray,
    documents: np.ndarray,
    positives: Sequence[Sequence[int]],
    start: Space,
    *,
    learn: Sequence[str] = ("codebook",),
    config: ContrastiveConfig | None = None,
    batches: Iterable[Batch] | None = None,
    random_state: int = 0,
) -> Fitted:
    """Train a codebook, linear heads, or both, on frozen vectors.

    Heads alone, with no codebook in `start`, are the conventional dense model (the paper's stage 0, and its stage 2
    with batches from `locality_batches`).

    Args:
        queries: shape (n, d).
        documents: shape (N, d).
        positives: for each query the numbers of the documents that answer it; one or more.
        start: where training begins, such as the identity with the rotation and codebook of OPQ.
        learn: which of `codebook`, `query_head`, `document_head`.
        config: the settings.
        batches: query, positive and negative numbers for each step, repeated as long as there are steps, so give
            something that can be iterated over again; by default queries and negatives are drawn at random.
            Queries of the dev split are left out.
        random_state: seed; the same one gives the same result.

    Raises:
        InputError: shapes do not fit, a query has no positive, or `learn` does not fit `start`.
        MissingExtraError: torch is not installed.

    """
    config = config or ContrastiveConfig()
    _check(queries, documents, positives, start, learn)
    require("torch", "models")
    training = _Training(
        queries, documents, positives, start=start, learn=learn, config=config, random_state=random_state
    )
    return training.run(batches)


class _Training:
    def __init__(
        self,
        queries: np.ndarray,
        documents: np.ndarray,
        positives: Sequence[Sequence[int]],
        *,
        start: Space,
        learn: Sequence[str],
        config: ContrastiveConfig,
        random_state: int,
    ) -> None:
        import torch

        self.config, self.learn, self.positives = config, tuple(learn), positives
        self.rng = np.random.default_rng([random_state, 7])
        self.queries = torch.from_numpy(np.ascontiguousarray(queries, np.float32))
        self.documents = torch.from_numpy(np.ascontiguousarray(documents, np.float32))
        order = self.rng.permutation(len(queries))
        n_dev = round(config.dev_share * len(queries))
        if config.dev_share:
            n_dev = min(max(1, n_dev), len(queries) - 1)
        self.dev, self.train = np.sort(order[:n_dev]), np.sort(order[n_dev:])
        identity = np.eye(queries.shape[1], dtype=np.float32)
        arrays = {name: getattr(start, name) for name in LEARNABLE}
        for name in ("query_head", "document_head"):
            if name in self.learn and arrays[name] is None:
                arrays[name] = identity
        self.start = replace(start, **arrays)
        self.tensors = {
            name: torch.tensor(array, dtype=torch.float32, requires_grad=name in self.learn)
            for name, array in arrays.items()
            if array is not None
        }
        self.rotation = None if start.rotation is None else torch.tensor(start.rotation, dtype=torch.float32)
        self.optimizer = torch.optim.Adam([self.tensors[name] for name in self.learn], lr=config.learning_rate)
        self.dev_documents = self._dev_documents()
        self.reseeded = 0

    def run(self, batches: Iterable[Batch] | None) -> Fitted:
        config = self.config
        best, best_step, losses = self._state(), 0, {}
        if len(self.dev):
            losses[0] = self._dev_loss()
        with progress("Training", config.steps, unit="steps") as bar:
            for step, batch in enumerate(self._batches(batches), start=1):
                self._step(batch)
                bar.advance()
                if step % config.check_every == 0 or step == config.steps:
                    self._reseed()
                    if len(self.dev):
                        losses[step] = self._dev_loss()
                    if not config.patience or losses[step] < losses[best_step]:
                        best, best_step = self._state(), step
                    elif step - best_step >= config.patience * config.check_every:
                        break
        perplexity = [] if best.codebook is None else self._perplexity(best)
        return Fitted(best, best_step, losses, perplexity, self.reseeded)

    def _step(self, batch: Batch) -> None:
        import torch

        loss = self._loss(batch)
        if not torch.isfinite(loss):
            raise InputError("the loss is not finite", hint="Choose a smaller learning_rate or a larger temperature")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _loss(self, batch: Batch) -> Any:
        config = self.config
        queries = self._headed(self.queries[batch.queries], "query_head")
        positives = self._headed(self.documents[batch.positives], "document_head")
        negatives = self._headed(self.documents[batch.negatives], "document_head")
        masked = self._masked(batch.queries, np.concatenate([batch.positives, batch.negatives]))
        codebook = self.tensors.get("codebook")
        if codebook is None:
            import torch

            return multi_ce(queries @ torch.cat([positives, negatives]).T / config.temperature, masked)
        heads_learn = len(self.learn) > 1 or "codebook" not in self.learn
        return contrastive_quantization_loss(
            queries,
            positives,
            negatives,
            codebook,
            self.rotation,
            masked=masked,
            temperature=config.temperature,
            distance_scale=config.distance_scale,
            dense_weight=config.dense_weight if heads_learn else 0.0,
            l2_weight=config.l2_weight,
        )

    def _headed(self, vectors: Any, head: str) -> Any:
        return vectors @ self.tensors[head].T if head in self.tensors else vectors

    def _masked(self, queries: np.ndarray, documents: np.ndarray) -> Any:
        import torch

        columns: dict[int, list[int]] = {}
        for column, document in enumerate(documents.tolist()):
            columns.setdefault(document, []).append(column)
        masked = torch.zeros((len(queries), len(documents)), dtype=torch.bool)
        for row, query in enumerate(queries.tolist()):
            for document in self.positives[query]:
                masked[row, columns.get(int(document), [])] = True
        return masked

    def _batches(self, given: Iterable[Batch] | None) -> Iterator[Batch]:
        steps = self.config.steps
        done = 0
        while done < steps:
            before = done
            for batch in self._random_batches() if given is None else self._without_dev(given):
                yield batch
                done += 1
                if done == steps:
                    return
            if done == before:
                raise InputError("there are no batches with two or more training queries")

    def _random_batches(self) -> Iterator[Batch]:
        size = min(self.config.batch_size, len(self.train))
        order = self.rng.permutation(self.train)
        for first in range(0, len(order) - size + 1, size):
            queries = order[first : first + size]
            positives = np.array([self._positive(query) for query in queries])
            yield Batch(queries, positives, self.rng.integers(0, len(self.documents), self.config.negatives))

    def _positive(self, query: int) -> int:
        found = self.positives[query]
        return int(found[int(self.rng.integers(len(found)))])

    def _without_dev(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            kept = np.isin(batch.queries, self.train)
            if kept.sum() >= 2:
                per_query = len(batch.negatives) // len(batch.queries)
                yield Batch(batch.queries[kept], batch.positives[kept], batch.negatives[np.repeat(kept, per_query)])

    def _dev_documents(self) -> np.ndarray:
        """The first positive of each dev query, then other documents: what dev queries choose among."""
        answers = np.array([self.positives[query][0] for query in self.dev], np.int64)
        others = self.rng.permutation(np.setdiff1d(np.arange(len(self.documents)), answers))
        return np.concatenate([answers, others[: max(0, _DEV_DOCUMENTS - len(answers))]])

    def _dev_loss(self) -> float:
        import torch

        with torch.no_grad():
            queries = self._headed(self.queries[self.dev], "query_head")
            documents = self._headed(self.documents[self.dev_documents], "document_head")
            if "codebook" in self.tensors:
                if self.rotation is not None:
                    queries, documents = queries @ self.rotation.T, documents @ self.rotation.T
                documents = nearest_codewords(documents, self.tensors["codebook"])
            scores = queries @ documents.T / self.config.temperature
            return float(multi_ce(scores, self._masked(self.dev, self.dev_documents)))

    def _reseed(self) -> None:
        """Put codewords that no document is nearest to where a document is, and forget their momentum."""
        import torch

        if "codebook" not in self.learn:
            return
        codebook = self.tensors["codebook"]
        with torch.no_grad():
            slices = self._slices()
            counts = codeword_counts(slices, codebook)
            moments = self.optimizer.state[codebook]
            for m, k in torch.nonzero(counts == 0).tolist():
                codebook[m, k] = slices[m, int(self.rng.integers(slices.shape[1]))]
                for name in ("exp_avg", "exp_avg_sq"):
                    moments[name][m, k] = 0
                self.reseeded += 1

    def _slices(self) -> Any:
        """The slices of up to 8,192 documents; tensor (M, n, width)."""
        n = min(_USAGE_DOCUMENTS, len(self.documents))
        rows = np.linspace(0, len(self.documents) - 1, n).astype(np.int64)
        vectors = self._headed(self.documents[rows], "document_head")
        if self.rotation is not None:
            vectors = vectors @ self.rotation.T
        m, _, width = self.tensors["codebook"].shape
        return vectors.reshape(n, m, width).transpose(0, 1)

    def _perplexity(self, state: Space) -> list[float]:
        import torch

        with torch.no_grad():
            for name in self.learn:
                self.tensors[name].copy_(torch.tensor(getattr(state, name)))
            counts = codeword_counts(self._slices(), self.tensors["codebook"]).double()
            shares = counts / counts.sum(dim=1, keepdim=True)
            return torch.exp(-torch.special.xlogy(shares, shares).sum(dim=1)).tolist()  # type: ignore[no-any-return]

    def _state(self) -> Space:
        learned = {name: self.tensors[name].detach().numpy().copy() for name in self.learn}
        return replace(self.start, **learned)


def _headed(vectors: np.ndarray, head: np.ndarray | None) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    return vectors if head is None else vectors @ head.T


def _check(
    queries: np.ndarray, documents: np.ndarray, positives: Sequence[Sequence[int]], start: Space, learn: Sequence[str]
) -> None:
    for name, array in (("queries", queries), ("documents", documents)):
        if array.ndim != 2 or not np.isfinite(array).all():
            raise InputError(f"must be finite numbers of shape (n, d), not of {array.shape}", where=name)
    d = documents.shape[1]
    problems = start.problems(d)
    if queries.shape[1] != d:
        problems.append(f"queries have {queries.shape[1]} dimensions, documents {d}")
    if len(queries) < 2 or len(positives) != len(queries):
        problems.append(f"{len(queries)} queries and positives of {len(positives)}: give both for two or more")
    n = len(documents)
    without = [query for query, found in enumerate(positives) if not len(found) or min(found) < 0 or max(found) >= n]
    if without:
        problems.append(f"query {without[0]} has no positive among the {len(documents)} documents")
    if not learn or set(learn) - set(LEARNABLE) or len(set(learn)) != len(learn):
        problems.append(f"learn must name some of {', '.join(LEARNABLE)}, not {', '.join(learn) or 'nothing'}")
    if "codebook" in learn and start.codebook is None:
        problems.append("there is no codebook to start from")
    if problems:
        raise InputError("; ".join(problems), where="fit_contrastive")
