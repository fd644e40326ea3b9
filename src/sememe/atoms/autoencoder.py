"""A sparse autoencoder of any coder as an estimator with scikit-learn's habits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sememe.atoms.certificate import Certificate, certify
from sememe.atoms.config import AtomsConfig, default_atoms
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.measure import Score, figures, score
from sememe.atoms.rows import Rows, prepare
from sememe.atoms.weights import Weights, check_codes, check_vectors
from sememe.errors import InputError, NotFittedError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.atoms.training import Trained
    from sememe.bank import Bank

CERTIFIED_ROWS = 4096  # held-out vectors that are coded twice for the certificate


@dataclass(kw_only=True, eq=False)
class SparseAutoencoder(AtomsConfig):
    """A dictionary and the sparse codes of vectors in it; `coder` says how these are chosen.

    The parameters are the fields of `AtomsConfig`. Learned by `fit`: `weights_` (the dictionary), `metric_` (the atomic
    inner product), `certificate_`, `report_` (what was measured), `fired_` (on how many vectors each atom is active),
    `n_features_in_`, `n_iter_`.
    """

    def fit(self, X: Bank | np.ndarray, y: None = None, *, checkpoint: str | Path | None = None) -> Self:
        """Learn the dictionary from vectors (n, d) or a bank of them.

        Args:
            X: the vectors.
            y: ignored.
            checkpoint: a folder in which the state is kept every half a minute; when a run was stopped, the next one
                with the same options goes on from it to the same weights. It stays until `remove_checkpoint` takes it
                away, which whoever saves the dictionary does afterwards: a kill in between loses nothing.

        Raises:
            InputError: an option is out of range, or the vectors are too few, not finite or all the same.
            ArtifactError: the checkpoint is of another run.
            MissingExtraError: torch is not installed.
        """
        del y
        self.check()
        from sememe.atoms.training import train

        rows = prepare(X, self.held_out, self.random_state)
        plan = replace(self, n_atoms=self.n_atoms or default_atoms(len(rows.train)))
        plan.check()
        metric = AtomicInnerProduct.fit(rows.data, rows=rows.train, ridge=self.ridge)
        folder = None if checkpoint is None else Path(checkpoint)
        trained = train(rows, plan, metric=metric if self.space == "atomic" else None, checkpoint=folder)
        kept, seen = score(trained.weights, rows, rows.held_out, metric), score(trained.weights, rows, rows.train)
        self.weights_: Weights = trained.weights
        self.metric_: AtomicInnerProduct = metric
        self.n_iter_: int = trained.steps
        self.n_features_in_: int = trained.weights.dimensions
        self.fired_: np.ndarray = kept.fired + seen.fired
        self.report_ = _report(trained, rows, self.random_state, kept, seen)
        sample = rows.held_out[np.unique(np.linspace(0, len(rows.held_out) - 1, CERTIFIED_ROWS).astype(np.int64))]
        vectors = np.concatenate(list(rows.blocks(sample)))
        self.certificate_: Certificate = certify(trained.weights, self.fired_, kept, vectors, metric)
        return self

    def transform(self, X: np.ndarray) -> csr_matrix:
        """The sparse codes (n, n_atoms), float32, of vectors (n, d)."""
        return self._fitted().encode(check_vectors(X, self._fitted().dimensions))

    def fit_transform(self, X: np.ndarray, y: None = None) -> csr_matrix:
        """`fit`, then the codes of the same vectors."""
        return self.fit(X, y).transform(X)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """The vectors (n, d), float32, that codes (n, n_atoms) stand for."""
        return self._fitted().decode(check_codes(codes, self._fitted().n_atoms))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        del deep
        return asdict(self)

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters by name.

        Raises:
            InputError: there is no parameter of that name.
        """
        known = [item.name for item in fields(self)]
        for name, value in parameters.items():
            if name not in known:
                raise InputError(f"no parameter {name!r}", where="SparseAutoencoder", hint=f"Known: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def _fitted(self) -> Weights:
        if not hasattr(self, "weights_"):
            raise NotFittedError("has not been fitted", where="SparseAutoencoder", hint="Call fit first")
        return self.weights_


def _report(trained: Trained, rows: Rows, seed: int, kept: Score, seen: Score) -> dict[str, Any]:
    """What the card says about a fit, held-out figures first."""
    report = {
        **figures(kept, seen, rows),
        "seed": seed,
        "steps": trained.steps,
        "penalty": trained.penalty,
    }
    return {**report, "warnings": _warnings(report, rows)}


def _warnings(report: dict[str, Any], rows: Rows) -> list[str]:
    """What a user should know before trusting the dictionary."""
    found = []
    if report["n_atoms"] >= report["n_train"]:
        found.append(
            f"{report['n_atoms']} atoms for {report['n_train']} training vectors: the dictionary can memorise; "
            "trust r2 (held out), not r2_train"
        )
    if report["r2_train"] - report["r2"] > 0.1:
        found.append(f"memorised: r2 is {report['r2_train']:.2f} on training vectors but {report['r2']:.2f} held out")
    if report["dead"] > 0.1 * report["n_atoms"]:
        found.append(f"{report['dead']} of {report['n_atoms']} atoms never fire; ask for fewer atoms")
    if rows.left_out:
        found.append(
            f"{rows.left_out} vectors longer than 8 times the median were left out of learning and of all figures"
        )
    if rows.splits_a_document:
        found.append("all vectors come from one document, so held-out vectors are not independent of training vectors")
    return found
