"""The names that other tools give to our sites.

| site | TransformerLens |
| --- | --- |
| `embedding` | `blocks.0.hook_resid_pre` (`hook_embed` lacks learned positions) |
| `layers.N.residual` | `blocks.N.hook_resid_post`, and `blocks.M.hook_resid_pre` with M = N + 1 |
| `layers.N.attention` | `blocks.N.hook_attn_out` |
| `layers.N.attention.heads` | `blocks.N.attn.hook_z`, its heads side by side |
| `layers.N.mlp` | `blocks.N.hook_mlp_out` |
| `layers.N.mlp.key` | `blocks.N.mlp.hook_post` |

`final` has no counterpart: `ln_final.hook_normalized` comes before the normalisation's weights. Where a family
normalises what attention and MLP write (Gemma 2, OLMo 2), TransformerLens' hooks come after that, our sites before.
Modules' own names (`model.layers.7`, `h.7.mlp`), which sae-lens and sparsify also use, are understood too.
"""

from __future__ import annotations

import re

HEADS = "hook_z"

_HOOKS = (
    ("layers.{}.residual", "blocks.{}.hook_resid_post"),
    ("layers.{}.attention", "blocks.{}.hook_attn_out"),
    ("layers.{}.attention.heads", "blocks.{}.attn.hook_z"),
    ("layers.{}.mlp", "blocks.{}.hook_mlp_out"),
    ("layers.{}.mlp.key", "blocks.{}.mlp.hook_post"),
)
_EMBEDDING, _FIRST = "embedding", "blocks.0.hook_resid_pre"
_MODULE = re.compile(r"(?:[a-z_]+\.){0,3}?(?:layers|h)\.(\d{1,4})(?:\.(mlp|self_attn|self_attention|attention|attn))?")


def hook_of(site: str) -> str | None:
    """TransformerLens' name of one of our sites; None where it has no such place."""
    if site == _EMBEDDING:
        return _FIRST
    return next((_renamed(site, ours, theirs) for ours, theirs in _HOOKS if _renamed(site, ours, theirs)), None)


def site_of(hook: str) -> str | None:
    """Our name of a TransformerLens hook or of a module; None where it is no site of ours."""
    if hook == _FIRST:
        return _EMBEDDING
    before = re.fullmatch(r"blocks\.(\d{1,4})\.hook_resid_pre", hook)
    if before:
        return f"layers.{int(before[1]) - 1}.residual"
    module = _MODULE.fullmatch(hook)
    if module:
        part = "residual" if module[2] is None else "mlp" if module[2] == "mlp" else "attention"
        return f"layers.{module[1]}.{part}"
    return next((_renamed(hook, theirs, ours) for ours, theirs in _HOOKS if _renamed(hook, theirs, ours)), None)


def _renamed(name: str, old: str, new: str) -> str | None:
    found = re.fullmatch(re.escape(old).replace(r"\{\}", r"(\d{1,4})"), name)
    return new.format(found[1]) if found else None
