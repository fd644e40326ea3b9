"""The small networks of the training bench: an MLP on bits; a decoder, and an encoder with a decoder, on tokens.

Each has `logits(x, answers)`, (n, features), and `representations(x, answers)`: named places (n, width). Answers are
(n, features), 0 or 1, in the order in which they are given; the MLP does not look at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.extras import require

SLOPE = 0.01  # of the leaky ReLU
PLACE_SCALE = 0.02  # of position vectors at first


def make_mlp(n_bits: int, widths: Sequence[int], n_features: int, dropout: float) -> Any:
    """Linear maps and leaky ReLUs, then one output a feature; a torch module.

    Its places are the hidden layers after their activations, `layer 1` and on; `head` maps the last one to logits.
    """
    require("torch", "models")
    import torch
    from torch import nn

    class MLP(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            sizes = zip((n_bits, *widths), widths, strict=False)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(n_in, n_out), nn.LeakyReLU(SLOPE), nn.Dropout(dropout)) for n_in, n_out in sizes
            )
            self.head = nn.Linear(widths[-1], n_features)

        def representations(self, x: Any, answers: Any) -> dict[str, Any]:
            found = {}
            for number, layer in enumerate(self.layers, start=1):
                x = layer(x)
                found[f"layer {number}"] = x
            return found

        def logits(self, x: Any, answers: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return self.head(x)

    return MLP()


def make_decoder(
    vocabulary: int, length: int, n_features: int, *, width: int, layers: int, heads: int, dropout: float
) -> Any:
    """A causal transformer that reads the tokens and a separator, and then writes one answer a feature.

    Answers are tokens too: `logits` shows it the true ones before each place, as in training a language model. Places:

    - `separator below`: the separator's state below the last block, where all answers are still to be written;
    - `separator`: its normalised last state, from which only the first answer is read;
    - `answers`: the mean of the normalised last states from which answers are read, each of which holds its own;
    - `inputs below`: the mean of the tokens' states below the last block, which all answers can look at.
    """
    require("torch", "models")
    import torch
    from torch import nn

    n_places = length + n_features

    class Decoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary + 3, width)  # behind them the separator, "no" and "yes"
            self.places = nn.Parameter(PLACE_SCALE * torch.randn(n_places, width))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(width, heads, 4 * width, **_options(dropout)) for _ in range(layers)
            )
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)
            self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(n_places))

        def states(self, x: Any, answers: Any) -> tuple[Any, Any]:
            """Below the last block, and normalised above it."""
            separator = torch.full((len(x), 1), vocabulary, dtype=torch.long, device=x.device)
            below = self.tokens(torch.cat([x, separator, vocabulary + 1 + answers[:, :-1].long()], dim=1)) + self.places
            for block in self.blocks[:-1]:
                below = block(below, src_mask=self.mask, is_causal=True)
            return below, self.norm(self.blocks[-1](below, src_mask=self.mask, is_causal=True))

        def representations(self, x: Any, answers: Any) -> dict[str, Any]:
            below, above = self.states(x, answers)
            return {
                "separator below": below[:, length],
                "separator": above[:, length],
                "answers": above[:, length:].mean(dim=1),
                "inputs below": below[:, :length].mean(dim=1),
            }

        def logits(self, x: Any, answers: Any) -> Any:
            return self.head(self.states(x, answers)[1][:, length:])[..., 0]

    return Decoder()


def make_transformer(
    vocabulary: int, length: int, n_features: int, *, width: int, layers: int, heads: int, dropout: float
) -> Any:
    """An encoder of the tokens, and a decoder of one block that writes one answer a feature; a torch module.

    Its place is `encoder`, the mean of the encoder's normalised last states: all that the decoder knows of the input.
    """
    require("torch", "models")
    import torch
    from torch import nn

    options = _options(dropout)

    class Transformer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.places = nn.Parameter(PLACE_SCALE * torch.randn(length, width))
            block = nn.TransformerEncoderLayer(width, heads, 4 * width, **options)
            self.encoder = nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
            self.answers = nn.Embedding(3, width)  # "begin", "no" and "yes"
            self.answer_places = nn.Parameter(PLACE_SCALE * torch.randn(n_features, width))
            written = nn.TransformerDecoderLayer(width, heads, 4 * width, **options)
            self.decoder = nn.TransformerDecoder(written, 1, norm=nn.LayerNorm(width))
            self.head = nn.Linear(width, 1)
            self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(n_features))

        def states(self, x: Any) -> Any:
            return self.encoder(self.tokens(x) + self.places)

        def representations(self, x: Any, answers: Any) -> dict[str, Any]:
            return {"encoder": self.states(x).mean(dim=1)}

        def logits(self, x: Any, answers: Any) -> Any:
            begin = torch.zeros((len(x), 1), dtype=torch.long, device=x.device)
            ids = torch.cat([begin, 1 + answers[:, :-1].long()], dim=1)
            written = self.answers(ids) + self.answer_places
            return self.head(self.decoder(written, self.states(x), tgt_mask=self.mask, tgt_is_causal=True))[..., 0]

    return Transformer()


def _options(dropout: float) -> dict[str, Any]:
    return {"dropout": dropout, "activation": "gelu", "batch_first": True, "norm_first": True}
