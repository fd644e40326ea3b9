"""Runs in a Python that has eai-sparsify: makes a folder, and says what sparsify computes from it.

python sparsify_peer.py ROOT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sparsify import SparseCoder, SparseCoderConfig

ROOT = Path(sys.argv[1])
x = torch.from_numpy(np.load(ROOT / "x.npy"))
torch.manual_seed(0)
coder = SparseCoder(x.shape[1], SparseCoderConfig(num_latents=48, k=5))
with torch.no_grad():
    coder.encoder.bias += 0.1 * torch.randn(48)
    coder.b_dec += 0.3
    coder.save_to_disk(ROOT / "layers.3")
    coder = SparseCoder.load_from_disk(ROOT / "layers.3")
    found = coder.encode(x)
    codes = torch.zeros(len(x), 48).scatter(1, found.top_indices, found.top_acts)
    vectors = coder.decode(found.top_acts, found.top_indices)
np.savez(ROOT / "codes.npz", codes=codes.numpy(), vectors=vectors.numpy())
