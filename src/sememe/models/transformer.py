"""TransformerEncoder: a Hugging Face transformer, pooling, and what else sentence-transformers puts behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from sememe import artifact, disk
from sememe.extras import require
from sememe.models.device import pick_device, token_budget
from sememe.models.encoder import Encoder
from sememe.models.heads import Head, Normalize, read_head, write_head
from sememe.models.layout import TRANSFORMER_SETTINGS, Layout, read_layout, refuse_other_folder, write_layout
from sememe.models.loading import load_transformer, quiet
from sememe.models.parallel import each
from sememe.models.pooling import Pooling
from sememe.models.source import fingerprint_folder
from sememe.models.texts import batches
from sememe.models.tokens import NO_LIMIT, TextTokenizer, as_batch
from sememe.progress import Bar

Rows = Sequence[Sequence[int]]
"""Token ids, or token types, of several texts."""


@final
class TransformerEncoder(Encoder):
    """A transformer whose token vectors are pooled; computes in float32.

    Attributes:
        model: the Hugging Face module.
        tokenizer: the Hugging Face tokenizer it came with.
        text_tokenizer: the same, as it cuts and frames texts for the model.
        layout: its settings.
        pooling: how token vectors become one vector.
        heads: what follows the pooling.

    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        fingerprint: str,
        layout: Layout,
        heads: Sequence[Head] = (),
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.name, self.fingerprint = name, fingerprint
        self.pooling = layout.pooling or _default_pooling(model.config)
        self.heads = tuple(heads)
        self.prompts, self.default_prompt_name = layout.prompts, layout.default_prompt_name
        self.given_prompts = {}
        self.layout = layout
        self.text_tokenizer = TextTokenizer(
            _lower_cased(tokenizer.backend_tokenizer) if layout.lower_case else tokenizer.backend_tokenizer,
            layout.max_length or _max_length(tokenizer, model.config),
            side=tokenizer.truncation_side,
        )
        self.max_tokens = self._room()
        self.width = int(model.config.hidden_size) * len(self.pooling.modes)
        for head in self.heads:
            self.width = head.width(self.width)
        self.dimensions = min(layout.truncate_dim or self.width, self.width)
        ends_normalized = bool(self.heads) and isinstance(self.heads[-1], Normalize)
        self.normalizes = ends_normalized and self.dimensions == self.width
        self._takes_types = "token_type_ids" in tokenizer.model_input_names

    @classmethod
    def from_folder(cls, folder: Path, *, name: str, device: str | None = None) -> TransformerEncoder:
        """Load a folder of sentence-transformers or Hugging Face transformers.

        Raises:
            ModelError: its architecture, tokenizer or one of its modules is not supported.

        """
        require("torch", "models")
        layout = read_layout(folder)
        target = pick_device(device)
        model, tokenizer = load_transformer(layout.base)
        return cls(
            model.to(target),
            tokenizer,
            name=name,
            fingerprint=fingerprint_folder(folder),
            layout=layout,
            heads=[read_head(kind, place, target) for kind, place in layout.heads],
        )

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self.text_tokenizer.spans(text)

    def save_pretrained(self, path: str | Path) -> None:
        refuse_other_folder(Path(path))
        with disk.new_folder(Path(path)) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the files of `save_pretrained` into an empty folder that somebody else makes durable."""
        folders = [f"{place}_{head.kind}" for place, head in enumerate(self.heads, start=2)]
        settings = {"max_seq_length": self._limit(), "do_lower_case": self.layout.lower_case}
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        disk.write_file(folder / TRANSFORMER_SETTINGS, artifact.dump_json(settings))
        (folder / "1_Pooling").mkdir()
        pooling = artifact.dump_json(self.pooling.config(int(self.model.config.hidden_size)))
        disk.write_file(folder / "1_Pooling" / "config.json", pooling)
        for name, head in zip(folders, self.heads, strict=True):
            write_head(head, folder / name)
        kinds = ["Transformer", "Pooling", *(head.kind for head in self.heads)]
        write_layout(folder, kinds, ["", "1_Pooling", *folders], self.layout)

    def vectors_of(self, ids: Rows, types: Rows | None = None, *, skip: int = 0) -> np.ndarray:
        """Vectors (n, width) of token ids, the special tokens among them; the first `skip` are not pooled."""
        import torch

        with torch.inference_mode():
            vectors: np.ndarray = self.pooled(ids, types, skip=skip).float().cpu().numpy()
        return vectors

    def pooled(self, ids: Rows, types: Rows | None = None, *, skip: int = 0) -> Any:
        """The same as a tensor, with its gradient."""
        states, lengths = self.token_states(ids, types)
        pooled = self.pooling(states, lengths, skip)
        for head in self.heads:
            pooled = head(pooled)
        return pooled

    def token_states(self, ids: Rows, types: Rows | None = None) -> tuple[Any, Any]:
        """Token vectors (n, tokens, hidden size), with their gradient, and how many of each text are real (n,)."""
        import torch

        device = self.model.device
        lengths = torch.tensor([len(row) for row in ids], device=device)
        batch = torch.from_numpy(as_batch(ids, self.tokenizer.pad_token_id or 0)).to(device)
        return self._states(batch, lengths, types), lengths

    def _vectors(self, texts: list[str], prompt: str, batch_size: int, bar: Bar) -> np.ndarray:
        encodings = self.text_tokenizer.encode(texts)
        ids = [encoding.ids for encoding in encodings]
        types = [encoding.type_ids for encoding in encodings] if self._takes_types else None
        skip = 0 if self.pooling.include_prompt else self._prompt_length(prompt)
        vectors = np.empty((len(texts), self.width), np.float32)

        def fill(batch: list[int]) -> int:
            batch_types = None if types is None else [types[row] for row in batch]
            vectors[batch] = self.vectors_of([ids[row] for row in batch], batch_types, skip=skip)
            return len(batch)

        device = self.model.device
        for n_done in each(fill, list(batches([len(row) for row in ids], token_budget(batch_size, device))), device):
            bar.advance(n_done)
        return vectors

    def _states(self, batch: Any, lengths: Any, types: Rows | None) -> Any:
        """Token vectors (texts, tokens, width) of right-padded ids."""
        import torch

        n_texts, longest = batch.shape
        if longest == 0:
            return torch.zeros(n_texts, 0, self.model.config.hidden_size, device=batch.device)
        inputs = {"input_ids": batch}
        if int(lengths.min()) < longest:
            inputs["attention_mask"] = (torch.arange(longest, device=batch.device) < lengths[:, None]).long()
        if types is not None:
            inputs["token_type_ids"] = torch.from_numpy(as_batch(types, 0)).to(batch.device)
        return self.model(**inputs).last_hidden_state

    def _prompt_length(self, prompt: str) -> int:
        """How many leading tokens belong to the prompt: all that it has alone, less one closing special token."""
        if not prompt:
            return 0
        ids = self.text_tokenizer.encode([prompt])[0].ids
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def _room(self) -> int:
        if self.text_tokenizer.max_length == NO_LIMIT:
            return NO_LIMIT
        longest_prompt = max((self.text_tokenizer.count(prompt) for prompt in self.prompts.values()), default=0)
        return max(1, self.text_tokenizer.max_length - self.text_tokenizer.n_special - longest_prompt)

    def _limit(self) -> int | None:
        limit = self.text_tokenizer.max_length
        return None if limit == NO_LIMIT else limit


def _default_pooling(config: Any) -> Pooling:
    """What sentence-transformers does with a bare transformer: the last token of causal models, else the mean."""
    architecture = next(iter(config.architectures or ()), "")
    causal = architecture.endswith("ForCausalLM") and getattr(config, "is_causal", True)
    return Pooling(("lasttoken",) if causal else ("mean",))


def _max_length(tokenizer: Any, config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or -1
    longest = min(tokenizer.model_max_length, NO_LIMIT)
    return int(longest if positions == -1 else min(longest, positions))


def _lower_cased(backend: Any) -> Any:
    """The tokenizer with lower-casing in front of what it does itself."""
    from tokenizers import Tokenizer, normalizers

    lower = Tokenizer.from_str(backend.to_str())
    steps = [normalizers.Lowercase()] + ([lower.normalizer] if lower.normalizer is not None else [])
    lower.normalizer = normalizers.Sequence(steps)
    return lower
