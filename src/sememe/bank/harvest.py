"""Harvesting: run a language model over a corpus and keep what passes one of its sites."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sememe.bank.bank import Bank
from sememe.bank.layout import positive
from sememe.corpus import Corpus
from sememe.errors import ArtifactError, InputError
from sememe.journal import JOURNAL
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.corpus import Document
    from sememe.models import LanguageModel

Tokens = Literal["all", "last", "mean"]


def harvest(
    lm: LanguageModel,
    corpus: Corpus | Iterable[Document],
    site: str,
    path: str | Path,
    *,
    dtype: str = "float32",
    tokens: Tokens = "all",
    max_tokens: int | None = None,
    skip_first_token: bool = False,
    batch_size: int = 32,
    commit_every: int = 256,
    resume: bool = True,
) -> Bank:
    """Write what passes `site` for every document into a bank; go on where an earlier, stopped run ended.

    Every `commit_every` documents are one commit, computed from those documents alone. So a run that was killed
    anywhere and started again makes the same bytes, on the same machine, as one that was never stopped.

    Args:
        lm: the language model.
        corpus: the documents, held in memory when they are no `Corpus`; `document.content` is what the model reads.
        site: the name of one site, such as `layers.12.residual`.
        path: the bank's folder.
        dtype: how the bank stores numbers: `float32`, `float16` or `int8`.
        tokens: one row for every token (`all`), for the `last` token, or their `mean`. `bank.positions` holds the
            token's place in its document, 0 for a mean. A document without tokens gives no row.
        max_tokens: cut longer documents to so many tokens; by default to what the model can read.
        skip_first_token: leave out each document's first token. Language models use it as a place to attend to
            when nothing else fits; its vectors are alike and can be over a hundred times longer than the others.
        batch_size: how much the model computes at once.
        commit_every: documents a commit.
        resume: whether to go on with a bank that exists at `path`; else that is an error.

    Returns:
        The finished bank, open for reading. `bank.source(row)` gives a row's document id and position.

    Raises:
        InputError: there is no such site, an option cannot be used, or a number does not fit the dtype.
        ArtifactError: `path` holds a bank that was made with other options, from another model, or from documents
            that have changed since.

    """
    return harvest_sites(
        lm,
        corpus,
        {site: path},
        dtype=dtype,
        tokens=tokens,
        max_tokens=max_tokens,
        skip_first_token=skip_first_token,
        batch_size=batch_size,
        commit_every=commit_every,
        resume=resume,
    )[site]


def harvest_sites(
    lm: LanguageModel,
    corpus: Corpus | Iterable[Document],
    paths: Mapping[str, str | Path],
    *,
    dtype: str = "float32",
    tokens: Tokens = "all",
    max_tokens: int | None = None,
    skip_first_token: bool = False,
    batch_size: int = 32,
    commit_every: int = 256,
    resume: bool = True,
) -> dict[str, Bank]:
    """Harvest several sites, each into a bank of its own, in one pass over the corpus; see `harvest`.

    The model runs once for all sites, and not at all for documents that every bank has.

    Args:
        lm: the language model.
        corpus: the documents.
        paths: the folder of the bank for each site.
        dtype: how the banks store numbers.
        tokens: which tokens give rows; see `harvest`.
        max_tokens: cut longer documents to so many tokens.
        skip_first_token: leave out each document's first token.
        batch_size: how much the model computes at once.
        commit_every: documents a commit.
        resume: whether to go on with banks that exist.

    Returns:
        The finished banks by site, open for reading.

    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.from_documents(corpus)
    runs = {
        site: _Run(site, tokens, max_tokens, skip_first_token, batch_size, commit_every)
        for site in lm.expand_sites(list(paths))
    }
    with ExitStack() as stack:
        fills = []
        for site, run in runs.items():
            bank = _open(lm, corpus, run, Path(paths[site]), dtype=dtype, resume=resume)
            fills.append(_Fill(stack.enter_context(bank), run, len(bank.document_ids)))
        _fill(fills, lm, corpus, commit_every)
    return {site: Bank.open(paths[site]) for site in paths}


def _open(lm: LanguageModel, corpus: Corpus, run: _Run, path: Path, *, dtype: str, resume: bool) -> Bank:
    width = lm.site_width(run.site)
    made_from = {
        "model_fingerprint": lm.fingerprint,
        "model_dtype": str(lm.model.dtype).removeprefix("torch."),
        **asdict(run),
    }
    if not resume or not (path / JOURNAL).is_file():
        return Bank.create(path, width, dtype=dtype, provenance={"model": lm.name, "corpus": corpus.name, **made_from})
    bank = Bank.open(path, writable=True)
    try:
        _refuse_other_options(bank, {**made_from, "dtype": dtype})
    except ArtifactError:
        bank.close()
        raise
    return bank


@dataclass(frozen=True)
class _Run:
    """The options that decide which rows a bank holds."""

    site: str
    tokens: str
    max_tokens: int | None
    skip_first_token: bool
    batch_size: int
    commit_every: int

    def __post_init__(self) -> None:
        if self.tokens not in get_args(Tokens):
            raise InputError(f"{self.tokens!r} is not known", where="tokens", hint="Choose from all, last, mean")
        for name in ("batch_size", "commit_every", *(["max_tokens"] if self.max_tokens is not None else [])):
            positive(getattr(self, name), name)

    def choose(self, activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of one document and their positions, from what passed the site (n_tokens, width)."""
        positions = np.arange(int(self.skip_first_token), len(activations))
        if self.tokens == "last":
            positions = positions[-1:]
        rows = activations[positions]
        if self.tokens == "mean" and len(rows):
            return rows.mean(axis=0, keepdims=True, dtype=np.float64), np.zeros(1, np.int64)
        return rows, positions


def _refuse_other_options(bank: Bank, wanted: dict[str, object]) -> None:
    found = {**bank.provenance, "dtype": bank.dtype}
    differing = [
        f"{name} was {found.get(name)!r}, now {wanted[name]!r}" for name in wanted if found.get(name) != wanted[name]
    ]
    if differing:
        raise ArtifactError(
            f"was harvested with other options: {'; '.join(differing)}",
            where=str(bank.path),
            hint="Give the same options to go on with it, or choose another path",
        )


@dataclass
class _Fill:
    """A bank that is being filled, and how many documents it had before."""

    bank: Bank
    run: _Run
    done: int

    @property
    def complete(self) -> bool:
        return bool(self.bank.journal.commits[-1].payload.get("complete"))

    def check(self, first: int, group: list[Document], digest: str) -> None:
        """Compare documents that the bank has with those of the corpus, counted from `first`.

        Raises:
            ArtifactError: they have changed.

        """
        for ordinal, document in enumerate(group[: self.done - first], start=first):
            known = self.bank.document_ids[ordinal]
            if document.id != known:
                raise self._changed(f"document {ordinal} was {known!r}, now it is {document.id!r}")
        last = first + len(group)
        if self.done == last and digest != self.bank.journal.commits[-1].payload.get("sha256"):
            raise self._changed(f"a text among the first {self.done} is another")
        if self.complete and last > self.done:
            raise ArtifactError(
                "is complete, but the corpus has grown since "
                f"(the first new document is {group[self.done - first].id!r})",
                where=str(self.bank.path),
                hint="Harvest into another path",
            )

    def end(self, n_documents: int, digest: str) -> None:
        """Note that the corpus ends here."""
        if n_documents < self.done:
            known = self.bank.document_ids[n_documents]
            raise self._changed(f"document {n_documents} was {known!r}, now there is none")
        if not self.complete:
            self.bank.commit({"documents": n_documents, "sha256": digest, "complete": True})

    def _changed(self, how: str) -> ArtifactError:
        return ArtifactError(
            f"the corpus has changed since the bank was begun: {how}",
            where=str(self.bank.path),
            hint="Harvest into another path, or give the corpus as it was",
        )


def _fill(fills: list[_Fill], lm: LanguageModel, corpus: Corpus, commit_every: int) -> None:
    digest = hashlib.sha256()
    documents = _hashed(corpus, digest)
    first = 0
    with progress("Harvesting", unit="documents", done=min(fill.done for fill in fills)) as bar:
        while group := list(islice(documents, commit_every)):
            last, found = first + len(group), digest.hexdigest()
            for fill in fills:
                fill.check(first, group, found)
            wanting = [fill for fill in fills if fill.done < last]
            if wanting:
                _append(wanting, lm, group, first)
                for fill in wanting:
                    fill.bank.commit({"documents": last, "sha256": found})
                bar.advance(len(group))
            first = last
        for fill in fills:
            fill.end(first, digest.hexdigest())


def _append(fills: list[_Fill], lm: LanguageModel, group: list[Document], first: int) -> None:
    texts = [document.content for document in group]
    run = fills[0].run
    sites = [fill.run.site for fill in fills]
    records = lm.activations(texts, sites, batch_size=run.batch_size, max_tokens=run.max_tokens)
    for document, ordinal, record in zip(group, range(first, first + len(group)), records, strict=True):
        for fill in fills:
            rows, positions = fill.run.choose(record[fill.run.site])
            try:
                fill.bank.append(rows, documents=np.full(len(rows), ordinal), positions=positions)
            except InputError as error:
                where = f"document {document.id!r} at {fill.run.site}, {error.where}"
                raise InputError(error.message, where=where, hint=error.hint) from error
    for fill in fills:
        fill.bank.append_document_ids([document.id for document in group])


def _hashed(corpus: Corpus, digest: hashlib._Hash) -> Iterator[Document]:
    """The documents; `digest` takes up each one as it is given out."""
    for document in corpus:
        for text in (document.id, document.content):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(data), data))
        yield document
