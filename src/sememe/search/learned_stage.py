"""The product quantiser that was learned for an index, kept in a folder of its own beside the generations.

It belongs to no state of the index: documents come and go, what was learned stays, and codes are made with it. So it
outlives adding, deleting and compacting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sememe import artifact, disk
from sememe.errors import ArtifactError
from sememe.search.coarse.product import ProductCodes, ProductQuantizer

KIND = "learned-codes"
FOLDER = "learned"


class Learned(NamedTuple):
    """A learned first stage.

    Attributes:
        stage: the quantiser, with codes of no row yet.
        card: how it was learned and how it measured.
        fingerprint: of everything that was learned.

    """

    stage: ProductCodes
    card: dict[str, Any]
    fingerprint: str


def save_learned(index: Path, quantizer: ProductQuantizer, encoder: str, card: Mapping[str, Any]) -> None:
    """Keep a quantiser beside an index; an earlier one is replaced in one step.

    Args:
        index: the folder of the index.
        quantizer: what was learned.
        encoder: the fingerprint of the encoder whose vectors it is for.
        card: JSON values that say how it was learned and how it measured.

    """
    artifact.save(index / FOLDER, KIND, quantizer.arrays(), {**card, "encoder": encoder})


def has_learned(index: Path) -> bool:
    """Whether something was learned for an index."""
    return disk.standing(index / FOLDER) is not None


def load_learned(index: Path) -> Learned:
    """Read what `save_learned` wrote.

    Raises:
        ArtifactError: nothing was learned for this index, or it is damaged.

    """
    if not has_learned(index):
        raise ArtifactError(
            "has no learned codes", where=str(index), hint="Learn them with: sememe index optimize --path IDX --write"
        )
    arrays, card = artifact.load(index / FOLDER, KIND)
    quantizer = ProductQuantizer(arrays["codebook"], arrays.get("rotation"), arrays.get("query_map"))
    return Learned(ProductCodes(quantizer), card, str(card["files"][artifact.ARRAYS]))
