"""The searchable collection of texts with several vectors each: exact MaxSim of candidates, from vectors on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sememe.corpus import Corpus, Document
from sememe.errors import InputError, ModelError
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.multi_vector.encoding import Encoded, TokenEncoder, encode_pruned
from sememe.multi_vector.pruning import Kind as TextKind
from sememe.multi_vector.pruning import Pruning
from sememe.search.base_index import BaseIndex
from sememe.search.filters import Filter, allowed_documents
from sememe.search.generation import Addition, Generation
from sememe.search.hits import Hits
from sememe.search.manifest import MULTI_VECTOR, Kind, Manifest
from sememe.search.multi_vector.config import MultiVectorConfig
from sememe.search.multi_vector.explaining import MultiVectorHit, words_of
from sememe.search.multi_vector.lists import PROBES
from sememe.search.multi_vector.parts import TokenParts
from sememe.search.multi_vector.searcher import TOKENS, Query, Searcher
from sememe.search.stages import Clock, StageReport


class MultiVectorIndex(BaseIndex[MultiVectorConfig, TokenEncoder]):
    """A collection on disk in which every text has several vectors, one a token or one a cluster of tokens.

    Make one with `MultiVectorIndex.build`, open one with `MultiVectorIndex.open`. Many processes may read it while one
    writes; a reader goes on seeing the version that it opened.

    Attributes:
        pruning: how many vectors of a text are kept.

    """

    kind: ClassVar[Kind[MultiVectorConfig]] = MULTI_VECTOR

    def __init__(
        self, path: Path, manifest: Manifest[MultiVectorConfig], generation: Generation, encoder: TokenEncoder | None
    ) -> None:
        super().__init__(path, manifest, generation, encoder)
        self.pruning = Pruning.parse(manifest.config.pruning or "mv")
        self._parts = TokenParts(manifest, path, generation)
        if encoder is not None:
            self._check_encoder(encoder)

    @classmethod
    def build(
        cls,
        corpus: Corpus | Iterable[Document],
        encoder: TokenEncoder,
        path: str | Path,
        *,
        config: MultiVectorConfig | None = None,
        resume: bool = False,
        **settings: Any,
    ) -> MultiVectorIndex:
        """Encode a corpus into a new index.

        Args:
            corpus: the documents; title and text are encoded together, as far as the encoder reads.
            encoder: what gives token vectors.
            path: the folder to make.
            config: the settings; or give its fields as keywords, such as `pruning="C8x32"`. Without a pruning it is
                what the encoder was trained with, else `mv`; it holds for queries too.
            resume: go on with a build that was stopped, if it was made the same way.
            **settings: fields of `MultiVectorConfig`, when `config` is not given.

        Returns:
            The index, open for writing.

        Raises:
            InputError: an argument does not fit, a document has no tokens or repeats an id; the message names it.
            ArtifactError: there is something already, or the build to resume was made differently.

        """
        config = config if config is not None else MultiVectorConfig(**settings)
        method = Pruning.parse(config.pruning or encoder.pruning or "mv").method
        described = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "dimensions": encoder.dimensions,
            "query_length": encoder.query_length,
            "document_length": encoder.document_length,
        }
        config = replace(config, pruning=method)
        return cls._built(corpus, encoder, Path(path), described=described, config=config, resume=resume)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def encoder(self) -> TokenEncoder:
        """The encoder it was built with, loaded on first use.

        Raises:
            ModelError: the encoder that now has this name gives other vectors.

        """
        if self._encoder is None:
            card = self._manifest.encoder
            lengths = {name: card[name] for name in ("query_length", "document_length")}
            encoder = MultiVectorEncoder.load(card["name"], **lengths)
            self._check_encoder(encoder)
            self._encoder = encoder
        return self._encoder

    def info(self) -> dict[str, Any]:
        """What the index is and how large."""
        live, tokens = self._generation.live, self._generation.extras[TOKENS]
        return {
            "documents": len(self),
            "deleted": int(np.count_nonzero(~live)),
            "vectors": int(np.count_nonzero(live[self.bank.documents])) if len(self.bank) else 0,
            "tokens": sum(len(tokens[int(ordinal)]) for ordinal in np.flatnonzero(live)),
            "dimensions": self.bank.dimensions,
            "encoder": dict(self._manifest.encoder),
            "corpus": self._manifest.corpus,
            "config": asdict(self.config),
            "coarse": self._parts.card(),
            "bytes": self._n_bytes(),
        }

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self,
        query: str | np.ndarray,
        k: int = 10,
        *,
        explain: bool = False,
        candidates: int | None = None,
        where: Filter | None = None,
    ) -> Hits[MultiVectorHit]:
        """Find the documents with the highest Chamfer score ``sum over q of max over x of <q, x>``.

        Args:
            query: a text, or its vectors as they are; shape (m, d).
            k: how many hits; fewer are returned when there are fewer documents.
            explain: say which document vector each query vector found, and the words of both.
            candidates: how many documents are scored; 20 for each hit and at least 200 by default.
            where: a metadata filter, see `sememe.search.filters`.

        Returns:
            Hits, the best first; equal scores in the order of adding. Scores are exact for the stored vectors. `stages`
            says what each stage did.

        Raises:
            InputError: an argument does not fit.

        """
        k, candidates = _positive(k, "k"), candidates if candidates is None else _positive(candidates, "candidates")
        if isinstance(query, str):
            self.encoder  # noqa: B018  loading it is no part of a search
        clock = Clock()
        asked = self._query(query)
        before = (StageReport("encode", len(asked.vectors), 0, clock.lap()),)
        return self._searcher(where).search(asked, k, candidates, explain=explain, before=before)

    def rank_batch(
        self, queries: Sequence[str | np.ndarray], k: int, *, candidates: int | None = None
    ) -> list[dict[str, float]]:
        """Ids and scores for many queries, the best first: no document is read. For evaluation.

        Scores are float32 products, so that they are off by rounding.
        """
        k, searcher = _positive(k, "k"), self._searcher()
        return [searcher.rank(self._query(query), k, candidates) for query in queries]

    def candidates(self, query: str | np.ndarray, n: int, *, probes: int = PROBES) -> list[str]:
        """The ids of the `n` documents that the first stage proposes, so that its recall can be measured."""
        return self._searcher().candidates(self._query(query), n, probes)

    def using(self, coarse: str) -> MultiVectorIndex:
        """The same index, searched with another first stage that is made in memory; nothing is written.

        Args:
            coarse: the first stage, as in `MultiVectorConfig`.

        Raises:
            InputError: there is no such stage.

        """
        manifest = replace(self._manifest, config=replace(self.config, coarse=coarse))
        return MultiVectorIndex(self.path, manifest, self._generation, self._encoder)

    def _searcher(self, where: Filter | None = None) -> Searcher:
        records = self._generation.records
        allowed = allowed_documents(where, self._generation.live, records.metadata, records.ids)
        return Searcher(self._generation, self._parts.lists(), allowed)

    def _query(self, query: str | np.ndarray) -> Query:
        if isinstance(query, str):
            if not query.strip():
                raise InputError("is empty", where="query")
            encoded = self._pruned([query], "query", ["the query"])[0]
            return Query(encoded.vectors, words_of(query, encoded.tokens, len(encoded.vectors)))
        vectors = np.asarray(query, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.bank.dimensions or not len(vectors):
            raise InputError(
                f"has shape {vectors.shape}; the index holds vectors of {self.bank.dimensions} dimensions "
                f"(encoder {self._manifest.encoder['name']!r}, pruning {self.pruning.method})",
                where="query",
                hint=f"Give a text, or one or more vectors of shape (m, {self.bank.dimensions})",
            )
        if not np.isfinite(vectors).all():
            raise InputError("holds NaN or infinity", where="query")
        return Query(vectors, [()] * len(vectors))

    # ── private ──────────────────────────────────────────────────────────────────────────────────────────────

    def _encoded(self, documents: Sequence[Document]) -> Addition:
        texts, ids = [document.content for document in documents], [document.id for document in documents]
        encoded = self._pruned(texts, "document", ids)
        vectors = [item.vectors for item in encoded] or [np.zeros((0, self.bank.dimensions), np.float32)]
        tokens = {TOKENS: [item.tokens for item in encoded]}
        return Addition(documents, [len(item.vectors) for item in encoded], np.concatenate(vectors), extras=tokens)

    def _pruned(self, texts: Sequence[str], kind: TextKind, ids: Sequence[str]) -> list[Encoded]:
        renormalize = self.config.renormalize
        return encode_pruned(self.encoder, texts, kind, self.pruning, ids, renormalize=renormalize)

    def _derived(self) -> TokenParts:
        return self._parts

    def _renewed(self) -> None:
        self._parts = TokenParts(self._manifest, self.path, self._generation)

    def _check_encoder(self, encoder: TokenEncoder) -> None:
        card = self._manifest.encoder
        theirs = f"{encoder.name!r}, {encoder.dimensions} dimensions, pruning {encoder.pruning or 'none'}"
        ours = f"{card['name']!r}, {self.bank.dimensions} dimensions, pruning {self.pruning.method}"
        trained_otherwise = encoder.pruning is not None and encoder.pruning != self.pruning.method
        if encoder.fingerprint != card["fingerprint"] or trained_otherwise:
            raise ModelError(
                f"the index was built with another encoder or pruning: index {ours}; encoder {theirs}",
                where=str(self.path),
                hint="Open it with the encoder it was built with, or build it again",
            )


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"is {value}", where=name, hint="Give 1 or more")
    return value
