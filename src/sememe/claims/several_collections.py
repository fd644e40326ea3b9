"""Systems on several collections, each of which counts alike however many queries it has."""

from __future__ import annotations

from collections.abc import Mapping

Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Collection -> system -> query -> metric."""


def compared(values: Values, row: str, rival: str, seed: int) -> tuple[float, float]:
    """The difference on the mean over collections, and the lower end of its interval over queries."""
    from sememe.evaluation.metrics import compare

    # Weights that make the mean over all queries the mean over collections.
    n_queries = {name: len(rows[row]) for name, rows in values.items()}
    total = sum(n_queries.values())
    weighted = [
        {
            f"{name} {query}": value * total / (len(values) * n_queries[name])
            for name, rows in values.items()
            for query, value in rows[which].items()
        }
        for which in (row, rival)
    ]
    found = compare(*weighted, random_state=seed)
    return found.difference, found.low
