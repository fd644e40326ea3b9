"""StaticEncoder: the mean of one fixed vector a token; no neural network runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np

from sememe import artifact, disk
from sememe.errors import ModelError
from sememe.models.encoder import Encoder, normalized
from sememe.models.layout import MODULES, Layout, read_layout, refuse_other_folder, write_layout
from sememe.models.source import fingerprint, fingerprint_folder
from sememe.models.tokens import NO_LIMIT, TextTokenizer
from sememe.progress import Bar

_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"
_TABLE = "embedding.weight"
_BLOCK = 1 << 15


@final
class StaticEncoder(Encoder):
    """Means of token vectors: wordllama, model2vec, `StaticEmbedding` of sentence-transformers.

    Attributes:
        table: float32 (tokens, width), the vector of each token id.
        ends_normalized: whether means are brought to length one.
        text_tokenizer: how it cuts texts into tokens.
        layout: its settings.

    """

    def __init__(
        self, table: np.ndarray, tokenizer: Any, *, name: str, fingerprint: str, normalizes: bool, layout: Layout
    ) -> None:
        self.table = np.ascontiguousarray(table, np.float32)
        self.name, self.fingerprint = name, fingerprint
        self.width = self.table.shape[1]
        self.dimensions = min(layout.truncate_dim or self.width, self.width)
        self.normalizes = normalizes and self.dimensions == self.width
        self.prompts, self.default_prompt_name = layout.prompts, layout.default_prompt_name
        self.given_prompts = {}
        self.ends_normalized = normalizes
        self.layout = layout
        self.text_tokenizer = TextTokenizer(tokenizer, add_special_tokens=False)
        self.max_tokens = self._room()
        if tokenizer.get_vocab_size() > len(self.table):
            raise ModelError(
                f"has {len(self.table)} vectors for {tokenizer.get_vocab_size()} tokens", where=str(layout.base)
            )

    @staticmethod
    def fits(folder: Path) -> bool:
        """Whether a folder holds static vectors: it says so, or it is one of model2vec."""
        if (folder / MODULES).is_file():
            return read_layout(folder).kind == "StaticEmbedding"
        config = folder / "config.json"
        return config.is_file() and artifact.load_json(config).get("model_type") == "model2vec"

    @classmethod
    def from_folder(cls, folder: Path, *, name: str) -> StaticEncoder:
        """Load a folder of model2vec or of sentence-transformers.

        Raises:
            ModelError: it has another module than StaticEmbedding and Normalize.
            ArtifactError: a file is missing or damaged.

        """
        layout = read_layout(folder)
        for kind, _ in layout.heads:
            if kind != "Normalize":
                raise ModelError(
                    f"has a module of kind {kind!r} behind its static vectors",
                    where=str(folder),
                    hint="Supported: Normalize",
                )
        config = artifact.load_json(folder / "config.json") if (folder / "config.json").is_file() else {}
        return cls(
            _table(artifact.load_arrays(layout.base / _WEIGHTS), layout.base / _WEIGHTS),
            _tokenizer(layout.base / _TOKENIZER),
            name=name,
            fingerprint=fingerprint_folder(folder),
            normalizes=bool(layout.heads) or (layout.base == folder and bool(config.get("normalize", False))),
            layout=layout,
        )

    @classmethod
    def from_wordllama(cls, weights: Path) -> StaticEncoder:
        """Load the vectors that the package wordllama carries."""
        package = weights.parent.parent
        tokenizer = package / "tokenizers" / "l2_supercat_tokenizer_config.json"
        return cls(
            _table(artifact.load_arrays(weights), weights),
            _tokenizer(tokenizer),
            name="wordllama",
            fingerprint=fingerprint(package, [weights, tokenizer]),
            normalizes=False,
            layout=Layout(base=weights.parent, kind="StaticEmbedding"),
        )

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self.text_tokenizer.spans(text)

    def save_pretrained(self, path: str | Path) -> None:
        refuse_other_folder(Path(path))
        with disk.new_folder(Path(path)) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the files of `save_pretrained` into an empty folder that somebody else makes durable."""
        from safetensors.numpy import save

        kinds = ["StaticEmbedding"] + ["Normalize"] * self.ends_normalized
        disk.write_file(folder / _WEIGHTS, save({_TABLE: self.table}))
        disk.write_file(folder / _TOKENIZER, self.text_tokenizer.json.encode())
        if self.ends_normalized:
            (folder / "1_Normalize").mkdir()
        write_layout(folder, kinds, ["", "1_Normalize"][: len(kinds)], self.layout)

    def _room(self) -> int:
        return NO_LIMIT

    def _vectors(self, texts: list[str], prompt: str, batch_size: int, bar: Bar) -> np.ndarray:
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, encoding in enumerate(self.text_tokenizer.encode(texts)):
            vectors[row] = self._mean(encoding.ids)
        bar.advance(len(texts))
        return normalized(vectors) if self.ends_normalized else vectors

    def _mean(self, ids: list[int]) -> np.ndarray:
        if len(ids) <= _BLOCK:
            mean: np.ndarray = self.table[ids].sum(0) / max(len(ids), 1)
            return mean
        # A whole book's vectors would not fit into memory side by side.
        total = np.zeros(self.width, np.float64)
        for start in range(0, len(ids), _BLOCK):
            total += self.table[ids[start : start + _BLOCK]].sum(0, dtype=np.float64)
        return total / len(ids)


def _table(arrays: dict[str, np.ndarray], where: Path) -> np.ndarray:
    """One float32 vector a token id, from the names that wordllama, sentence-transformers and model2vec use."""
    if _TABLE in arrays:
        return arrays[_TABLE].astype(np.float32)
    if "embeddings" not in arrays:
        raise ModelError(f"has neither {_TABLE!r} nor 'embeddings' among {sorted(arrays)}", where=str(where))
    table = arrays["embeddings"].astype(np.float32)
    if "mapping" in arrays:
        table = table[arrays["mapping"].astype(np.int64)]
    if "weights" in arrays:
        table = table * arrays["weights"].astype(np.float32)[:, None]
    return table


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(disk.read_file(path).decode())
    except Exception as error:  # tokenizers raises plain Exception for every kind of damage
        raise ModelError(f"is not a tokenizer ({error})", where=str(path)) from error
