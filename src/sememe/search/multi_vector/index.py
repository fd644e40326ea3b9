"""The searchable collection of texts with several vectors each: exact MaxSim of candidates, from vectors on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from sememe import disk
from sememe.bank import Bank
from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError, ModelError
from sememe.models.multi_vector import MultiVectorEncoder, TokenVectors, padded
from sememe.progress import progress
from sememe.search.fusion import top_items
from sememe.search.multi_vector.explaining import Match, MaxSimExplanation, MultiVectorHit, words_of
from sememe.search.multi_vector.lists import PROBES, Lists
from sememe.search.multi_vector.maxsim import exact_score, exact_shares, score_documents
from sememe.search.multi_vector.pruning import Kind, Pruning, prune_with_members
from sememe.search.multi_vector.store import Encoded, Store

DOCUMENTS_PER_COMMIT = 256
EXACT_VECTORS = 50_000
# On SciFact with MiniLM (661,116 token vectors, 60 queries) .960, .988 and .990 of the exact top 10 are among 100, 200
# and 400 candidates; mean vectors instead of lists give .952, .973 and .988.
MIN_CANDIDATES = 200
CANDIDATES_PER_HIT = 20
COARSE_KINDS = ("auto", "exact", "lists")
LISTS = "lists"
Item = TypeVar("Item")
_BLOCK_ROWS = 16_384
# float32 scores of unit vectors are off by rounding; whatever comes this close to the k-th is scored exactly. A share
# of a query vector has at most this error.
_TOLERANCE = 3e-5


class TokenEncoder(Protocol):
    """What an index needs of an encoder; see `sememe.models.multi_vector.MultiVectorEncoder`."""

    name: str
    fingerprint: str
    dimensions: int
    query_length: int
    document_length: int
    pruning: str | None

    def encode(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[TokenVectors]: ...


class MultiVectorIndex:
    """A collection on disk in which every text has several vectors, one a token or one a cluster of tokens.

    Make one with `MultiVectorIndex.build`, open one with `MultiVectorIndex.open`. Many processes may read it while one
    writes; a reader goes on seeing the version that it opened.
    """

    def __init__(self, path: Path, store: Store, encoder: TokenEncoder | None) -> None:
        self.path = path
        self._store = store
        self._encoder = encoder
        card = store.bank.provenance
        self.pruning = Pruning.parse(card["pruning"])
        self._ordinals = store.ordinals()
        self._lists = self._saved_lists()
        if encoder is not None:
            self._check_encoder(encoder)

    # ── making and opening ───────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def build(
        cls,
        corpus: Corpus | Iterable[Document],
        encoder: TokenEncoder,
        path: str | Path,
        *,
        pruning: str | None = None,
        renormalize: bool = False,
        dtype: str = "float16",
        coarse: str = "auto",
        resume: bool = False,
    ) -> MultiVectorIndex:
        """Encode a corpus into a new index.

        Args:
            corpus: the documents; title and text are encoded together, as far as the encoder reads.
            encoder: what gives token vectors.
            path: the folder to make.
            pruning: how many vectors are kept, such as `mv` or `C8x32`, see `sememe.search.multi_vector.pruning`; by
                default what the encoder was trained with, else `mv`. It holds for queries too.
            renormalize: scale the centroids of clusters to unit length.
            dtype: how numbers are stored: `float32`, `float16` or `int8`. Scores are exact for what is stored.
            coarse: `exact` scores every document, `lists` only candidates, `auto` takes lists above 50,000 vectors.
            resume: go on with a build that was stopped, if it was made the same way.

        Returns:
            The index, open for writing.

        Raises:
            InputError: an argument does not fit, a document has no tokens or repeats an id; the message names it.
            ArtifactError: there is something already, or the build to resume was made differently.

        """
        path, method = Path(path), Pruning.parse(pruning or encoder.pruning or "mv")
        if coarse not in COARSE_KINDS:
            raise InputError(f"there is no coarse stage {coarse!r}", hint=f"Choose from {', '.join(COARSE_KINDS)}")
        provenance = {
            "kind": "multi-vector index",
            "model": encoder.name,
            "model_fingerprint": encoder.fingerprint,
            "site": "tokens",
            "lengths": [encoder.query_length, encoder.document_length],
            "corpus": corpus.source if isinstance(corpus, Corpus) else "documents",
            "pruning": method.method,
            "renormalize": renormalize,
            "coarse": coarse,
        }
        if resume and path.exists() and any(path.iterdir()):
            store = _resumed(path, provenance, dtype)
        else:
            store = Store.create(path, encoder.dimensions, dtype, provenance)
        try:
            index = cls(path, store, encoder)
            if not store.complete:
                index._fill(_behind_known(iter(corpus), store, path))
            index.prepare()
        except BaseException:
            store.close()
            raise
        return index

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, encoder: TokenEncoder | None = None) -> MultiVectorIndex:
        """Open an index.

        Args:
            path: its folder.
            writable: take the writer's lock, so that `add`, `delete` and `compact` work.
            encoder: the encoder it was built with; loaded by its name when it is first needed otherwise.

        Raises:
            ArtifactError: it is missing, damaged (the message names the file) or half-built.
            LockedError: `writable`, and another process is writing.
            ModelError: the encoder is another one, or was trained for another pruning.

        """
        path = Path(path)
        disk.recover(path)
        if not path.is_dir():
            raise ArtifactError("does not exist", where=str(path), hint="Make it with MultiVectorIndex.build")
        store = Store.open(path, writable=writable)
        try:
            if not store.complete:
                raise ArtifactError(
                    f"is half-built: its build was stopped after {len(store.live):,} documents",
                    where=str(path),
                    hint="Build it again with resume=True",
                )
            return cls(path, store, encoder)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the files and release the writer's lock."""
        self._store.close()

    def __enter__(self) -> MultiVectorIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """The number of documents."""
        return len(self._ordinals)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._ordinals

    def ids(self) -> list[str]:
        """The ids of all documents, in the order of adding."""
        return list(self._ordinals)

    def document(self, document_id: str) -> Document:
        """A document by its id.

        Raises:
            InputError: there is no such document.

        """
        if document_id not in self._ordinals:
            raise InputError(f"has no document {document_id!r}", where=str(self.path))
        return self._store.records[self._ordinals[document_id]]

    @property
    def bank(self) -> Bank:
        """The vectors; rows of deleted documents stay until `compact`."""
        return self._store.bank

    @property
    def encoder(self) -> TokenEncoder:
        """The encoder it was built with, loaded on first use.

        Raises:
            ModelError: the encoder that now has this name gives other vectors.

        """
        if self._encoder is None:
            card = self.bank.provenance
            query_length, document_length = card["lengths"]
            encoder = MultiVectorEncoder.load(card["model"], query_length=query_length, document_length=document_length)
            self._check_encoder(encoder)
            self._encoder = encoder
        return self._encoder

    def info(self) -> dict[str, Any]:
        """What the index is and how large."""
        live = self._store.live[self.bank.documents] if len(self.bank) else np.zeros(0, bool)
        tokens = sum(len(self._store.tokens(ordinal)) for ordinal in self._ordinals.values())
        return {
            "documents": len(self),
            "deleted": int((~self._store.live).sum()),
            "vectors": int(live.sum()),
            "tokens": tokens,
            "dimensions": self.bank.dimensions,
            "dtype": self.bank.dtype,
            "pruning": self.pruning.method,
            "encoder": self.bank.provenance["model"],
            "coarse": "lists" if self._uses_lists else "exact",
            "memory": self._lists.nbytes if self._lists is not None else 0,
            "bytes": sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file()),
        }

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        self.bank.verify()
        if (self.path / LISTS).exists():
            Lists.load(self.path / LISTS)

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self, query: str | np.ndarray, k: int = 10, *, explain: bool = False, candidates: int | None = None
    ) -> list[MultiVectorHit]:
        """Find the documents with the highest Chamfer score ``sum over q of max over x of <q, x>``.

        Args:
            query: a text, or its vectors as they are; shape (m, d).
            k: how many hits; fewer are returned when there are fewer documents.
            explain: say which document vector each query vector found, and the words of both.
            candidates: how many documents are scored; 20 for each hit and at least 200 by default.

        Returns:
            Hits, the best first; equal scores in the order of adding. Scores are exact for the stored vectors.

        Raises:
            InputError: an argument does not fit.

        """
        vectors, words = self._query(query)
        ordinals, scores = self._rank(vectors, _positive(k, "k"), candidates)
        hits = []
        for rank, (ordinal, score) in enumerate(zip(ordinals.tolist(), scores, strict=True), start=1):
            document = self._store.records[ordinal]
            explanation = self._explanation(vectors, words, ordinal, document) if explain else None
            hits.append(MultiVectorHit(document, score, rank, explanation))
        return hits

    def rank_batch(
        self, queries: Sequence[str | np.ndarray], k: int, *, candidates: int | None = None
    ) -> list[dict[str, float]]:
        """Ids and scores for many queries, the best first: no document is read. For evaluation.

        Scores are float32 products, so that they are off by rounding.
        """
        rankings = []
        for query in queries:
            vectors, _ = self._query(query)
            ordinals, scores = self._approximate(vectors, k, candidates)
            best = top_items(scores, np.ones(len(scores), bool), k)
            rankings.append({self._store.ids[ordinals[i]]: float(scores[i]) for i in best})
        return rankings

    def candidates(self, query: str | np.ndarray, n: int, *, probes: int = PROBES) -> list[str]:
        """The ids of the `n` documents that the first stage proposes, so that its recall can be measured."""
        vectors, _ = self._query(query)
        if not self._uses_lists:
            raise InputError("has no first stage: every document is scored", where=str(self.path))
        return [self._store.ids[o] for o in self._live_lists().candidates(vectors, n, self._store.live, probes)]

    def _query(self, query: str | np.ndarray) -> tuple[np.ndarray, list[tuple[str, ...]]]:
        if isinstance(query, str):
            record = self.encoder.encode([query], "query")[0]
            encoded = self._pruned([record], "query", ["the query"])[0]
            return encoded.vectors, words_of(query, encoded.tokens, len(encoded.vectors))
        vectors = np.asarray(query, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.bank.dimensions or not len(vectors):
            raise InputError(
                f"has shape {vectors.shape}; the index holds vectors of {self.bank.dimensions} dimensions "
                f"(encoder {self.bank.provenance['model']!r}, pruning {self.pruning.method})",
                where="query",
                hint=f"Give a text, or one or more vectors of shape (m, {self.bank.dimensions})",
            )
        if not np.isfinite(vectors).all():
            raise InputError("holds NaN or infinity", where="query")
        return vectors, [()] * len(vectors)

    def _rank(self, query: np.ndarray, k: int, n: int | None) -> tuple[np.ndarray, list[float]]:
        ordinals, scores = self._approximate(query, k, n)
        best = top_items(scores, np.ones(len(scores), bool), k)
        if len(best) == k:
            slack = _TOLERANCE * float(np.linalg.norm(query, axis=1).sum())
            best = np.flatnonzero(scores >= scores[best[-1]] - slack)
        exact = [exact_score(exact_shares(query, self._vectors(ordinals[i]))[1]) for i in best]
        order = sorted(range(len(best)), key=lambda place: (-exact[place], int(ordinals[best[place]])))[:k]
        return ordinals[best[order]], [exact[place] for place in order]

    def _approximate(self, query: np.ndarray, k: int, n: int | None) -> tuple[np.ndarray, np.ndarray]:
        """float32 scores of the candidates, or of all documents; ordinals ascending."""
        n = max(MIN_CANDIDATES, CANDIDATES_PER_HIT * k) if n is None else max(_positive(n, "candidates"), k)
        if self._uses_lists:
            ordinals = np.sort(self._live_lists().candidates(query, n, self._store.live))
        else:
            ordinals = np.flatnonzero(self._store.live)
        counts = self._store.ends[ordinals] - self._store.starts[ordinals]
        scores = np.empty(len(ordinals), np.float32)
        first = 0
        while first < len(ordinals):
            room = np.searchsorted(np.cumsum(counts[first:]), _BLOCK_ROWS, side="right")
            last = first + max(1, int(room))
            rows = np.concatenate([self._vectors(ordinal) for ordinal in ordinals[first:last]])
            starts = np.cumsum(counts[first:last]) - counts[first:last]
            scores[first:last] = score_documents(query, np.zeros(1, np.int64), rows, starts)[0]
            first = last
        return ordinals, scores

    def _vectors(self, ordinal: int) -> np.ndarray:
        return self.bank[self._store.rows(int(ordinal))]

    def _explanation(
        self, query: np.ndarray, query_words: Sequence[tuple[str, ...]], ordinal: int, document: Document
    ) -> MaxSimExplanation:
        rows = self._store.rows(ordinal)
        winners, shares = exact_shares(query, self.bank[rows])
        words = words_of(document.content, self._store.tokens(ordinal), rows.stop - rows.start)
        return MaxSimExplanation(
            tuple(
                Match(asked, words[winner], rows.start + winner, share)
                for asked, winner, share in zip(query_words, winners.tolist(), shares.tolist(), strict=True)
            )
        )

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, documents: Iterable[Document]) -> int:
        """Add documents; each few hundred are durable before the next are encoded.

        Returns:
            How many were added.

        Raises:
            InputError: an id is already there, or a document has no tokens; what was added before it stays.

        """
        added = 0
        for chunk in _chunks(iter(documents)):
            self._add(chunk)
            added += len(chunk)
        return added

    def replace(self, documents: Iterable[Document]) -> int:
        """Add documents, deleting older ones with the same ids in the same step; returns how many were added."""
        added = 0
        for chunk in _chunks(iter(documents)):
            self._add(chunk, [document.id for document in chunk if document.id in self._ordinals])
            added += len(chunk)
        return added

    def delete(self, ids: str | Iterable[str]) -> int:
        """Delete documents by id; ids that are not there are passed over.

        Returns:
            How many were deleted.

        """
        found = {i: self._ordinals[i] for i in ([ids] if isinstance(ids, str) else ids) if i in self._ordinals}
        if found:
            self._store.delete(list(found.values()))
            for document_id in found:
                del self._ordinals[document_id]
        return len(found)

    def compact(self) -> None:
        """Write the index again without the deleted documents, and put it in the old one's place in one step."""
        old = self._store
        with disk.new_folder(self.path) as folder:
            new = Store.create(folder, old.bank.dimensions, old.bank.dtype, old.bank.provenance)
            try:
                for ordinals in _chunks(iter(self._ordinals.values())):
                    encoded = [Encoded(self._vectors(ordinal), old.tokens(ordinal)) for ordinal in ordinals]
                    new.add([old.records[ordinal] for ordinal in ordinals], encoded)
                new.finish()
            finally:
                new.close()
        old.close()
        self._store = Store.open(self.path, writable=True)
        self._ordinals = self._store.ordinals()
        self._lists = None
        self.prepare()

    def prepare(self) -> None:
        """Make what is derived from the vectors and store it, so that readers find it."""
        if self._uses_lists:
            lists = self._live_lists()
            commit = self.bank.journal.commits[-1]
            lists.save(self.path / LISTS, {"ends": dict(commit.ends), "checksums": dict(commit.checksums)})

    def _fill(self, documents: Iterator[Document]) -> None:
        with progress("Indexing", unit="documents", done=len(self._store.live)) as bar:
            for chunk in _chunks(documents):
                self._add(chunk)
                bar.advance(len(chunk))
        self._store.finish()

    def _add(self, documents: Sequence[Document], replaced: Sequence[str] = ()) -> None:
        seen = self._ordinals.keys() - set(replaced)
        for document in documents:
            if document.id in seen:
                raise InputError(
                    f"the id {document.id!r} is already there",
                    where=str(self.path),
                    hint="Give every document its own id, or use MultiVectorIndex.replace",
                )
            seen.add(document.id)
        records = self.encoder.encode([document.content for document in documents], "document")
        encoded = self._pruned(records, "document", [document.id for document in documents])
        first = len(self._store.live)
        self._store.add(documents, encoded, [self._ordinals[i] for i in replaced])
        for document_id in replaced:
            del self._ordinals[document_id]
        self._ordinals.update({document.id: first + number for number, document in enumerate(documents)})

    def _pruned(self, records: Sequence[TokenVectors], kind: Kind, ids: Sequence[str]) -> list[Encoded]:
        import torch

        encoded: list[Encoded | None] = [None] * len(records)
        for batch in _by_length([len(record.vectors) for record in records]):
            vectors, mask = padded([records[place] for place in batch])
            pruned = prune_with_members(
                torch.from_numpy(vectors),
                torch.from_numpy(mask),
                self.pruning,
                kind,
                renormalize=bool(self.bank.provenance["renormalize"]),
                ids=[ids[place] for place in batch],
            )
            for row, place in enumerate(batch):
                members = pruned.members[row, : len(records[place].spans)].numpy()
                tokens = np.column_stack([records[place].spans, members]).astype(np.int32)
                encoded[place] = Encoded(pruned.vectors[row][pruned.mask[row]].numpy(), tokens)
        return [item for item in encoded if item is not None]

    # ── what is derived ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def _uses_lists(self) -> bool:
        coarse = self.bank.provenance["coarse"]
        return len(self.bank) > 0 and (coarse == "lists" or (coarse == "auto" and len(self.bank) > EXACT_VECTORS))

    def _live_lists(self) -> Lists:
        if self._lists is None:
            self._lists = Lists.fit(self.bank)
        if len(self._lists.codes) < len(self.bank):
            self._lists.extend(self.bank)
            if self._lists.is_outgrown:
                self._lists = Lists.fit(self.bank)
        return self._lists

    def _saved_lists(self) -> Lists | None:
        """The stored lists, if they were made from a state that this index has gone through."""
        if not (self.path / LISTS).is_dir():
            return None
        lists, card = Lists.load(self.path / LISTS)
        states = [(dict(commit.ends), dict(commit.checksums)) for commit in self.bank.journal.commits]
        if (card["ends"], card["checksums"]) not in states:
            return None  # another process has just compacted the index
        lists.extend(self.bank)
        return lists

    def _check_encoder(self, encoder: TokenEncoder) -> None:
        card = self.bank.provenance
        theirs = f"{encoder.name!r}, {encoder.dimensions} dimensions, pruning {encoder.pruning or 'none'}"
        ours = f"{card['model']!r}, {self.bank.dimensions} dimensions, pruning {self.pruning.method}"
        trained_otherwise = encoder.pruning is not None and encoder.pruning != self.pruning.method
        if encoder.fingerprint != card["model_fingerprint"] or trained_otherwise:
            raise ModelError(
                f"the index was built with another encoder or pruning: index {ours}; encoder {theirs}",
                where=str(self.path),
                hint="Open it with the encoder it was built with, or build it again",
            )


def _resumed(path: Path, provenance: dict[str, Any], dtype: str) -> Store:
    store = Store.open(path, writable=True)
    found = {**store.bank.provenance, "dtype": store.bank.dtype}
    wanted = {**provenance, "dtype": dtype}
    changed = {name: value for name, value in wanted.items() if found.get(name) != value}
    differing = [f"{name} was {found.get(name)!r} and is now {value!r}" for name, value in changed.items()]
    if differing:
        store.close()
        raise ArtifactError(
            f"cannot be resumed: {'; '.join(differing)}",
            where=str(path),
            hint="Use the same arguments, or choose another path",
        )
    return store


def _behind_known(documents: Iterator[Document], store: Store, path: Path) -> Iterator[Document]:
    """The documents behind those that an earlier build has stored."""
    for known, document in zip(store.ids, documents, strict=False):
        if document.id != known:
            raise ArtifactError(
                f"cannot be resumed: there was a document {known!r} where there is now {document.id!r}",
                where=str(path),
                hint="The corpus has changed: delete the index and build it again",
            )
    return documents


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, DOCUMENTS_PER_COMMIT)):
        yield chunk


def _by_length(lengths: Sequence[int], size: int = 32) -> Iterator[list[int]]:
    """Places in batches of similar length, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"is {value}", where=name, hint="Give 1 or more")
    return value
