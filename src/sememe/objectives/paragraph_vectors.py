"""Binary paragraph vectors: a few bits a document, learned from raw text, that predict its words.

Grzegorczyk and Kurdziel (RepL4NLP 2017, arXiv 1611.01116). No pretrained model is needed. The codes are for look-up by
Hamming distance (`sememe.search.coarse.hamming`); with `real-binary`, real vectors behind the codes rank what the codes
return.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sememe import artifact
from sememe.errors import ArtifactError, InputError
from sememe.objectives import paragraph_training
from sememe.objectives.paragraph_config import ParagraphConfig
from sememe.objectives.vocabulary import Vocabulary

if TYPE_CHECKING:
    from sememe.corpus import Document

KIND = "paragraph-vectors"
UNKNOWN = ("error", "zero")
FACTS = ("n_documents", "n_words", "losses")
TITLE_CHARACTERS = 80


class Inferred(NamedTuple):
    """What was found for new texts.

    Attributes:
        codes: packed bits; shape (n, ceil(n_bits / 8)), uint8; None with variant `real`. Bits that fill the last byte
            are 0.
        vectors: shape (n, real_dim), float32; None with variants without real vectors.
        n_words: known words of each text; shape (n,). A text with 0 of them has code and vector 0.
    """

    codes: np.ndarray | None
    vectors: np.ndarray | None
    n_words: np.ndarray


class BinaryParagraphVector:
    """Learned codes of documents, and what it takes to find the code of a new text.

    Attributes:
        config: how it was learned.
        vocabulary: the words that are known.
        weights: what predicts words; see `sememe.objectives.paragraph_training`.
        documents: codes, vectors and numbers of known words of the documents it was learned from.
        card: how learning went: documents, words, mean loss of each epoch in nats a word.
        names: id and title of each document, or the beginning of its text.
    """

    def __init__(
        self,
        config: ParagraphConfig,
        vocabulary: Vocabulary,
        weights: Mapping[str, np.ndarray],
        documents: Inferred,
        card: Mapping[str, Any],
        *,
        names: Sequence[Sequence[str]],
    ) -> None:
        self.config, self.vocabulary = config, vocabulary
        self.weights, self.documents, self.card = dict(weights), documents, dict(card)
        self.names = [(str(id_), str(title)) for id_, title in names]

    @classmethod
    def fit(
        cls, corpus: Iterable[Document | str], *, config: ParagraphConfig | None = None, **options: Any
    ) -> BinaryParagraphVector:
        """Learn codes of documents. One pass over `corpus`; its words are held in memory, 16 bytes each.

        Nothing is written, so a fit that is interrupted leaves nothing behind.

        Args:
            corpus: documents or texts.
            config: the options; `options` are single fields of it that take precedence.
            **options: fields of `ParagraphConfig` by name.

        Raises:
            InputError: an option cannot be used, or no word is left after filtering.
            MissingExtraError: torch is not installed.
        """
        config = replace(config or ParagraphConfig(), **_known(options))
        names: list[tuple[str, str]] = []
        vocabulary, words = Vocabulary.learn(
            _named(corpus, names),
            min_count=config.min_count,
            stop_words=config.stop_words,
            bigrams=config.bigrams,
        )
        targets = vocabulary.with_bigrams(words)
        trained = paragraph_training.train(words, targets, vocabulary.counts, config)
        documents = _finished(trained.documents, trained.weights, words.lengths, config)
        card = {"n_documents": words.n_texts, "n_words": len(words.ids), "losses": trained.losses}
        return cls(config, vocabulary, trained.weights, documents, card, names=names)

    @property
    def codes(self) -> np.ndarray:
        """Packed codes of the documents; shape (N, ceil(n_bits / 8)), uint8.

        Raises:
            InputError: the variant has none.
        """
        if self.documents.codes is None:
            raise InputError("variant 'real' has no codes", hint="Fit dbow, dm or real-binary")
        return self.documents.codes

    @property
    def vectors(self) -> np.ndarray:
        """Real vectors of the documents; shape (N, real_dim), float32.

        Raises:
            InputError: the variant has none.
        """
        if self.documents.vectors is None:
            raise InputError(f"variant {self.config.variant!r} has no real vectors", hint="Fit real-binary or real")
        return self.documents.vectors

    def infer(self, texts: Iterable[Document | str], seed: int = 0, *, unknown: str = "error") -> Inferred:
        """Find codes and vectors of new texts. What comes out depends on a text and the seed, not on other texts.

        Args:
            texts: documents or texts.
            seed: another one gives other bits where a text leaves them open.
            unknown: for a text without any known word, `error` or `zero` (its code and vector are 0).

        Raises:
            InputError: a text has no known word; `where` is its id or its number.
        """
        if unknown not in UNKNOWN:
            raise InputError(f"unknown must be error or zero, not {unknown!r}")
        names: list[tuple[str, str]] = []
        words = self.vocabulary.encode(_named(texts, names))
        missing = np.flatnonzero(words.lengths == 0)
        if len(missing) and unknown == "error":
            raise InputError(
                f"{len(missing)} of {len(names)} texts have no word that is known from training",
                where=names[missing[0]][0],
                hint="Leave them out, or give unknown='zero' for codes of zeros",
            )
        config = replace(self.config, random_state=seed)
        targets = self.vocabulary.with_bigrams(words)
        rows = paragraph_training.infer(words, targets, self.weights, self.vocabulary.counts, config)
        return _finished(rows, self.weights, words.lengths, config)

    def save(self, path: str | Path) -> None:
        """Write everything as an artifact folder.

        Raises:
            ArtifactError: it cannot be written.
        """
        held = {name: value for name, value in self.documents._asdict().items() if value is not None}
        arrays = {
            **self.weights,
            **held,
            "words": np.frombuffer("\n".join(self.vocabulary.words).encode(), np.uint8),
            "counts": self.vocabulary.counts,
            "names": np.frombuffer(json.dumps(self.names).encode(), np.uint8),
        }
        artifact.save(path, KIND, arrays, {**self.card, "config": asdict(self.config)})

    @classmethod
    def load(cls, path: str | Path) -> BinaryParagraphVector:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is missing, damaged, or does not fit together.
        """
        arrays, card = artifact.load(path, KIND)
        try:
            config = ParagraphConfig(**card["config"])
            words = arrays.pop("words").tobytes().decode().split("\n")
            vocabulary = Vocabulary(words, arrays.pop("counts"), config.stop_words)
            names = json.loads(arrays.pop("names").tobytes())
            documents = Inferred(arrays.pop("codes", None), arrays.pop("vectors", None), arrays.pop("n_words"))
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ArtifactError(
                f"does not hold paragraph vectors ({error})", where=str(path), hint="Make it again"
            ) from None
        _check_shapes(path, config, vocabulary, arrays)
        if len(names) != len(documents.n_words):
            raise ArtifactError(
                f"names {len(names)} of {len(documents.n_words)} documents", where=str(path), hint="Make it again"
            )
        told: dict[str, Any] = {name: card[name] for name in FACTS if name in card}
        return cls(config, vocabulary, arrays, documents, told, names=names)

    @staticmethod
    def is_codes(path: str | Path) -> bool:
        """Whether a folder says that it is what `save` wrote."""
        card = Path(path) / artifact.CARD
        return card.is_file() and artifact.load_json(card).get("kind") == KIND

    def __repr__(self) -> str:
        return f"BinaryParagraphVector({self.config.variant}, {len(self.documents.n_words)} documents)"


def code_of(vectors: np.ndarray, projection: np.ndarray | None = None) -> np.ndarray:
    """Packed bits of P v, 1 where it is above 0, P being the identity when None; (n, ceil(n_bits / 8)), uint8."""
    if projection is not None:
        vectors = vectors.astype(np.float64) @ projection.astype(np.float64).T
    return np.packbits(vectors > 0, axis=1)


def _finished(
    rows: np.ndarray, weights: Mapping[str, np.ndarray], n_words: np.ndarray, config: ParagraphConfig
) -> Inferred:
    rows = np.where(n_words[:, None] > 0, rows, np.float32(0))
    codes = code_of(rows, weights.get("projection")) if config.has_codes else None
    return Inferred(codes, rows if config.has_vectors else None, n_words)


def _known(options: Mapping[str, Any]) -> Mapping[str, Any]:
    names = [item.name for item in fields(ParagraphConfig)]
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise InputError(f"there is no option {', '.join(unknown)}", hint=f"Choose from {', '.join(names)}")
    return options


def _several(texts: Iterable[Document | str]) -> Iterable[Document | str]:
    if isinstance(texts, str):
        raise InputError("texts must be a list of texts, not a single one")
    return texts


def _named(texts: Iterable[Document | str], names: list[tuple[str, str]]) -> Iterator[str]:
    """The texts; their ids (or numbers) and titles (or beginnings) are put into `names` on the way."""
    for number, item in enumerate(_several(texts)):
        text, id_, title = (
            (item, f"text {number}", "") if isinstance(item, str) else (item.content, item.id, item.title)
        )
        names.append((id_, title or " ".join(text[: 4 * TITLE_CHARACTERS].split())[:TITLE_CHARACTERS]))
        yield text


def _check_shapes(
    path: str | Path, config: ParagraphConfig, vocabulary: Vocabulary, weights: Mapping[str, np.ndarray]
) -> None:
    expected = {"output": (len(vocabulary), config.input_width + 1)}
    if config.variant == "real-binary":
        expected["projection"] = (config.n_bits, config.real_dim)
    if config.variant == "dm":
        expected["context"] = (len(vocabulary), config.real_dim)
    found = {name: weights[name].shape for name in weights}
    if found != expected or len(vocabulary.counts) != len(vocabulary):
        raise ArtifactError(f"holds {found}, not {expected}", where=str(path), hint="Make it again")
