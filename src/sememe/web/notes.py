"""What a reader should know before trusting the collection and its atoms, in sentences."""

from __future__ import annotations

from typing import Any

from sememe.web.collection import Collection


def card_notes(collection: Collection) -> list[str]:
    """Honest notes for the collection's card."""
    notes = [_first_stage(collection.info["coarse"])]
    if collection.info["deleted"]:
        notes.append(
            f"{collection.info['deleted']:,} deleted documents still take space on disk until it is compacted."
        )
    if collection.book is None:
        return [*notes, "There are no atoms yet, so scores are not explained. Learn them with: sememe atoms learn IDX"]
    card = collection.book.atoms.card
    notes.append(
        f"The atoms leave {100 * (1 - card['r2']):.0f}% of the variance of vectors that they were not learned from "
        "unexplained. What they leave over is the residual of a score: it is shown, never spread over the atoms."
    )
    notes.append(
        "A label is made of the words that set the texts in which an atom is active apart from all others. It is a "
        "hint at what the atom means, not a definition."
    )
    notes.append(_certificate(collection.book.certificate()))
    return notes + [f"{warning[:1].upper()}{warning[1:]}." for warning in card.get("warnings", [])]


def _first_stage(coarse: dict[str, Any]) -> str:
    if coarse["kind"] == "exact":
        return "Every search compares the query with every vector, so no hit is missed."
    if "recall@10" not in coarse:
        return "The words of a query choose candidates, whose vectors are then scored exactly."
    return (
        f"Codes in memory ({coarse['kind']}) choose candidates, which are then scored exactly. On the collection's own "
        f"vectors this finds {100 * coarse['recall@10']:.1f}% of the true first ten."
    )


def _certificate(certificate: dict[str, Any]) -> str:
    k_max, mean = certificate["unique_k_max"], certificate["mean_active"]
    if k_max is None:
        return "The atoms are orthogonal, so every code is provably the sparsest one."
    verdict = "are within" if mean <= k_max else "are above"
    return (
        f"With a mutual coherence of {certificate['mutual_coherence']:.3f}, a code is provably the sparsest one when "
        f"it has at most {k_max} active atom{'s' if k_max != 1 else ''}. Codes have {mean:.1f} on average and "
        f"{verdict} that bound"
        + ("." if mean <= k_max else ", so the proof does not cover them; the parts of a score add up all the same.")
    )
