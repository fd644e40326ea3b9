"""k-means over the tokens of each text, for a whole batch at once: which cluster every token belongs to."""

from __future__ import annotations

from typing import Any

MAX_ITERATIONS = 10
# Distances that differ by less than rounding are ties, and ties go to the first cluster. Equal tokens would otherwise
# be torn apart by how a matrix product happened to be blocked, that is by the other texts of the batch.
_TIE = 1e-6


def assign_clusters(
    states: Any, real: Any, counts: Any, *, max_iterations: int = MAX_ITERATIONS, generator: Any = None
) -> Any:
    """Lloyd's algorithm on each text's own tokens, without a gradient.

    It starts from the tokens at positions floor((j + 0.5) n / k), so that the same text always gives the same clusters
    and these follow its order; or, with a generator, from k-means++ (Arthur and Vassilvitskii 2007). It stops when no
    token moves any more. A cluster that loses all its tokens keeps its centre and may win some back.

    Args:
        states: tensor (texts, tokens, d); the real tokens come first.
        real: tensor (texts, tokens), boolean.
        counts: tensor (texts,), int64: how many clusters each text gets; where it is the number of its tokens, every
            token is its own cluster.
        max_iterations: how often tokens are assigned at most.
        generator: a torch generator; chooses the first centres by k-means++.

    Returns:
        int64 tensor (texts, tokens): cluster numbers below `counts`, -1 for padding. A number may be unused.

    """
    import torch

    points = states.detach()
    points = points if points.dtype == torch.float64 else points.float()
    n_tokens = real.sum(1)
    own = torch.where(real, torch.arange(points.shape[1], device=points.device), -1)
    whole = counts >= n_tokens
    if bool(whole.all()):
        return own
    open_clusters = torch.arange(int(counts.max()), device=points.device) < counts[:, None]
    places = _spread(n_tokens, counts) if generator is None else _plus_plus(points, real, counts, generator)
    centres = points.gather(1, places[..., None].expand(-1, -1, points.shape[2]))
    assigned = _nearest(points, centres, open_clusters)
    for _ in range(max_iterations - 1):
        centres = _centres(points, real, assigned, centres)
        moved = _nearest(points, centres, open_clusters)
        if torch.equal(torch.where(real, moved, 0), torch.where(real, assigned, 0)):
            break
        assigned = moved
    return torch.where(whole[:, None], own, torch.where(real, assigned, -1))


def _spread(n_tokens: Any, counts: Any) -> Any:
    """Evenly spaced positions (texts, k), in whole numbers so that no rounding can shift them."""
    import torch

    j = torch.arange(int(counts.max()), device=counts.device)
    return ((2 * j + 1) * n_tokens[:, None] // (2 * counts[:, None])).clamp(max=(n_tokens - 1)[:, None])


def _plus_plus(points: Any, real: Any, counts: Any, generator: Any) -> Any:
    """Positions (texts, k): each drawn with a probability that grows with the squared distance to those before it."""
    import torch

    nearest = torch.where(real, 1.0, 0.0).to(points.dtype)
    places = []
    for _ in range(int(counts.max())):
        # Where all distances are 0, any real token will do.
        weights = torch.where((nearest.sum(1) > 0)[:, None], nearest, real.to(points.dtype))
        place = torch.multinomial(weights, 1, generator=generator)
        places.append(place)
        distance = (points - points.gather(1, place[..., None].expand(-1, 1, points.shape[2]))).square().sum(2)
        distance = distance.masked_fill(~real, 0)
        nearest = distance if len(places) == 1 else torch.minimum(nearest, distance)
    return torch.cat(places, dim=1)


def _nearest(points: Any, centres: Any, open_clusters: Any) -> Any:
    squared = points.square().sum(2, keepdim=True)
    distances = squared - 2 * points @ centres.transpose(1, 2) + centres.square().sum(2)[:, None]
    distances = distances.masked_fill(~open_clusters[:, None], float("inf"))
    limit = distances.amin(2, keepdim=True) + _TIE * squared.amax(1, keepdim=True)
    return (distances <= limit).int().argmax(2)


def _centres(points: Any, real: Any, assigned: Any, previous: Any) -> Any:
    import torch

    one_hot = torch.nn.functional.one_hot(assigned, previous.shape[1]).to(points.dtype) * real[..., None]
    counts = one_hot.sum(1)[..., None]
    means = (one_hot.transpose(1, 2) @ points) / counts.clamp(min=1)
    return torch.where(counts > 0, means, previous)
