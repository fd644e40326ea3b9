"""LanguageModel: a causal language model whose sites can be read and patched."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sememe.errors import InputError
from sememe.extras import require
from sememe.models import hooks, source
from sememe.models.conversion import converted
from sememe.models.device import pick_device, pick_dtype, token_budget
from sememe.models.generation import generation_config
from sememe.models.loading import load_language_model
from sememe.models.running import Result, Texts, Tokens, as_inputs, in_order
from sememe.models.sites import Site, expand, find_sites
from sememe.models.texts import check_text
from sememe.models.tokens import NO_LIMIT, TextTokenizer, as_batch
from sememe.progress import progress


@dataclass(frozen=True, slots=True)
class Activations:
    """What passed the sites for one text."""

    index: int
    """Which text, counted from 0."""
    tokens: Tokens
    sites: Mapping[str, np.ndarray]
    """float32 (n_tokens, width), by site."""

    def __getitem__(self, site: str) -> np.ndarray:
        return self.sites[site]


@final
class LanguageModel:
    """A causal language model from Hugging Face transformers, with named sites.

    Attributes:
        name: what it was loaded by.
        model: the Hugging Face module, in evaluation mode.
        tokenizer: the Hugging Face tokenizer.
        max_tokens: how many tokens it can read at once; methods cut longer texts.

    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, folder: Path | None = None) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self._folder = folder
        self._sites = find_sites(model)
        self._text_tokenizer = TextTokenizer(tokenizer.backend_tokenizer)
        self.max_tokens = int(getattr(model.config, "max_position_embeddings", None) or NO_LIMIT)

    @classmethod
    def load(cls, name_or_path: str | Path, *, device: str | None = None, dtype: str | None = None) -> LanguageModel:
        """Load a causal language model.

        Args:
            name_or_path: a known name (`smollm2-135m`), a Hugging Face folder, a GGUF file, or a hub id
                (`owner/name`, `owner/name@revision`), looked up in the cache first. A GGUF file is converted once,
                into the folder `SEMEME_CACHE` (by default `~/.cache/sememe`).
            device: a torch device; by default the GPU when there is one.
            dtype: `float32` (the default), `bfloat16` or `float16`.

        Raises:
            ModelError: there is no such model, or its architecture is not supported.
            InputError: the device or the dtype cannot be used.

        """
        require("torch", "models")
        target, precision = pick_device(device), pick_dtype(dtype)
        file = Path(name_or_path).expanduser().absolute()
        if file.suffix == ".gguf" and file.is_file():
            name, place = str(file), file
        else:
            name, place = source.locate(name_or_path, "language model")
        folder = converted(place) if place.is_file() else place
        model, tokenizer = load_language_model(folder, precision)
        return cls(model.to(target), tokenizer, name=name, folder=folder)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of its weights and configuration, computed from its folder when it is first asked for.

        Raises:
            InputError: the model was made in memory.

        """
        if self._folder is None:
            raise InputError(f"the model {self.name!r} has no files", hint="Save it and load it from there")
        return source.fingerprint_folder(self._folder)

    @property
    def n_layers(self) -> int:
        """How many blocks it has."""
        return int(self.model.config.num_hidden_layers)

    @property
    def n_heads(self) -> int:
        """How many attention heads a block has; `layers.N.attention.heads` is that many equal parts."""
        return int(self.model.config.num_attention_heads)

    @property
    def width(self) -> int:
        """The width of its residual stream."""
        return int(self.model.config.hidden_size)

    @property
    def final_norm(self) -> Any:
        """The module that normalises the residual stream for the output layer; None when it is not known."""
        site = self._sites.get("final")
        return None if site is None else site.module

    def sites(self) -> list[str]:
        """The names of all its sites, in network order; `sememe.models.sites` says what each holds."""
        return list(self._sites)

    def expand_sites(self, patterns: str | Sequence[str]) -> list[str]:
        """Names of sites, in network order; `*` stands for one part, as in `layers.*.residual`.

        Raises:
            InputError: a name or pattern fits no site.

        """
        return expand(patterns, self._sites)

    def site_width(self, site: str) -> int:
        """How many numbers a token has at `site`.

        Raises:
            InputError: there is no such site.

        """
        return self._site(site).width

    def tokenize(self, text: str) -> Tokens:
        """A text's token ids, special tokens included, and where each stands in the text; nothing is cut.

        Raises:
            InputError: it is not a string of valid Unicode.

        """
        check_text(text, "the text")
        return Tokens(*self._text_tokenizer.ids_and_spans(text))

    def activations(
        self,
        texts: Texts,
        sites: str | Sequence[str],
        *,
        batch_size: int = 32,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> Iterator[Activations]:
        """Read sites for each text. A forward pass ends at the last site that is wanted.

        Args:
            texts: texts, or the token ids of texts.
            sites: names or patterns of sites.
            batch_size: how much is computed at once; without influence on the result.
            max_tokens: longer texts are cut to so many tokens; by default what the model can read.
            show_progress_bar: draw a bar on standard error.

        Returns:
            One record a text, in the order of the texts, computed as they are asked for.

        Raises:
            InputError: a site is unknown or a text is not valid; before anything is computed.

        """
        wanted = [self._sites[name] for name in self.expand_sites(sites)]
        results = self._in_order(texts, batch_size, max_tokens, functools.partial(self._read, wanted))
        return _records(results, len(as_inputs(texts)) if show_progress_bar else None)

    def patch(self, site: str, function: Callable[[Any], Any]) -> AbstractContextManager[None]:
        """While it is open, replace what passes `site`, in everything that this model computes in this thread.

        Args:
            site: the name of one site.
            function: from a tensor (texts, tokens, width) to one of the same shape. Shorter texts of a batch are
                filled up on the right; `generate` shows it the prompt first and then one token at a time.

        Raises:
            InputError: there is no such site; and when the function gives another shape.

        """
        return hooks.replace_site(self._site(site), function)

    def logits(self, texts: Texts, *, batch_size: int = 32) -> Iterator[np.ndarray]:
        """The scores for what follows each token: float32 (n_tokens, vocabulary) a text, in order."""
        results = self._in_order(texts, batch_size, None, self._scores)
        return (scores.float().cpu().numpy() for _, scores in results)

    def next_logits(self, texts: Texts, *, batch_size: int = 32) -> np.ndarray:
        """The scores for what follows each text: float32 (n_texts, vocabulary).

        Raises:
            InputError: a text has no tokens.

        """
        results = [scores for _, scores in self._in_order(texts, batch_size, None, self._last_scores)]
        return np.stack(results) if results else np.empty((0, int(self.model.config.vocab_size)), np.float32)

    def losses(self, texts: Texts, *, batch_size: int = 32) -> Iterator[np.ndarray]:
        """The loss at each token but the first, in nats: float32 (n_tokens - 1,) a text, in order."""
        return (losses for _, losses in self._in_order(texts, batch_size, None, self._losses))

    def loss(self, texts: Texts, *, batch_size: int = 32) -> float:
        """The mean loss in nats over all tokens of all texts but each text's first.

        Raises:
            InputError: no text has two tokens.

        """
        total, count = 0.0, 0
        for losses in self.losses(texts, batch_size=batch_size):
            total, count = total + float(losses.sum(dtype=np.float64)), count + len(losses)
        if count == 0:
            raise InputError("no text has two tokens, so there is nothing to predict")
        return total / count

    def generate(
        self,
        prompt: str,
        max_new_tokens: int = 64,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        random_state: int = 0,
    ) -> str:
        """Continue a prompt until the model ends it.

        Args:
            prompt: the text so far.
            max_new_tokens: where to stop at the latest.
            temperature: 0 takes the most likely token each time; above 0, tokens are drawn.
            top_p: draw only from the most likely tokens that have this much probability together.
            random_state: the seed of the drawing.

        Returns:
            The new text, without special tokens.

        Raises:
            InputError: the prompt has no tokens, or leaves no room for new ones.

        """
        import torch

        ids = self.tokenize(prompt).ids
        if not 0 < len(ids) < self.max_tokens:
            raise InputError(f"the prompt has {len(ids)} tokens", hint=f"Give 1 to {self.max_tokens - 1}")
        longest = min(max_new_tokens, self.max_tokens - len(ids))
        config = generation_config(self.model, self.tokenizer, longest, temperature, top_p)
        batch = torch.tensor([ids], device=self.model.device)
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(random_state)
            output = self.model.generate(
                input_ids=batch, attention_mask=torch.ones_like(batch), generation_config=config
            )
        text: str = self.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
        return text

    def _site(self, name: str) -> Site:
        if name not in self._sites:
            expand(name.replace("*", ""), self._sites)
        return self._sites[name]

    def _in_order(
        self, texts: Texts, batch_size: int, max_tokens: int | None, compute: Callable[[list[list[int]]], list[Result]]
    ) -> Iterator[tuple[Tokens, Result]]:
        """`compute` for every text, batched by length, in the order of the texts; checks them all at once."""
        budget = token_budget(batch_size, self.model.device)
        if max_tokens is not None and max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}", hint="Give 1 or more")
        limit = min(max_tokens or self.max_tokens, self.max_tokens)
        return in_order(as_inputs(texts), self.tokenize, limit, budget, compute)

    def _call(self, rows: list[list[int]]) -> dict[str, Any]:
        """What the model is called with. Padding is on the right, where causal attention never looks at it, so that
        the mask can be all ones, which costs nothing.
        """
        import torch

        batch = as_batch(rows, 0) if any(rows) else np.zeros((len(rows), 1), np.int64)
        ids = torch.from_numpy(batch).to(self.model.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}

    def _read(self, wanted: list[Site], rows: list[list[int]]) -> list[dict[str, np.ndarray]]:
        import torch

        call = self._call(rows)
        with torch.inference_mode():
            # The base model has no output layer: no logits are ever computed for activations.
            seen = hooks.read_sites(lambda: self.model.base_model(**call), wanted)
        found = {site.name: seen[site.name].float().cpu().numpy() for site in wanted}
        return [
            {name: array[place, : len(row)].copy() for name, array in found.items()} for place, row in enumerate(rows)
        ]

    def _scores(self, rows: list[list[int]]) -> list[Any]:
        import torch

        with torch.inference_mode():
            scores = self.model(**self._call(rows)).logits
        return [scores[place, : len(row)] for place, row in enumerate(rows)]

    def _last_scores(self, rows: list[list[int]]) -> list[np.ndarray]:
        import torch

        if not all(rows):
            raise InputError("a text has no tokens, so nothing follows it")
        # Texts of one length share the place of their last token; the output layer is computed only there.
        last = sorted({len(row) - 1 for row in rows})
        with torch.inference_mode():
            keep = torch.tensor(last, device=self.model.device)
            scores = self.model(**self._call(rows), logits_to_keep=keep).logits.float().cpu()
        return [scores[place, last.index(len(row) - 1)].numpy() for place, row in enumerate(rows)]

    def _losses(self, rows: list[list[int]]) -> list[np.ndarray]:
        import torch

        losses = []
        for row, scores in zip(rows, self._scores(rows), strict=True):
            targets = torch.tensor(row[1:], dtype=torch.long, device=scores.device)
            loss = torch.nn.functional.cross_entropy(scores[: len(targets)].float(), targets, reduction="none")
            losses.append(loss.cpu().numpy())
        return losses


def _records(results: Iterator[tuple[Tokens, dict[str, np.ndarray]]], n_shown: int | None) -> Iterator[Activations]:
    """Numbered records, under a progress bar when `n_shown` texts are to be shown."""
    if n_shown is None:
        for index, (tokens, found) in enumerate(results):
            yield Activations(index, tokens, found)
        return
    with progress("Reading sites", n_shown, unit="texts") as bar:
        for record in _records(results, None):
            yield record
            bar.advance()
