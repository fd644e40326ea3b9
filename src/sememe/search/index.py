"""The searchable collection: documents, the vectors of their windows, and a lexical part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sememe.corpus import Corpus, Document, Window
from sememe.errors import InputError
from sememe.models import Encoder
from sememe.models.encoder import compared
from sememe.search.base_index import BaseIndex
from sememe.search.coarse.kinds import LEARNED
from sememe.search.config import IndexConfig
from sememe.search.encoders import described, encoder_of
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.filters import Filter
from sememe.search.generation import Addition, Generation
from sememe.search.hits import Hit, Hits
from sememe.search.learned_stage import save_learned
from sememe.search.learning import learn_atoms
from sememe.search.manifest import INDEX, MANIFEST, Kind, Manifest
from sememe.search.parts import Parts
from sememe.search.passages import content, windows_of
from sememe.search.query_vectors import encoded_queries
from sememe.search.request import Request
from sememe.search.rerank import Reranker
from sememe.search.searcher import Searcher
from sememe.search.tuning import TUNED_STAGES, Tuned, made_stages, tune

if TYPE_CHECKING:
    from sememe.atoms import Atoms, AtomsConfig
    from sememe.lexical.bm25 import Lexical
    from sememe.search.optimizing import Optimized, Pair

ATOMS = "atoms"


class Index(BaseIndex[IndexConfig, Encoder]):
    """A collection on disk that is searched by meaning, by words, or by both.

    Make one with `Index.build`, open one with `Index.open`. Many processes may read an index while one writes
    it; a reader goes on seeing the version that it opened.
    """

    kind: ClassVar[Kind[IndexConfig]] = INDEX

    def __init__(
        self, path: Path, manifest: Manifest[IndexConfig], generation: Generation, encoder: Encoder | None
    ) -> None:
        super().__init__(path, manifest, generation, encoder)
        self._parts = Parts(manifest, path, generation)

    @classmethod
    def build(
        cls,
        corpus: Corpus | Iterable[Document],
        encoder: Encoder,
        path: str | Path,
        *,
        config: IndexConfig | None = None,
        resume: bool = False,
        **settings: Any,
    ) -> Index:
        """Encode a corpus into a new index.

        A build commits every few hundred documents. One that was killed goes on where it stopped with
        `resume=True` and ends with the same files as one that was not.

        Args:
            corpus: the documents.
            encoder: what turns texts into vectors.
            path: the folder to make.
            config: the settings; or give its fields as keywords.
            resume: go on with an index that is already there, if it was made the same way. A complete one is
                opened as it is.
            **settings: fields of `IndexConfig`, when `config` is not given.

        Returns:
            The index, open for writing.

        Raises:
            ArtifactError: there is an index already, or the one to resume was made differently.
            InputError: a document repeats an id.
            ModelError: the encoder compares by a distance, and `similarity` is `auto`.

        """
        config = config if config is not None else IndexConfig(**settings)
        if config.coarse == LEARNED:
            raise InputError(
                "codes are learned from what an index holds", where="coarse", hint="Build it, then use Index.optimize"
            )
        kept = described(encoder, config.similarity)
        return cls._built(corpus, encoder, Path(path), described=kept, config=config, resume=resume)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def first_stage(self) -> str:
        """The name of the first stage of a dense search; what `auto` means for so many vectors."""
        return str(self._parts.coarse)

    @property
    def normalizes(self) -> bool:
        """Whether its vectors have unit length, so that scores are cosines."""
        return bool(self._manifest.encoder["normalizes"])

    @property
    def encoder(self) -> Encoder:
        """The encoder it was built with, loaded on first use.

        Raises:
            ModelError: the encoder that now has this name gives other vectors.

        """
        self._encoder = encoder_of(self._manifest.encoder, self._encoder, where=str(self.path))
        return self._encoder

    def live_rows(self) -> np.ndarray:
        """The bank rows of the documents that exist; shape (n,), ascending."""
        return np.flatnonzero(self._generation.live[self.bank.documents])

    def row(self, row: int) -> tuple[Document, Window]:
        """The document and the window that a bank row stands for."""
        return self._generation.records[int(self.bank.documents[row])], self._generation.records.window(row)

    def id_of(self, row: int) -> str:
        """The id of the document of a bank row; the document is not read."""
        return self._generation.records.ids[int(self.bank.documents[row])]

    def rows_of(self, document_id: str) -> np.ndarray:
        """The bank rows of a document's windows; shape (n,), ascending.

        Raises:
            InputError: there is no such document.

        """
        self.document(document_id)
        return self._generation.rows_of(np.asarray([self._by_id()[document_id]]))

    @property
    def lexical(self) -> Lexical:
        """The lexical part: BM25 over the documents; its items are their places in `ids`."""
        return self._parts.lexical()

    def text(self, row: int) -> str:
        """What was encoded into a bank row: the title and the window's text."""
        document, window = self.row(row)
        return content(document, window)

    @staticmethod
    def is_index(path: str | Path) -> bool:
        """Whether a folder is an index of some kind, by its manifest."""
        return (Path(path) / MANIFEST).is_file()

    @property
    def atoms_path(self) -> Path:
        """Where the command line keeps the atoms of this index."""
        return self.path / ATOMS

    def learn_atoms(self, n_atoms: int | None = None, *, config: AtomsConfig | None = None, **options: Any) -> Atoms:
        """Learn atoms from the vectors of all documents and label them with the words of these documents.

        Args: as `sememe.Atoms.fit`.
        """
        return learn_atoms(self, n_atoms, config=config, **options)

    def info(self) -> dict[str, Any]:
        """What the index is, how large, and how good its first stage was measured to be."""
        return {
            "documents": len(self),
            "deleted": int(np.count_nonzero(~self._generation.live)),
            "vectors": len(self.bank),
            "dimensions": self.bank.dimensions,
            "encoder": dict(self._manifest.encoder),
            "corpus": self._manifest.corpus,
            "config": asdict(self.config),
            "coarse": self._parts.coarse_card(),
            "bytes": self._n_bytes(),
        }

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self,
        query: str | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> Hits[Hit]:
        """Find the documents that answer a query best.

        Args:
            query: a text, or a vector of shape (d,) for mode `dense`.
            k: how many hits; fewer are returned when fewer documents match.
            mode: `dense` (inner product of vectors), `lexical` (BM25) or `hybrid` (both, fused by rank).
            where: a metadata filter, see `sememe.search.filters`.
            explain: atoms to take the dense score apart with.
            steer: for atoms of `explain`, how far to move the query along each:
                ``q' = q + sum_j steer[j] d_j``, brought back to unit length if the encoder gives unit vectors.
                The explanation is about ``q'``.
            feedback: move the query by what a first search found, or towards and away from documents that the user
                names, and search again; `RM3` does it for mode `lexical`. `Hits.feedback` says what happened.
            rerank: reads the best hits again, such as `sememe.CrossEncoder`; its score then orders them.

        Returns:
            Hits, the best first; equal scores in the order of adding. `stages` says what each stage did.

        Raises:
            InputError: an argument does not fit.

        """
        request = Request(k, mode, where, explain, steer, feedback, rerank)
        return Searcher(self, self._generation, self._parts).search([query], request)[0]

    def search_batch(
        self,
        queries: Sequence[str] | Sequence[str | np.ndarray] | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> list[Hits[Hit]]:
        """`search` for many queries at once: they are encoded and scored together."""
        request = Request(k, mode, where, explain, steer, feedback, rerank)
        return Searcher(self, self._generation, self._parts).search(queries, request)

    def rank_batch(
        self,
        queries: Sequence[str] | Sequence[str | np.ndarray] | np.ndarray,
        k: int,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        feedback: Feedback | RM3 | None = None,
    ) -> list[dict[str, float]]:
        """As `search_batch`, but only ids and scores, the best first: no document is read. For evaluation."""
        request = Request(k, mode, where, feedback=feedback)
        return Searcher(self, self._generation, self._parts).rank(queries, request)

    def query_vector(
        self, query: str | np.ndarray, *, explain: Atoms | None = None, steer: Mapping[int, float] | None = None
    ) -> np.ndarray:
        """The vector that a query is searched with, steered if `steer` says so; shape (d,)."""
        vectors: np.ndarray = Searcher(self, self._generation, self._parts).vectors([query], explain, steer)[0]
        return vectors

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def using(self, coarse: str, *, candidates: int = 0) -> Index:
        """The same index, searched with another first stage that is made in memory; nothing is written.

        Args:
            coarse: the first stage, as in `IndexConfig`.
            candidates: rows it proposes for each hit; 0 to measure how many recall@10 of 0.98 needs.

        Raises:
            InputError: there is no such stage, or it cannot be learned from these vectors.

        """
        config = replace(self.config, coarse=coarse, candidates=candidates)
        view = Index(self.path, replace(self._manifest, config=config), self._generation, self._encoder)
        view._ordinals = self._ordinals
        return view

    def set_coarse(self, coarse: str, *, candidates: int = 0) -> None:
        """Change the first stage for good; the vectors stay. Arguments as `using`.

        A kill leaves the old stage in force, or the new one with codes that the next search makes.
        """
        config = replace(self.config, coarse=coarse, candidates=candidates)
        self.bank.journal.require_writer()
        self._manifest = replace(self._manifest, config=config)
        self._manifest.write(self.path)
        self._renewed()
        self.prepare()

    def tune(
        self,
        stages: Sequence[str] = TUNED_STAGES,
        *,
        queries: Sequence[str] | None = None,
        recall: float = 0.98,
        k: int = 10,
        memory: int | None = None,
    ) -> Tuned:
        """Measure first stages on this index's vectors and find the cheapest that reaches a recall; writes nothing.

        Args:
            stages: first stages, as in `IndexConfig`; those that do not fit the vectors are left out.
            queries: texts to measure with, at least 20; by default points halfway between documents.
            recall: the share of the true top k that must be among the candidates.
            k: how many hits are meant.
            memory: the most bytes that the stage may hold.

        Returns:
            The choice and the measured curve, see `sememe.search.tuning.tune`. `set_coarse(t.choice.stage,
            candidates=ceil(t.choice.candidates / k))` puts it into force.

        """
        live = self._generation.live[self.bank.documents]
        vectors = None if queries is None else encoded_queries(self, queries)
        return tune(
            self.bank, made_stages(self.bank, stages), queries=vectors, recall=recall, k=k, memory=memory, allowed=live
        )

    def optimize(self, pairs: Sequence[Pair] | None = None, **options: Any) -> Optimized:
        """Learn a first stage from queries and the documents that answer them, and measure it; writes nothing.

        Args and errors: as `sememe.search.optimizing.optimize_coarse`. `adopt` puts the result into force.
        """
        from sememe.search.optimizing import optimize_coarse

        return optimize_coarse(self, pairs, **options)

    def adopt(self, found: Optimized, *, force: bool = False) -> None:
        """Take learned codes as the first stage for good (`coarse="learned"`); they stay through every later change.

        A kill leaves the old stage in force, or the new one with codes that the next search makes.

        Args:
            found: what `optimize` learned.
            force: even if it measured worse.

        Raises:
            InputError: it measured worse, see `Optimized.objection`, and is not forced.
            ArtifactError: the index is open for reading.

        """
        self.bank.journal.require_writer()
        if found.objection is not None and not force:
            raise InputError(f"is not adopted: {found.objection}", where="learned codes", hint="Or force it")
        encoder = str(self._manifest.encoder["fingerprint"])
        save_learned(self.path, found.after, encoder, {"measured": found.as_dict()})
        self.set_coarse(LEARNED)

    # ── private ──────────────────────────────────────────────────────────────────────────────────────────────

    def _encoded(self, documents: Sequence[Document]) -> Addition:
        spans = [windows_of(document, self.encoder, self.config.overlap) for document in documents]
        texts = [content(document, w) for document, ws in zip(documents, spans, strict=True) for w in ws]
        windows = [window for of_document in spans for window in of_document]
        vectors = compared(self.encoder.encode_document(texts), self.encoder, by_cosine=self.normalizes)
        return Addition(documents, [len(ws) for ws in spans], vectors, windows)

    def _derived(self) -> Parts:
        return self._parts

    def _renewed(self) -> None:
        self._parts = Parts(self._manifest, self.path, self._generation)
