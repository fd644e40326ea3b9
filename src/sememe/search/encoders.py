"""What an index keeps of its encoder, and the encoder again from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.errors import ModelError
from sememe.models import Encoder
from sememe.models.encoder import is_compared_by_cosine

PROMPTS = "prompts"


def described(encoder: Encoder, similarity: str = "auto") -> dict[str, Any]:
    """What is kept: `name`, `fingerprint`, `dimensions`, `normalizes`, and the `prompts` that it was given.

    Args:
        encoder: the encoder.
        similarity: how its vectors are compared, see `is_compared_by_cosine`.

    Raises:
        ModelError: the encoder compares by a distance, and `similarity` is `auto`.

    """
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dimensions": encoder.dimensions,
        "normalizes": is_compared_by_cosine(encoder, similarity),
        **({PROMPTS: dict(encoder.given_prompts)} if encoder.given_prompts else {}),
    }


def encoder_of(description: Mapping[str, Any], encoder: Encoder | None, *, where: str) -> Encoder:
    """The encoder that was described, with the prompts that it was given.

    Args:
        description: what `described` gave.
        encoder: if it is loaded already, with its prompts or as its folder has it.
        where: the index, for the message.

    Raises:
        ModelError: there is no such encoder, or it gives other vectors.

    """
    found = Encoder.load(description["name"]) if encoder is None else encoder
    if PROMPTS in description and not found.given_prompts:
        found = found.with_prompts(**description[PROMPTS])
    if found.fingerprint != description["fingerprint"]:
        raise ModelError(
            f"was built with another {description['name']!r}: the fingerprints differ",
            where=where,
            hint="Load the encoder that it was built with and pass it on opening, or build it again",
        )
    return found
