"""The shared data sets, read whole and compared with reading them by hand."""

import gzip
import json

import pytest

from sememe.corpus import read

BEIR = {
    "retrieval-cranfield": 1400,
    "retrieval-cisi": 1460,
    "retrieval-cacm": 3204,
    "retrieval-scifact": 5183,
    "retrieval-cosqa": 6267,
}


def _lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_papers_of_arxiv(shared):
    path = shared("papers-arxiv") / "papers.jsonl.gz"
    documents = list(read(path))
    records = _lines(path)
    assert len(documents) == len(records) == 22_000
    for document, record in zip(documents, records, strict=True):
        assert (document.id, document.title, document.text) == (record["id"], record["title"], record["abstract"])
        assert set(document.metadata) == {"authors", "date", "year", "month", "categories", "source"}
        assert document.metadata["authors"] == record["authors"]


@pytest.mark.parametrize("name", BEIR)
def test_beir_folders(shared, name):
    folder = shared(name)
    documents = list(read(folder))
    records = _lines(folder / "corpus.jsonl.gz")
    assert len(documents) == len(records) == BEIR[name]
    assert [(d.id, d.title, d.text) for d in documents] == [(r["_id"], r["title"], r["text"]) for r in records]


def test_entirely_empty_documents_are_kept(shared):
    documents = {document.id: document for document in read(shared("retrieval-cranfield"))}
    assert documents["471"].content == documents["995"].content == ""


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("papers-ml", "papers.jsonl.gz", 8226),
        ("papers-acl", "papers.jsonl.gz", 21242),
        ("class-ag-news", "data.jsonl.gz", 5600),
        ("text-gutenberg", "books.jsonl.gz", 12),
        ("text-tinyshakespeare", "input.txt.gz", 1),
    ],
)
def test_other_collections(shared, name, file, rows):
    corpus = read(shared(name) / file, on_error="skip")
    assert sum(1 for _ in corpus) + corpus.n_skipped == rows
    assert corpus.n_skipped < rows / 100 + 1
