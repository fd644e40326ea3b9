"""Late interaction as a way to compare the views of a contrastive objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.extras import require
from sememe.models.trainable import TokenStates
from sememe.multi_vector.maxsim import chamfer


def mean_maxsim_scores(queries: TokenStates, documents: TokenStates) -> Any:
    """MaxSim divided by the number of query vectors: the tokens of n and m texts to a tensor (n, m).

    The sum itself would give a longer query a sharper softmax; the ranking for one query is the same.
    """
    scores = chamfer(queries.vectors, queries.mask, documents.vectors, documents.mask)
    return scores / queries.mask.sum(1, keepdim=True)


def joined(parts: Sequence[TokenStates]) -> TokenStates:
    """Several batches of token vectors as one, filled up on the right."""
    torch = require("torch", "models")
    longest = max(part.mask.shape[1] for part in parts)
    pad = torch.nn.functional.pad
    missing = [longest - part.mask.shape[1] for part in parts]
    return TokenStates(
        torch.cat([pad(part.vectors, (0, 0, 0, n)) for part, n in zip(parts, missing, strict=True)]),
        torch.cat([pad(part.mask, (0, n)) for part, n in zip(parts, missing, strict=True)]),
    )
