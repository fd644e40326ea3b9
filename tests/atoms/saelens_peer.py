"""Runs in a Python that has sae-lens: makes folders of every kind, and says what sae-lens computes from folders.

    python saelens_peer.py ROOT

ROOT holds `x.npy`, vectors (n, d), and `ours/`, folders to read. Made folders go to `ROOT/theirs`. For each folder
NAME of SIDE, `ROOT/codes/SIDE/NAME.npz` gets `codes`, `vectors` and `norms` (of the decoder's rows). What is saved as a
training checkpoint is computed from its inference form, `NAME.inference`.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")

import sae_lens as sl  # noqa: E402
from sae_lens.training.activation_scaler import ActivationScaler  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

ROOT = Path(sys.argv[1])
D, N = np.load(ROOT / "x.npy").shape[1], 48
META = {"model_name": "EleutherAI/pythia-70m", "hook_name": "blocks.3.hook_resid_post", "context_size": 128}


def randomise(sae, norms=True):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in sorted(sae.named_parameters()):
            spread = 0.05 if name.startswith("b_") else 0.2
            parameter.data = (spread * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype)
        if not norms:
            sae.W_dec.data *= 3 / sae.W_dec.norm(dim=1, keepdim=True)
        sae.b_dec.data += 0.3
    return sae


def make(name, kind, *, norms=True, dtype=None, **options):
    config = getattr(sl, f"{kind}Config")(d_in=D, d_sae=N, **options)
    config.metadata = type(config.metadata)(**META)
    sae = randomise(getattr(sl, kind)(config), norms)
    if dtype:
        sae = sae.to(dtype=dtype)
    sae.save_model(ROOT / "theirs" / name)
    return sae


def make_training(name, kind, threshold=None, scale=None, **options):
    config = getattr(sl, f"{kind}Config")(d_in=D, d_sae=N, **options)
    config.metadata = type(config.metadata)(**META)
    sae = randomise(getattr(sl, kind)(config))
    if threshold is not None:
        sae.topk_threshold = torch.tensor(threshold, dtype=torch.double)
    place = ROOT / "theirs" / name
    sae.save_model(place)
    if scale is not None:
        ActivationScaler(scale).save(str(place / "activation_scaler.json"))
        sae.fold_activation_norm_scaling_factor(scale)
    save_file({"sparsity": torch.log10(torch.arange(N) / N + 1e-10)}, place / "sparsity.safetensors")
    sae.save_inference_model(ROOT / "theirs" / f"{name}.inference")


def make_all():
    make("standard", "StandardSAE")
    make("raw_input", "StandardSAE", apply_b_dec_to_input=False)
    make("bfloat16", "StandardSAE", dtype=torch.bfloat16)
    make("float16", "StandardSAE", dtype=torch.float16)
    make("jumprelu", "JumpReLUSAE")  # half of the thresholds are negative
    make("gated", "GatedSAE")
    make("gated_raw_input", "GatedSAE", apply_b_dec_to_input=False)
    make("topk", "TopKSAE", k=5, norms=False)
    make("topk_by_norm", "TopKSAE", k=5, rescale_acts_by_decoder_norm=True)
    make("topk_unequal", "TopKSAE", k=5)
    make("transcoder", "Transcoder", d_out=D, apply_b_dec_to_input=False)
    make("layer_norm", "StandardSAE", normalize_activations="layer_norm")
    for by_norm in (True, False):
        options = {"k": 4, "rescale_acts_by_decoder_norm": by_norm}
        make_training(f"batchtopk_{by_norm}", "BatchTopKTrainingSAE", threshold=0.4, **options)
    widths = {"k": 4, "matryoshka_widths": [8, 24, N]}
    make_training("matryoshka", "MatryoshkaBatchTopKTrainingSAE", threshold=0.3, **widths)
    options = {"k": 4, "normalize_activations": "expected_average_only_in"}
    make_training("scaled", "BatchTopKTrainingSAE", threshold=0.3, scale=2.5, **options)
    make_training("topk_training", "TopKTrainingSAE", k=6)
    make_training("jumprelu_training", "JumpReLUTrainingSAE")
    make_training("gated_training", "GatedTrainingSAE")


def compute(folder, out):
    sae = sl.SAE.load_from_disk(folder, dtype="float32")
    heads = sae.cfg.reshape_activations == "hook_z"
    x = torch.from_numpy(np.load(ROOT / "x.npy"))
    with torch.no_grad():
        given = x.reshape(len(x), 4, -1) if heads else x
        codes = sae.encode(given)
        vectors = sae.decode(codes).reshape(x.shape)
    np.savez(out, codes=codes.numpy(), vectors=vectors.numpy(), norms=sae.W_dec.norm(dim=1).detach().numpy())


make_all()
REFUSED = {"topk_unequal", "transcoder", "layer_norm"}
for side in ("ours", "theirs"):
    (ROOT / "codes" / side).mkdir(parents=True)
    for folder in sorted((ROOT / side).iterdir()):
        if folder.name not in REFUSED and not folder.with_name(f"{folder.name}.inference").is_dir():
            compute(folder, ROOT / "codes" / side / f"{folder.name}.npz")
