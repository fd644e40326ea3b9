"""`Atoms`: a learned dictionary as an artifact that is saved, loaded, shown and used to explain scores.

Nothing here needs torch except `fit`: search, labels and the web page work with the base install.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from sememe import artifact
from sememe.atoms.certificate import Certificate, restore
from sememe.atoms.config import AtomsConfig
from sememe.atoms.detection import Detection
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.labels import label_atoms
from sememe.atoms.layout import lay_out
from sememe.atoms.weights import ARRAYS, Weights, check_codes, check_vectors
from sememe.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.bank import Bank

KIND = "atoms"


class Contributions(NamedTuple):
    """A score taken apart: sum(values) + bias + residual = <query, vector>.

    Attributes:
        atoms: the active atoms (k,), by decreasing |value|.
        values: a_j <query, d_j> for each of them (k,), float64.
        bias: <query, b>.
        residual: <query, r>, where r is what the dictionary does not reconstruct.
    """

    atoms: np.ndarray
    values: np.ndarray
    bias: float
    residual: float


class Atoms:
    """A fitted dictionary: x = sum_j a_j d_j + b + r with few non-zero a_j.

    Attributes:
        weights: the arrays; `decoder` and `bias` are also attributes here.
        card: what made the dictionary, from what, and how it measured.
        labels: one label per atom, empty strings before `label` was called.
        fired: on how many vectors each atom was active when it was learned (n_atoms,).
        inner_product: the atomic inner product of the vectors they were learned from; None when it is not known.
        certified: what is known of each single atom; None when they were not certified.
        detection: how well the labels predict where the atoms fire; None when that was not measured.
    """

    def __init__(
        self,
        weights: Weights,
        fired: np.ndarray,
        card: Mapping[str, Any],
        labels: Sequence[str] | None = None,
        places: np.ndarray | None = None,
        *,
        inner_product: AtomicInnerProduct | None = None,
        certified: Certificate | None = None,
    ) -> None:
        self.weights = weights
        self.inner_product = inner_product
        self.certified = certified
        self.detection: Detection | None = None
        self.fired = np.asarray(fired, np.int64)
        self.card = dict(card)
        self.labels = list(labels) if labels is not None else [""] * weights.n_atoms
        self._places = places

    @classmethod
    def fit(
        cls,
        data: Bank | np.ndarray,
        n_atoms: int | None = None,
        *,
        config: AtomsConfig | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Self:
        """Learn atoms from a bank or an array of vectors (n, d).

        Args:
            data: the vectors. The rows of one document in a bank are never split between training and held-out.
            n_atoms: how many atoms to learn; when left out the configuration's, and by default an eighth of the
                vectors, 128 to 4,096.
            config: the options; `options` are single fields of it that take precedence.
            checkpoint: a folder in which training keeps its state; a stopped run goes on from it. It stays: take it
                away with `sememe.atoms.checkpoint.remove_checkpoint` when the atoms are saved.
            **options: fields of `AtomsConfig` by name.

        Raises:
            InputError: an option or the vectors cannot be used.
            ArtifactError: the checkpoint is of another run.
            MissingExtraError: torch is not installed.
        """
        from sememe.atoms.autoencoder import SparseAutoencoder

        if n_atoms is not None:
            options["n_atoms"] = n_atoms
        given = {item.name: getattr(config, item.name) for item in fields(AtomsConfig)} if config else {}
        fitted = SparseAutoencoder().set_params(**{**given, **options}).fit(data, checkpoint=checkpoint)
        card = {
            "coder": fitted.coder,
            "parameters": fitted.get_params(),
            "source": _source(data),
            **fitted.report_,
            "inner_product": fitted.metric_.facts(),
            "certificate": fitted.certificate_.figures,
        }
        return cls(
            fitted.weights_,
            fitted.fired_,
            card,
            inner_product=fitted.metric_,
            certified=fitted.certificate_,
        )

    @property
    def n_atoms(self) -> int:
        return self.weights.n_atoms

    @property
    def dimensions(self) -> int:
        return self.weights.dimensions

    @property
    def decoder(self) -> np.ndarray:
        """The atoms (n_atoms, d), float32, unit norm."""
        return self.weights.decoder

    @property
    def bias(self) -> np.ndarray:
        """What every reconstruction starts from (d,), float32."""
        return self.weights.bias

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the atoms: tells whether something was made for these or for others."""
        return hashlib.sha256(np.ascontiguousarray(self.decoder).tobytes()).hexdigest()

    @property
    def certificate(self) -> dict[str, Any]:
        """What is proved and measured about the dictionary; see `sememe.atoms.certificate.certify`."""
        return dict(self.card["certificate"])

    def transform(self, X: np.ndarray) -> csr_matrix:
        """The sparse codes (n, n_atoms), float32, of vectors (n, d)."""
        return self.weights.encode(check_vectors(X, self.dimensions))

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """The vectors (n, d), float32, that codes (n, n_atoms) stand for."""
        return self.weights.decode(check_codes(codes, self.n_atoms))

    @property
    def frequency(self) -> np.ndarray:
        """On which share of the vectors it was learned from each atom is active (n_atoms,); 0 where that is unknown."""
        card = self.card
        n_vectors: int = card.get("n_vectors") or card.get("n_train", 0) + card.get("n_held_out", 0)
        frequency: np.ndarray = self.fired / max(n_vectors, 1)
        return frequency

    def label(self, codes: csr_matrix, texts: Iterable[str]) -> None:
        """Name every atom by the words of the texts that it is most active on; see `sememe.atoms.labels`.

        Args:
            codes: shape (n, n_atoms), from `transform`.
            texts: the n texts, in the order of the codes' rows.
        """
        self.labels = label_atoms(check_codes(codes, self.n_atoms), texts)

    def nearest(self, atom: int, n: int) -> list[tuple[int, float]]:
        """The `n` other atoms with the largest cosine to an atom, with that cosine.

        Raises:
            InputError: there is no such atom.
        """
        if not 0 <= atom < self.n_atoms:
            raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {self.n_atoms - 1}")
        cosines = self.decoder @ self.decoder[atom]
        cosines[atom] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(n, self.n_atoms - 1)]
        return [(int(other), float(cosines[other])) for other in best]

    def map(self) -> np.ndarray:
        """A place in the plane for every atom, similar atoms near each other (n_atoms, 2), float32.

        Saved with the atoms, for it takes seconds to find.
        """
        if self._places is None:
            self._places = lay_out(self.decoder)
        return self._places

    def pursue(self, X: np.ndarray, k: int | None = None) -> csr_matrix:
        """Codes (n, n_atoms), float64, that reconstruct vectors (n, d) better than `transform` with as many atoms.

        By orthogonal matching pursuit among the atoms that ever fire; amplitudes may be negative. On held-out abstracts
        it leaves 4.0% of a score unexplained, the encoder's codes 7.4%.

        Args:
            X: the vectors.
            k: the most active atoms of a code; by default the encoder's own mean number.
        """
        from scipy.sparse import csr_matrix

        from sememe.atoms.recovery import pursuit_codes

        vectors = check_vectors(X, self.dimensions).astype(np.float64) - self.bias
        live = np.flatnonzero(self.fired > 0) if self.fired.any() else np.arange(self.n_atoms)
        count = max(1, round(self.card.get("mean_active", 32))) if k is None else k
        codes = pursuit_codes(self.decoder[live], vectors, count)
        shape = (len(vectors), self.n_atoms)
        return csr_matrix((codes.data, live[codes.indices].astype(np.int32), codes.indptr), shape=shape)

    def contributions(self, query: np.ndarray, vectors: np.ndarray) -> list[Contributions]:
        """Take the scores <query, x> of vectors apart into atoms, bias and residual, exactly (float64 sums).

        The codes are those of `pursue`.

        Args:
            query: (d,).
            vectors: (n, d).
        """
        q = check_vectors(np.asarray(query)[None], self.dimensions)[0].astype(np.float64)
        X = check_vectors(vectors, self.dimensions)
        codes = self.pursue(X)
        bias = float(q @ self.bias.astype(np.float64))
        found = []
        for row, x in enumerate(X):
            here = slice(codes.indptr[row], codes.indptr[row + 1])
            atoms = codes.indices[here].astype(np.int64)
            values = codes.data[here] * (self.decoder[atoms].astype(np.float64) @ q)
            residual = float(q @ x.astype(np.float64)) - float(values.sum()) - bias
            order = np.lexsort((atoms, -np.abs(values)))
            found.append(Contributions(atoms[order], values[order], bias, residual))
        return found

    def save(self, path: str | Path) -> None:
        """Write the folder `path`: `model.safetensors` and `card.json`."""
        arrays = {**self.weights.arrays(), "fired": self.fired, "map": self.map()}
        if self.inner_product is not None:
            arrays |= self.inner_product.arrays()
        if self.certified is not None:
            arrays |= self.certified.arrays()
        if self.detection is not None:
            arrays |= {f"detection.{name}": array for name, array in vars(self.detection).items()}
        card = {**self.card, "labels": self.labels}
        if self.weights.k is not None:
            card["k"] = self.weights.k
        artifact.save(path, KIND, arrays, card)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder that `save` wrote.

        Raises:
            ArtifactError: it is missing, damaged, not atoms, or from a newer version.
        """
        arrays, card = artifact.load(path, KIND)
        try:
            weights = Weights(**{name: arrays[name] for name in ARRAYS}, k=card.get("k"))
            labels, fired = card.pop("labels"), arrays["fired"]
            metric = None
            if "inner_product" in arrays:
                facts = card["inner_product"]
                metric = AtomicInnerProduct(arrays["inner_product"], facts["source"], facts["n"], facts["ridge"])
            certified = restore(card["certificate"], arrays, fired)
        except KeyError as error:
            raise ArtifactError(f"lacks {error}", where=str(path), hint="Learn the atoms again") from error
        atoms = cls(weights, fired, card, labels, arrays.get("map"), inner_product=metric, certified=certified)
        scores = {name.split(".")[1]: array for name, array in arrays.items() if name.startswith("detection.")}
        atoms.detection = Detection(**scores) if scores else None
        return atoms


def _source(data: Bank | np.ndarray) -> dict[str, Any]:
    """What the vectors came from, as far as the data know it."""
    if isinstance(data, np.ndarray) or not hasattr(data, "provenance"):
        return {}
    return {**data.provenance, "bank": data.fingerprint}
