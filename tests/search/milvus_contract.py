"""What every Milvus server must do for us: the same hits as an index on disk, also after changes, kills and repeats.

Each check takes the place of a server and a folder to work in. `test_milvus.py` runs them against milvus-lite in this
process; `test_milvus_server.py` against a real server, in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_index import WORDS, make_documents

from hash_encoder import HashEncoder, LongVectors
from sememe import Atoms, Document, Index
from sememe.errors import ArtifactError, InputError, ModelError
from sememe.search.milvus import MilvusIndex
from sememe.search.milvus.agreement import agreement
from sememe.search.milvus.connection import ATTEMPTS, Connection, NoAnswerError
from sememe.search.milvus.rows import keys_of

LONG = Document("long", " ".join(["filler"] * 100 + ["needle", "haystack"] * 10 + ["other"] * 100), "A long one")
ODD = [
    Document('quo"te', "the red 'cat' \\ sleeps", 'say "what"', {"s": 'a"b', "n": 1.5, "tags": []}),
    Document("new\nline\t", "zero \x00 and 😀 smile", "", {"s": "x\ny\tz\x01", "flag": True, "nest": {"a": [1]}}),
    Document(" or order >= 0 or ", "blue bird", "", {"s": '" or order >= 0 or fields["s"] == "', "flag": False}),
    Document("123", "green tree", "2020", {"s": "2020", "n": "07", "none": None, "big": 2**60 + 1}),
    Document("ключ/~[0]", "большой дом the house", "", {"ключ": "да", "a b/c~d": ["é", 3, "4", True], "n": -1}),
]
QUERIES = ["red cat", "needle haystack", "the big house", "nothing known"]


def answers(index, query, k=10, **options):
    """The whole of what a search says, but for the numbers of rows, which each side counts for itself."""
    hits = index.search(query, k, **options)
    return [(hit.document, hit.score, hit.rank, hit.window, dict(hit.parts)) for hit in hits]


def assert_same(index, remote, queries=QUERIES, k=10, **options):
    for query in queries:
        assert answers(remote, query, k, **options) == answers(index, query, k, **options), (query, options)


def both(uri, folder, name, documents, **settings):
    """The same documents as an index on disk and on the server."""
    encoder = HashEncoder()
    index = Index.build(documents, encoder, folder / f"{name}.index", overlap=4)
    remote = MilvusIndex.build(index, encoder, uri=uri, collection=name, **settings)
    return index, remote


def finds_what_an_index_finds(uri, folder):
    index, remote = both(uri, folder, "same", [*make_documents(200), LONG, *ODD])
    with index, remote:
        assert remote.written == (206, 0, 0)
        assert len(remote) == len(index)
        assert_same(index, remote)
        assert_same(index, remote, k=206, where={})
        batch = remote.search_batch(QUERIES, 5)
        assert [[(h.document.id, h.score) for h in hits] for hits in batch] == [
            [(h.document.id, h.score) for h in index.search(query, 5)] for query in QUERIES
        ]
        ranked = remote.rank_batch(QUERIES, 7)
        assert [list(of_query.items()) for of_query in ranked] == [
            list(of_query.items()) for of_query in index.rank_batch(QUERIES, 7)
        ]
        vector = HashEncoder().encode("red cat")
        assert_same(index, remote, [vector])
        assert remote.document("long") == LONG
        for document in ODD:
            assert remote.document(document.id) == index.document(document.id)
        assert sorted(remote.ids()) == sorted(index.ids())
        assert "long" in remote
        assert "short" not in remote
        assert remote.info()["vectors"] == len(index.bank)
        assert remote.search("red cat").stages[-1].stage == "read"
        remote.drop()


def orders_equal_scores_by_adding(uri, folder):
    documents = [Document(f"t{i}", "red cat") for i in (5, 3, 9, 1, 7)] + make_documents(30)
    index, remote = both(uri, folder, "ties", documents)
    with index, remote:
        assert_same(index, remote, ["red cat"], k=3)
        for one in (index, remote):
            one.replace([Document("t5", "red cat")])
            one.add([Document("t2", "red cat")])
        assert_same(index, remote, ["red cat"], k=8)
        remote.drop()


def follows_every_change(uri, folder):
    index, remote = both(uri, folder, "changes", [*make_documents(60), LONG])
    rng, counter = random.Random(1), 0
    with index, remote:
        for step in range(8):
            some = rng.sample(sorted(index.ids()), 5)
            shorter = Document("long", f"needle haystack {step} " + "other " * rng.randint(0, 120))
            fresh = make_documents(6, seed=step, prefix=f"new{counter}-")
            counter += 1
            for one in (index, remote):
                assert one.delete([*some, "not there"]) == 5
                one.add(fresh)
                one.replace([shorter, *make_documents(3, seed=step, prefix="d")])
            assert len(remote) == len(index)
            assert_same(index, remote)
            assert_same(index, remote, ["red cat"], where={"year": {">=": 2003}})
        assert remote.info()["vectors"] == len(index.live_rows())
        with pytest.raises(InputError, match="'d0' is already there"):
            remote.add([Document("d0", "again")])
        with pytest.raises(InputError, match="given twice"):
            remote.add([Document("twice", "a"), Document("twice", "b")])
        assert remote.delete("nothing") == 0
        remote.drop()


def brings_itself_up_to_date(uri, folder):
    index, remote = both(uri, folder, "sync", [*make_documents(50), LONG])
    remote.close()
    with index:
        index.delete(["d3", "d4", "long"])
        index.replace([Document("d5", "red cat over the house", metadata={"year": 2001})])
        index.add(make_documents(4, seed=9, prefix="late"))
        with MilvusIndex.build(index, HashEncoder(), uri=uri, collection="sync", resume=True) as again:
            assert again.written == (5, 47, 3)
            assert_same(index, again, k=60)
            assert again.info()["vectors"] == len(index.live_rows())
        with pytest.raises(ArtifactError, match="settings was"):
            MilvusIndex.build(index, uri=uri, collection="sync", resume=True, candidates=77)
        with MilvusIndex.build(index, HashEncoder(), uri=uri, collection="sync", resume=True) as unchanged:
            assert unchanged.written == (0, 52, 0)
            unchanged.drop()


def builds_from_texts_as_from_an_index(uri, folder):
    documents, encoder = [*make_documents(40), LONG, *ODD], HashEncoder()
    with (
        Index.build(documents, encoder, folder / "texts.index", overlap=4) as index,
        MilvusIndex.build(documents, encoder, uri=uri, collection="texts", overlap=4) as remote,
    ):
        assert_same(index, remote, k=50)
        remote.drop()


def compares_as_the_index_does(uri, folder):
    documents = make_documents(40)
    for similarity in ("auto", "dot"):
        encoder, name = LongVectors(), f"compared_{similarity}"
        with (
            Index.build(documents[:30], encoder, folder / f"{name}.index", similarity=similarity) as index,
            MilvusIndex.build(index, encoder, uri=uri, collection=name) as remote,
        ):
            assert remote.normalizes == index.normalizes == (similarity == "auto")
            for one in (index, remote):
                one.add(documents[30:])
            assert_same(index, remote, k=40)
            remote.drop()


def filters_like_an_index(uri, folder):
    rng = random.Random(0)
    numbers = [1, 2, 2.0, -3, 2.5, True, False, 2**53, 2**53 + 1, 1e300]
    texts = ["1", "2", "02", "-3", "2.50", "abc", "True", "é", "", "inf", "-inf", "nan"]
    texts += ["1e2", "1_0", " 2 ", "a\"b'\\n"]
    lists = [[], [1, "abc"], [2.5, True], ["2020", -3], {"a": 1}, [None], None]
    values, bounds = [*numbers, *texts, *lists], [*numbers, *texts]
    documents = []
    for i in range(250):
        metadata = {name: rng.choice(values) for name in ("x", 'y"z', "w") if rng.random() < 0.8}
        documents.append(Document(f"d{i}", rng.choice(WORDS), metadata=metadata))
    index, remote = both(uri, folder, "filters", documents)
    with index, remote:
        for number in range(150):
            field = rng.choice(["x", 'y"z', "w", "absent"])
            if rng.random() < 0.4:
                where = {field: rng.choice([rng.choice(bounds), rng.sample(bounds, 3)])}
            else:
                comparisons = rng.sample(["=", "!=", "<", "<=", ">", ">="], rng.choice([1, 1, 2]))
                where = {field: {comparison: rng.choice(bounds) for comparison in comparisons}}
            if number % 5 == 0:
                where["id"] = [f"d{i}" for i in range(0, 250, 3)]
            assert_same(index, remote, ["red"], k=250, where=where)
        remote.drop()


def never_takes_a_value_for_an_expression(uri, folder):
    index, remote = both(uri, folder, "injection", [*make_documents(20), *ODD])
    attacks = ['" or order >= 0 or "', '\\" or order >= 0 or \\"', '"] or order >= 0 or fields["s', "\\", '"', "%"]
    attacks += ["{x}", "'", "\n", "\x00", "😀", "\u2028", "$meta", "and", "\\u0022", "*/", "--", "é" * 50]
    with index, remote:
        for attack in attacks:
            for where in ({"s": attack}, {attack: "x"}, {"s": {">=": attack}}, {"id": [attack, "d3"]}):
                assert_same(index, remote, ["red cat"], k=30, where=where)
            for one in (index, remote):
                assert one.delete(attack) == 0
        assert len(remote) == 25
        for bad in ({"s": float("nan")}, {"s": object()}, {"": 1}, {"s": "\ud800"}, {"s": [[1]]}):
            with pytest.raises(InputError, match="filter"):
                remote.search("red", where=bad)
        with pytest.raises(InputError, match="unknown comparison"):
            remote.search("red", where={"s": {"~": 1}})
        remote.drop()


def explains_every_score(uri, folder):
    index, remote = both(uri, folder, "explained", [*make_documents(300), LONG])
    with index, remote:
        atoms = Atoms.fit(index.bank, n_atoms=32, steps=60)
        steer = {3: 0.5}
        for query in QUERIES:
            ours, theirs = (one.search(query, 10, explain=atoms, steer=steer) for one in (index, remote))
            assert [hit.document.id for hit in ours] == [hit.document.id for hit in theirs]
            for a, b in zip(ours, theirs, strict=True):
                assert b.explanation.score == pytest.approx(b.score, abs=1e-4)
                assert b.explanation.as_dict() == a.explanation.as_dict()
        remote.drop()


def refuses_what_does_not_fit(uri, folder):
    index, remote = both(uri, folder, "refused", make_documents(30))
    other = HashEncoder()
    other.fingerprint = "another"
    with index, remote:
        with pytest.raises(ArtifactError, match="already exists"):
            MilvusIndex.build(index, uri=uri, collection="refused")
        with pytest.raises(ModelError, match="was built with another"):
            MilvusIndex.build(index, other, uri=uri, collection="refused", resume=True)
        with pytest.raises(ArtifactError, match="fingerprint was 'hash-encoder-1' and is now 'another'"):
            MilvusIndex.build(make_documents(3), other, uri=uri, collection="refused", resume=True)
        with pytest.raises(ArtifactError, match="dimensions was 16 and is now 8"):
            MilvusIndex.build(make_documents(3), HashEncoder(8), uri=uri, collection="refused", resume=True)
        with (
            MilvusIndex.open(uri, "refused", encoder=other) as wrong,
            pytest.raises(ModelError, match="fingerprints differ"),
        ):
            wrong.search("red")
        with pytest.raises(InputError, match=r"shape \(3,\), the index holds vectors of \(16,\)"):
            remote.search(np.ones(3, np.float32))
        with pytest.raises(InputError, match="NaN"):
            remote.search(np.full(16, np.nan, np.float32))
        with pytest.raises(InputError, match="k must be at least 1"):
            remote.search("red", 0)
        with pytest.raises(InputError, match="16,384"):
            remote.search("red", 20_000)
        with pytest.raises(ArtifactError, match="does not exist"):
            MilvusIndex.open(uri, "nowhere")
        with pytest.raises(InputError, match="passage of its text takes 100,000 bytes"):
            remote.add([Document("huge", "x" * 100_000)])
        with pytest.raises(InputError, match="its metadata takes"):
            remote.add([Document("wide", "x", metadata={"a": "y" * 70_000})])
        assert len(remote) == 30
        client = Connection(remote.address)
        client._client.create_collection("foreign", dimension=4)
        with pytest.raises(ArtifactError, match="was not made by Sememe"):
            MilvusIndex.open(uri, "foreign")
        client._client.drop_collection("foreign")
        remote.drop()


def writes_once_what_is_sent_twice(uri, folder):
    """The server does what was asked and the answer is lost: what is sent again must not be there twice."""
    index, remote = both(uri, folder, "twice", [*make_documents(40), LONG])
    real = Connection._called
    lost = []

    def losing(self, method, *arguments, **options):
        answer = real(self, method, *arguments, **options)
        if method.__name__ in ("upsert", "delete") and len(lost) % ATTEMPTS < ATTEMPTS - 1:
            lost.append(method.__name__)
            raise NoAnswerError("the answer was lost")
        lost.append("")
        return answer

    with index, remote, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sememe.search.milvus.connection.PAUSE", 0.0)
        patch.setattr(Connection, "_called", losing)
        for one in (index, remote):
            one.delete(["d1", "long"])
            one.add([LONG, Document("more", "red cat")])
            one.replace([Document("d2", "red cat")])
        patch.undo()
        assert lost.count("upsert") >= 4
        assert remote.info()["vectors"] == len(index.live_rows())
        assert_same(index, remote, k=60)
        remote.drop()


def goes_on_after_a_kill(uri, folder):
    """The client is killed between and during batches; running it again ends like a run that was not stopped."""
    documents, encoder = [*make_documents(900), LONG], HashEncoder()
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps([d.id, d.text, d.title, dict(d.metadata)]) + "\n" for d in documents))
    rng = random.Random(0)
    with Index.build(documents, encoder, folder / "kill.index") as index:
        for moment in range(3):
            child = _slow_build(uri, path)
            assert child.stdout.readline() == "begun\n"
            if moment < 2:
                time.sleep(rng.uniform(0.1, 0.9) * (moment + 1) / 3)
            else:
                assert child.stdout.readline() == "the last batch\n"
            assert child.poll() is None
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        probe = subprocess.run(_probe(uri), capture_output=True, text=True, check=True, env=_environment())
        assert "half-built" in probe.stdout
        with MilvusIndex.build(documents, encoder, uri=uri, collection="killed", resume=True) as remote:
            assert remote.written.sent + remote.written.unchanged == 901
            assert remote.written.unchanged >= 256
            assert_same(index, remote, k=20)
            assert remote.info()["vectors"] == len(index.bank)
            remote.drop()


def measures_an_approximate_index(uri, folder, kind="HNSW"):
    rng = np.random.default_rng(0)
    documents = [Document(f"r{i}", " ".join([*rng.choice(WORDS, 6).tolist(), f"w{i % 97}"])) for i in range(1500)]
    index, remote = both(uri, folder, f"approximate_{kind.lower()}", documents, index=kind)
    with index, remote:
        assert agreement(index, remote, n_queries=50) >= 0.95
        exact = {hit.document.id: hit.score for hit in index.search("red cat house", 1500)}
        found = remote.search("red cat house", 10)
        assert [hit.score for hit in found] == [exact[hit.document.id] for hit in found]
        assert agreement(index, remote, n_queries=20, k=50) >= 0.9
        remote.drop()


def measures_compressed_vectors(uri, folder):
    measures_an_approximate_index(uri, folder, "IVF_SQ8")


def measures_inverted_files(uri, folder):
    """Probing every cell is exact."""
    documents = make_documents(400)
    index, remote = both(
        uri, folder, "cells", documents, index="IVF_FLAT", parameters={"nlist": 16}, search_parameters={"nprobe": 16}
    )
    with index, remote:
        assert agreement(index, remote) == 1.0
        remote.drop()


def is_refused_when_half_written(uri, folder):
    """Rows that an interrupted write left are not shown, and go when the collection is brought up to date."""
    index, remote = both(uri, folder, "torn", [*make_documents(30), LONG])
    with index, remote:
        remote._connection.delete(keys_of("long", 3)[:1])
        assert "long" not in remote
        assert all(hit.document.id != "long" for hit in remote.search("needle haystack", 10))
        with MilvusIndex.build(index, HashEncoder(), uri=uri, collection="torn", resume=True) as again:
            assert again.written == (1, 30, 0)
            assert_same(index, again)
            again.drop()


CHECKS = (
    finds_what_an_index_finds,
    orders_equal_scores_by_adding,
    follows_every_change,
    brings_itself_up_to_date,
    builds_from_texts_as_from_an_index,
    compares_as_the_index_does,
    filters_like_an_index,
    never_takes_a_value_for_an_expression,
    explains_every_score,
    refuses_what_does_not_fit,
    writes_once_what_is_sent_twice,
    goes_on_after_a_kill,
    measures_an_approximate_index,
    is_refused_when_half_written,
)
SERVER_CHECKS = (*CHECKS, measures_inverted_files, measures_compressed_vectors)
"""milvus-lite 3.2 pays no attention to the number of cells."""

_SLOW_BUILD = """
import json, sys, time
from hash_encoder import HashEncoder
from sememe import Document
from sememe.search.milvus import MilvusIndex

class Slow(HashEncoder):
    def encode_document(self, texts, **options):
        # The last document never comes through: a build that ends before it is killed would prove nothing.
        if any("needle" in text for text in texts):
            print("the last batch", flush=True)
            time.sleep(600)
        time.sleep(0.2)
        return self.encode(texts)

def documents():
    for number, line in enumerate(open(sys.argv[2])):
        if number == 300:
            print("begun", flush=True)
        id, text, title, metadata = json.loads(line)
        yield Document(id, text, title, metadata)

MilvusIndex.build(documents(), Slow(), uri=sys.argv[1], collection="killed", resume=True)
"""
_PROBE = """
import sys
from sememe.errors import SememeError
from sememe.search.milvus import MilvusIndex
try:
    MilvusIndex.open(sys.argv[1], "killed")
except SememeError as error:
    print(error)
"""


def _slow_build(uri, path):
    command = [sys.executable, "-c", _SLOW_BUILD, uri, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment())


def _probe(uri):
    return [sys.executable, "-c", _PROBE, uri]


def _environment():
    tests = Path(__file__).resolve().parents[1]
    places = [str(tests), str(tests.parent / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
