"""Harvesting: run a language model over a corpus and keep what passes one of its sites."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sememe.bank.bank import Bank
from sememe.bank.layout import positive
from sememe.errors import ArtifactError, InputError
from sememe.journal import JOURNAL
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.corpus import Corpus, Document
    from sememe.models import LanguageModel

Tokens = Literal["all", "last", "mean"]


def harvest(
    lm: LanguageModel,
    corpus: Corpus,
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
        corpus: the documents; `document.content` is what the model reads.
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
    run = _Run(site, tokens, max_tokens, skip_first_token, batch_size, commit_every)
    width = lm.site_width(site)
    made_from = {
        "model_fingerprint": lm.fingerprint,
        "model_dtype": str(lm.model.dtype).removeprefix("torch."),
        **asdict(run),
    }
    if resume and (Path(path) / JOURNAL).is_file():
        bank = Bank.open(path, writable=True)
    else:
        provenance = {"model": lm.name, "corpus": corpus.name, **made_from}
        bank = Bank.create(path, width, dtype=dtype, provenance=provenance)
    with bank:
        _refuse_other_options(bank, {**made_from, "dtype": dtype})
        _fill(bank, lm, corpus, run)
    return Bank.open(path)


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


def _fill(bank: Bank, lm: LanguageModel, corpus: Corpus, run: _Run) -> None:
    done = len(bank.document_ids)
    digest = hashlib.sha256()
    documents = _hashed(corpus, digest)
    with progress("Harvesting", unit="documents", done=done) as bar:
        _pass_over(bank, documents, done, digest)
        if bank.journal.commits[-1].payload.get("complete"):
            _refuse_new_documents(bank, documents)
            return
        first = done
        while group := list(islice(documents, run.commit_every)):
            _append(bank, lm, group, first, run)
            first += len(group)
            bar.advance(len(group))
            bank.commit({"documents": first, "sha256": digest.hexdigest()})
        bank.commit({"documents": first, "sha256": digest.hexdigest(), "complete": True})


def _append(bank: Bank, lm: LanguageModel, group: list[Document], first: int, run: _Run) -> None:
    texts = [document.content for document in group]
    records = lm.activations(texts, run.site, batch_size=run.batch_size, max_tokens=run.max_tokens)
    for document, ordinal, record in zip(group, range(first, first + len(group)), records, strict=True):
        rows, positions = run.choose(record[run.site])
        try:
            bank.append(rows, documents=np.full(len(rows), ordinal), positions=positions)
        except InputError as error:
            where = f"document {document.id!r} at {run.site}, {error.where}"
            raise InputError(error.message, where=where, hint=error.hint) from error
    bank.append_document_ids([document.id for document in group])


def _hashed(corpus: Corpus, digest: hashlib._Hash) -> Iterator[Document]:
    """The documents; `digest` takes up each one as it is given out."""
    for document in corpus:
        for text in (document.id, document.content):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(data), data))
        yield document


def _pass_over(bank: Bank, documents: Iterator[Document], n: int, digest: hashlib._Hash) -> None:
    """Skip the documents that were harvested before, and check that they are still the same.

    Raises:
        ArtifactError: they are not.

    """
    changed = "the corpus has changed since the bank was begun"
    hint = "Harvest into another path, or give the corpus as it was"
    for ordinal, known in enumerate(bank.document_ids):
        document = next(documents, None)
        if document is None or document.id != known:
            now = "there is none" if document is None else f"it is {document.id!r}"
            raise ArtifactError(
                f"{changed}: document {ordinal} was {known!r}, now {now}", where=str(bank.path), hint=hint
            )
    if n and digest.hexdigest() != bank.journal.commits[-1].payload.get("sha256"):
        raise ArtifactError(f"{changed}: a text among the first {n} is another", where=str(bank.path), hint=hint)


def _refuse_new_documents(bank: Bank, documents: Iterator[Document]) -> None:
    new = next(documents, None)
    if new is not None:
        raise ArtifactError(
            f"is complete, but the corpus has grown since (the first new document is {new.id!r})",
            where=str(bank.path),
            hint="Harvest into another path",
        )
