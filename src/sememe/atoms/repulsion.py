"""The forces that push all points of a map apart, on a grid by Fourier transform, so that many atoms take seconds.

Source: "Fast interpolation-based t-SNE" (Linderman et al. 2019): charges are put on a regular grid by quadratic
interpolation, the grid is convolved with the kernel, and the result is read off at the points in the same way.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SPACING = 1 / 3  # of the grid; the kernels' width is 1
MOST_NODES = 512  # along one side; a larger map gets a coarser grid
_STEP = 16  # grids grow by so many nodes, so that few kernels have to be transformed


def repulsion(places: np.ndarray) -> np.ndarray:
    """The repulsive part of the gradient of t-SNE's loss (van der Maaten and Hinton 2008, equation 5).

    4 sum_j (y_i - y_j) k_ij^2 / sum_kl k_kl, where k_ij = 1 / (1 + |y_i - y_j|^2) for i != j.

    Args:
        places: y, shape (n, 2).

    Returns:
        Shape (n, 2), to within a few percent of the largest force while the map is not wider than the finest grid.
    """
    low, extent = places.min(axis=0), float(np.ptp(places, axis=0).max())
    spacing = max(SPACING, extent / MOST_NODES)
    nodes = -(-(int(extent / spacing) + 4) // _STEP) * _STEP
    index, weight = _stencil((places - low) / spacing, nodes)
    charges = [np.ones(len(places)), places[:, 0] - low[0], places[:, 1] - low[1]]
    first, second = _kernels(nodes, spacing)
    spectra = [_spectrum(np.bincount(index.ravel(), (weight * q).ravel(), nodes**2), nodes) for q in charges]

    def field(spectrum: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        from scipy.fft import irfft2

        grid = irfft2(spectrum * kernel, s=(2 * nodes, 2 * nodes))[:nodes, :nodes].ravel()
        read: np.ndarray = (grid[index] * weight).sum(axis=0)
        return read

    total = float(field(spectra[0], first).sum()) - _own(weight, spacing)
    density, *moments = (field(spectrum, second) for spectrum in spectra)
    push = np.column_stack([charges[axis] * density - moments[axis - 1] for axis in (1, 2)])
    return 4 * push / max(total, 1e-12)


def _stencil(position: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The nine nodes around each point, and their weights; both (9, n)."""
    nearest = np.rint(position).astype(np.int64) + 1  # one node is kept free at the border
    t = position + 1 - nearest
    along = np.stack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2])
    index = [(nearest[:, 0] + i) * nodes + nearest[:, 1] + j for i in (-1, 0, 1) for j in (-1, 0, 1)]
    weight = [along[i, :, 0] * along[j, :, 1] for i in range(3) for j in range(3)]
    return np.stack(index), np.stack(weight)


def _spectrum(grid: np.ndarray, nodes: int) -> np.ndarray:
    from scipy.fft import rfft2

    spectrum: np.ndarray = rfft2(grid.reshape(nodes, nodes), s=(2 * nodes, 2 * nodes))
    return spectrum


def _own(weight: np.ndarray, spacing: float) -> float:
    """What all points contribute to the first field at their own places: 1 each, but for interpolation."""
    offset = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) * spacing
    closeness = 1 / (1 + np.square(offset[:, None] - offset[None]).sum(axis=-1))
    return float((weight * (closeness @ weight)).sum())


@lru_cache(maxsize=4)
def _kernels(nodes: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of 1 / (1 + r^2) and of its square on a ring of 2 * nodes, so that nothing wraps around."""
    from scipy.fft import rfft2

    steps = np.minimum(np.arange(2 * nodes), 2 * nodes - np.arange(2 * nodes)) * spacing
    closeness = 1 / (1 + np.add.outer(steps**2, steps**2))
    return rfft2(closeness), rfft2(closeness**2)
