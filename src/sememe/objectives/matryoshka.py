"""Matryoshka objectives: the first m coordinates of a representation shall do its work, for every m of a short list.

Kusupati et al., "Matryoshka Representation Learning" (NeurIPS 2022, arXiv 2205.13147), equation 1. A loss is summed
over the sizes, not averaged, as in the paper and in sentence-transformers' `MatryoshkaLoss`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from sememe import artifact
from sememe.errors import ArtifactError, InputError, NotFittedError
from sememe.extras import require
from sememe.models.encoder import normalized
from sememe.objectives.info_nce import dot_scores, info_nce
from sememe.progress import progress

KIND = "matryoshka-adapter"

PairLoss = Callable[[Any, Any], Any]
"""Two tensors of unit rows (n, m), row i of one belonging to row i of the other -> a scalar."""


def matryoshka_cross_entropy(
    logits: Sequence[Any],
    y: Any,
    weights: Sequence[float] | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "sum",
) -> Any:
    """The weighted sum over sizes of the cross-entropy of each size's logits (equation 1).

    Args:
        logits: one tensor (n, n_classes) a size, as `MatryoshkaHeads` gives.
        y: class numbers (n,).
        weights: the weight of each size; by default 1.
        label_smoothing: passed to every term.
        reduction: `sum` over sizes, or `mean`, which divides by the number of sizes.

    Raises:
        InputError: there are no logits, or the weights or the reduction cannot be used.

    """
    functional = require("torch.nn.functional", "models")
    if reduction not in ("sum", "mean"):
        raise InputError(f"there is no reduction {reduction!r}", hint="Choose from sum, mean")
    total: Any = 0.0
    for weight, of_size in zip(_weights(weights, len(logits)), logits, strict=True):
        total = total + weight * functional.cross_entropy(of_size, y, label_smoothing=label_smoothing)
    return total / len(logits) if reduction == "mean" else total


def matryoshka_pair_loss(
    a: Any,
    b: Any,
    dims: Sequence[int],
    weights: Sequence[float] | None = None,
    *,
    inner: PairLoss | None = None,
    scale: float = 20.0,
    n_dims_per_step: int | None = None,
    generator: Any = None,
) -> Any:
    """The weighted sum over sizes m of a pair loss on the first m coordinates, brought to unit length after cutting.

    With the defaults it equals sentence-transformers' `MatryoshkaLoss` around `MultipleNegativesRankingLoss`.

    Args:
        a: embeddings (n, d), such as of queries.
        b: embeddings (n, d) of what belongs to them.
        dims: the sizes, increasing.
        weights: the weight of each size; by default 1.
        inner: the pair loss; by default `info_nce` with in-batch negatives.
        scale: what `info_nce` multiplies cosines by (1 / temperature).
        n_dims_per_step: draw so many of the sizes instead of using all. The sum is then smaller by the share drawn.
        generator: the torch.Generator that draws.

    Raises:
        InputError: sizes or weights cannot be used.

    Warns:
        UserWarning: the full width is not among the sizes: the full vector is then not trained.

    """
    functional = require("torch.nn.functional", "models")
    sizes = check_dims(dims, a.shape[1])
    if sizes[-1] < a.shape[1]:
        warnings.warn(
            f"the full width {a.shape[1]} is not among the sizes {list(sizes)}, so the full vector is not trained",
            UserWarning,
            stacklevel=2,
        )
    of_size = dict(zip(sizes, _weights(weights, len(sizes)), strict=True))
    total: Any = 0.0
    for m in _drawn(sizes, n_dims_per_step, generator):
        cut_a, cut_b = functional.normalize(a[:, :m], dim=1), functional.normalize(b[:, :m], dim=1)
        loss = info_nce(scale * dot_scores(cut_a, cut_b), 1.0) if inner is None else inner(cut_a, cut_b)
        total = total + of_size[m] * loss
    return total


def check_dims(dims: Sequence[int], width: int | None = None) -> tuple[int, ...]:
    """The sizes, if they are positive, strictly increasing, and at most `width`.

    Raises:
        InputError: they are not.

    """
    sizes = tuple(int(m) for m in dims)
    if not sizes or sizes[0] < 1 or any(m >= n for m, n in pairwise(sizes)):
        raise InputError(f"sizes {list(sizes)} are not positive and strictly increasing", where="dims")
    if width is not None and sizes[-1] > width:
        raise InputError(f"the largest size {sizes[-1]} is above the {width} dimensions there are", where="dims")
    return sizes


class MatryoshkaHeads:
    """Linear classifiers, one a size: each sees the first m coordinates as they are, not brought to unit length.

    MRL has a matrix and a bias for every size. MRL-E (`efficient`) ties them: one matrix, of which size m uses the
    first m columns, and one bias.

    Attributes:
        dims: the sizes.
        efficient: whether the classifiers are tied.
        module: the torch module that holds the parameters: a ModuleList of one or `len(dims)` Linear layers.

    """

    def __init__(self, dims: Sequence[int], n_classes: int, *, efficient: bool = False, bias: bool = True) -> None:
        nn = require("torch.nn", "models")
        self.dims, self.efficient = check_dims(dims), efficient
        widths = self.dims[-1:] if efficient else self.dims
        self.module: Any = nn.ModuleList([nn.Linear(m, n_classes, bias=bias) for m in widths])

    def __call__(self, z: Any) -> list[Any]:
        """Logits (n, n_classes) of each size, from representations (n, d) with d at least the largest size.

        Raises:
            InputError: the representation is too narrow.

        """
        if z.shape[1] < self.dims[-1]:
            raise InputError(f"the representation has {z.shape[1]} dimensions, the heads need {self.dims[-1]}")
        if self.efficient:
            functional = require("torch.nn.functional", "models")
            (head,) = self.module
            return [functional.linear(z[:, :m], head.weight[:, :m], head.bias) for m in self.dims]
        return [head(z[:, :m]) for m, head in zip(self.dims, self.module, strict=True)]

    def parameters(self) -> Iterator[Any]:
        """The parameters, for an optimiser."""
        parameters: Iterator[Any] = self.module.parameters()
        return parameters


class MatryoshkaAdapter:
    """A linear map of frozen embeddings after which they can be cut; trained on pairs, without touching the encoder.

    y = x W / |x W| for queries and documents alike. W starts as the identity and is trained by Adam on
    `matryoshka_pair_loss` with in-batch negatives.

    Args:
        dims: the sizes, increasing; the last is the width of what `transform` gives.
        weights: the weight of each size; by default 1.
        epochs: how often to go through the pairs.
        batch_size: pairs in a step.
        learning_rate: of Adam, without weight decay.
        scale: see `matryoshka_pair_loss`.
        n_dims_per_step: see `matryoshka_pair_loss`.
        random_state: the seed of the batches.

    Attributes:
        weight_: W (d_in, dims[-1]), float32.
        n_pairs_: how many pairs it was trained on.

    """

    weight_: np.ndarray
    n_pairs_: int

    def __init__(
        self,
        dims: Sequence[int],
        *,
        weights: Sequence[float] | None = None,
        epochs: int = 25,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        scale: float = 20.0,
        n_dims_per_step: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.dims = dims
        self.weights = weights
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.scale = scale
        self.n_dims_per_step = n_dims_per_step
        self.random_state = random_state

    def get_params(self) -> dict[str, Any]:
        """The parameters by name."""
        names = ("epochs", "batch_size", "learning_rate", "scale", "n_dims_per_step", "random_state")
        weights = None if self.weights is None else [float(weight) for weight in self.weights]
        return {
            "dims": [int(m) for m in self.dims],
            "weights": weights,
            **{name: getattr(self, name) for name in names},
        }

    def fit(self, queries: np.ndarray, documents: np.ndarray) -> Self:
        """Train on pairs.

        Args:
            queries: embeddings (n, d_in).
            documents: embeddings (n, d_in); row i belongs to row i of the queries.

        Raises:
            InputError: parameters cannot be used, or the embeddings are not finite pairs of one width.

        """
        torch = require("torch", "models")
        queries, documents = _vectors(queries, "queries"), _vectors(documents, "documents")
        self._check(queries, documents)
        a, b = torch.from_numpy(queries), torch.from_numpy(documents)
        weight = torch.eye(queries.shape[1])[:, : self.dims[-1]].clone().requires_grad_()
        optimizer = torch.optim.Adam([weight], lr=self.learning_rate)
        generator = torch.Generator().manual_seed(self.random_state)
        with progress("Training the adapter", self.epochs, unit="epochs") as bar:
            for _ in range(self.epochs):
                for rows in torch.randperm(len(a), generator=generator).split(self.batch_size):
                    optimizer.zero_grad()
                    matryoshka_pair_loss(
                        a[rows] @ weight,
                        b[rows] @ weight,
                        self.dims,
                        self.weights,
                        scale=self.scale,
                        n_dims_per_step=self.n_dims_per_step,
                        generator=generator,
                    ).backward()
                    optimizer.step()
                bar.advance()
        self.weight_, self.n_pairs_ = weight.detach().numpy().copy(), len(a)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Map embeddings (n, d_in) to unit vectors (n, dims[-1]), float32; cut them with `sememe.search`'s `truncate`.

        Raises:
            NotFittedError: before `fit`.
            InputError: the embeddings are not finite numbers of the width that it was trained on.

        """
        if not hasattr(self, "weight_"):
            raise NotFittedError("the adapter is not trained yet", hint="Call fit, or MatryoshkaAdapter.load")
        X = _vectors(X, "X")
        if X.shape[1] != len(self.weight_):
            raise InputError(f"X is {X.shape[1]} wide, the adapter was trained on {len(self.weight_)}")
        return normalized(X @ self.weight_)

    def save(self, path: str | Path, card: dict[str, Any] | None = None) -> None:
        """Write it as an artifact; `card` may add JSON values such as the encoder's fingerprint and measurements."""
        if not hasattr(self, "weight_"):
            raise NotFittedError("the adapter is not trained yet", hint="Call fit first")
        own = {"parameters": self.get_params(), "n_pairs": self.n_pairs_}
        artifact.save(path, KIND, {"weight": self.weight_}, {**(card or {}), **own})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; needs no torch.

        Raises:
            ArtifactError: it is missing, damaged or of another kind.

        """
        arrays, card = artifact.load(path, KIND)
        weight, parameters = arrays.get("weight"), card.get("parameters", {})
        dims = parameters.get("dims") or [0]
        if weight is None or weight.ndim != 2 or weight.shape[1] != dims[-1]:
            raise ArtifactError("its matrix does not fit its sizes", where=str(path), hint="Make it again")
        adapter = cls(**parameters)
        adapter.weight_, adapter.n_pairs_ = weight, card["n_pairs"]
        return adapter

    def _check(self, queries: np.ndarray, documents: np.ndarray) -> None:
        check_dims(self.dims, queries.shape[1])
        _weights(self.weights, len(self.dims))
        if queries.shape != documents.shape or len(queries) < 2:
            raise InputError(f"shapes {queries.shape} and {documents.shape} are not two or more pairs", where="fit")
        if self.epochs < 1 or self.batch_size < 2 or self.learning_rate <= 0:
            raise InputError("epochs, batch_size and learning_rate must be at least 1, at least 2 and above 0")


def _drawn(sizes: tuple[int, ...], n: int | None, generator: Any) -> Sequence[int]:
    if n is None:
        return sizes
    if not 1 <= n <= len(sizes):
        raise InputError(f"n_dims_per_step is {n}", hint=f"Give 1 to {len(sizes)}, the number of sizes")
    torch = require("torch", "models")
    return [sizes[number] for number in sorted(torch.randperm(len(sizes), generator=generator)[:n].tolist())]


def _weights(weights: Sequence[float] | None, n: int) -> Sequence[float]:
    if n < 1:
        raise InputError("there are no sizes")
    if weights is None:
        return (1.0,) * n
    if len(weights) != n or min(weights) < 0:
        raise InputError(f"weights {list(weights)} are not {n} numbers of 0 or more", where="weights")
    return weights


def _vectors(X: np.ndarray, name: str) -> np.ndarray:
    checked = np.ascontiguousarray(X, np.float32)
    if checked.ndim != 2 or not np.isfinite(checked).all():
        raise InputError(f"is not a table of finite numbers, but {checked.shape}", where=name)
    return checked
