"""Sites: the named places in a language model, found by the structure of its modules.

| site | what it holds |
| --- | --- |
| `embedding` | what enters block 0: `hidden_states[0]` of transformers |
| `layers.N.residual` | what leaves block N: `hidden_states[N + 1]`, except that transformers normalises the last |
| `layers.N.attention` | what the attention writes, before anything is added |
| `layers.N.attention.heads` | the heads' outputs side by side: what enters the attention's output projection |
| `layers.N.mlp` | what the MLP writes |
| `layers.N.mlp.key` | what enters the MLP's last matrix: one number a neuron |
| `final` | the normalised states that the output layer reads: `last_hidden_state` |

Where a family normalises what attention and MLP write before adding it (Gemma 2, OLMo 2), the sites hold what was
written, before that. Layers with experts have no `mlp.key`; OPT's, whose MLP is no module, have no `mlp` either.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sememe.errors import InputError, ModelError


@dataclass(frozen=True, slots=True)
class Site:
    """A place: what enters (`reads_input`) or leaves a module."""

    name: str
    module: Any
    reads_input: bool
    width: int


@dataclass(frozen=True, slots=True)
class _Family:
    """Where a family of architectures keeps its parts, as module paths; those of a block start at the block."""

    name: str
    layers: str
    final: str
    attention: str
    heads: str
    mlp: str
    key: str


_FAMILIES = (
    _Family(
        "Llama (also Mistral, Qwen, Gemma, SmolLM, OLMo)",
        "model.layers",
        "model.norm",
        "self_attn",
        "self_attn.o_proj",
        "mlp",
        "mlp.down_proj",
    ),
    _Family("GPT-2", "transformer.h", "transformer.ln_f", "attn", "attn.c_proj", "mlp", "mlp.c_proj"),
    _Family(
        "GPT-NeoX (Pythia)",
        "gpt_neox.layers",
        "gpt_neox.final_layer_norm",
        "attention",
        "attention.dense",
        "mlp",
        "mlp.dense_4h_to_h",
    ),
    _Family("GPT-Neo", "transformer.h", "transformer.ln_f", "attn", "attn.attention.out_proj", "mlp", "mlp.c_proj"),
    _Family("GPT-J", "transformer.h", "transformer.ln_f", "attn", "attn.out_proj", "mlp", "mlp.fc_out"),
    _Family("Phi", "model.layers", "model.final_layernorm", "self_attn", "self_attn.dense", "mlp", "mlp.fc2"),
    # OPT's MLP is no module, and sees all texts of a batch as one long one.
    _Family("OPT", "model.decoder.layers", "model.decoder.final_layer_norm", "self_attn", "self_attn.out_proj", "", ""),
    _Family(
        "BLOOM and Falcon",
        "transformer.h",
        "transformer.ln_f",
        "self_attention",
        "self_attention.dense",
        "mlp",
        "mlp.dense_4h_to_h",
    ),
)


def find_sites(model: Any) -> dict[str, Site]:
    """All sites of a causal language model, in the order in which a forward pass reaches them.

    Raises:
        ModelError: its modules are laid out like those of no family in the table above.

    """
    family = _family(model)
    width = int(model.config.hidden_size)
    blocks = _at(model, family.layers)
    sites = [Site("embedding", blocks[0], True, width)]
    for number, block in enumerate(blocks):
        sites.extend(_block_sites(f"layers.{number}", block, family, width))
    final = _at(model, family.final)
    if final is not None:
        sites.append(Site("final", final, False, width))
    return {site.name: site for site in sites}


def find_blocks(model: Any) -> list[Any]:
    """The blocks of a causal language model, in order.

    Raises:
        ModelError: its modules are laid out like those of no family in the table above.

    """
    return list(_at(model, _family(model).layers))


def expand(patterns: str | Sequence[str], sites: Mapping[str, Site]) -> list[str]:
    """Names of sites, in network order, each once; a `*` stands for one part of a name (`layers.*.mlp`).

    Raises:
        InputError: a name or pattern fits no site; the hint names near ones.

    """
    asked = [patterns] if isinstance(patterns, str) else list(patterns)
    wanted: set[str] = set()
    for pattern in asked:
        form = re.compile(re.escape(pattern).replace(r"\*", r"[^.]+"))
        fitting = [name for name in sites if form.fullmatch(name)]
        if not fitting:
            raise _unknown(pattern, sites)
        wanted.update(fitting)
    return [name for name in sites if name in wanted]


def _family(model: Any) -> _Family:
    family = next((family for family in _FAMILIES if _fits(model, family)), None)
    if family is None:
        supported = "; ".join(f"{family.name}: {family.layers}.N.{family.heads}" for family in _FAMILIES)
        raise ModelError(
            f"no sites are known for {type(model).__name__}",
            hint=f"Sites are found by module paths; supported are {supported}",
        )
    return family


def _unknown(name: str, sites: Mapping[str, Site]) -> InputError:
    near = difflib.get_close_matches(name, sites, n=3, cutoff=0.6)
    guess = f"Did you mean {', '.join(near)}? " if near else ""
    last = max((int(part) for site in sites for part in site.split(".")[1:2]), default=0)
    kinds = sorted({re.sub(r"\d+", "N", site) for site in sites})
    return InputError(f"no site {name!r}", hint=f"{guess}Sites: {', '.join(kinds)}, with N from 0 to {last}")


def _block_sites(prefix: str, block: Any, family: _Family, width: int) -> Iterable[Site]:
    places = (
        ("attention.heads", family.heads, True),
        ("attention", family.attention, False),
        ("mlp.key", family.key, True),
        ("mlp", family.mlp, False),
    )
    for name, path, reads_input in places:
        module = _at(block, path)
        if module is not None:
            yield Site(f"{prefix}.{name}", module, reads_input, _width_in(module) if reads_input else width)
    yield Site(f"{prefix}.residual", block, False, width)


def _fits(model: Any, family: _Family) -> bool:
    blocks = _at(model, family.layers)
    # Layers with experts have no single last matrix; their attention still tells the family.
    return blocks is not None and len(blocks) > 0 and _at(blocks[0], family.heads) is not None


def _width_in(linear: Any) -> int:
    # GPT-2's Conv1D stores its matrix as (in, out), torch's Linear as (out, in).
    return int(linear.in_features if hasattr(linear, "in_features") else linear.weight.shape[0])


def _at(module: Any, path: str) -> Any:
    """The module at a dotted path, or None."""
    for part in path.split("."):
        module = getattr(module, part, None)
        if module is None:
            return None
    return module
