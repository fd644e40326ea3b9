"""Atoms: learned dictionaries of directions, their sparse codes, labels and certificate."""

from sememe.atoms.atoms import Atoms, Contributions
from sememe.atoms.autoencoder import SparseAutoencoder
from sememe.atoms.config import AtomsConfig
from sememe.atoms.weights import Weights

__all__ = ["Atoms", "AtomsConfig", "Contributions", "SparseAutoencoder", "Weights"]
