"""How rows are kept: half precision is read to the same bits whoever widens it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sememe.bank.encoding import Encoded, decode


@pytest.mark.parametrize("shape", [(300, 7), (1, 1), (0, 5)])
def test_half_precision_is_read_to_the_same_bits_with_and_without_torch(shape, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**16, shape).astype(np.uint16)
    values = bits.view(np.float16)
    values[~np.isfinite(values)] = np.float16(6e-8)  # a subnormal
    np.save(tmp_path / "half.npy", values)
    stored = np.load(tmp_path / "half.npy", mmap_mode="r")  # as a bank reads it: not to be written to
    with_torch = decode(Encoded(stored))
    monkeypatch.delitem(sys.modules, "torch")
    without = decode(Encoded(stored))
    assert with_torch.dtype == without.dtype == np.float32
    assert with_torch.tobytes() == without.tobytes() == values.astype(np.float32).tobytes()
    with_torch[:] = 1  # its own memory
    assert np.array_equal(stored.view(np.uint16), values.view(np.uint16))
