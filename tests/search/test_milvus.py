"""An index on milvus-lite, which reads a file in this process and speaks as a server does."""

from __future__ import annotations

import importlib.util
import socket
import time

import pytest

from hash_encoder import HashEncoder
from sememe.errors import InputError, MissingExtraError, RemoteError
from sememe.search.milvus.address import Address, make_address, parse_address
from sememe.search.milvus.config import MilvusConfig
from sememe.search.milvus.expressions import expression, literal

HAS_LITE = importlib.util.find_spec("pymilvus") is not None and importlib.util.find_spec("milvus_lite") is not None
needs_lite = pytest.mark.skipif(
    not HAS_LITE, reason="needs pymilvus and milvus-lite: pip install 'sememe[milvus]' milvus-lite"
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return str(tmp_path_factory.mktemp("milvus") / "lite.db")


def checks():
    pytest.register_assert_rewrite("milvus_contract")
    import milvus_contract

    return [pytest.param(check, id=check.__name__) for check in milvus_contract.CHECKS]


@needs_lite
@pytest.mark.parametrize("check", checks() if HAS_LITE else [])
def test_milvus_lite(check, uri, tmp_path):
    own_file = check.__name__ == "goes_on_after_a_kill"  # this process would keep the file locked
    check(str(tmp_path / "lite.db") if own_file else uri, tmp_path)


@needs_lite
def test_words_score_like_those_of_an_index(uri, tmp_path):
    from milvus_contract import both
    from test_index import make_documents

    index, remote = both(uri, tmp_path, "words", make_documents(120))
    with index, remote:
        for query in ("red cat", "title house", "the"):
            for options in ({}, {"where": {"year": {">=": 2003}}}):
                for mode in ("lexical", "hybrid"):
                    ours, theirs = (one.search(query, 10, mode=mode, **options) for one in (index, remote))
                    assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], rel=1e-5)
                    for hit in theirs:
                        same = next((one for one in ours if one.document.id == hit.document.id), None)
                        if same is not None:
                            assert dict(hit.parts) == pytest.approx(dict(same.parts), rel=1e-5)
        remote.drop()


@needs_lite
def test_a_long_text_is_found_by_the_words_of_its_best_window(uri, tmp_path):
    from milvus_contract import LONG, both
    from test_index import make_documents

    index, remote = both(uri, tmp_path, "passages", [*make_documents(40), LONG])
    with index, remote:
        for mode in ("lexical", "hybrid"):
            hit = remote.search("needle haystack", 3, mode=mode)[0]
            assert hit.document == LONG
            assert "needle haystack" in hit.passage
            assert set(hit.parts) >= {"lexical"}
        remote.drop()


def test_a_server_that_does_not_answer_is_an_error_within_the_time():
    pytest.importorskip("pymilvus", reason="needs pymilvus: pip install 'sememe[milvus]'")
    from sememe.search.milvus import MilvusIndex

    with socket.socket() as silent:  # listens, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (silent.getsockname()[1], 1):
            started = time.perf_counter()
            with pytest.raises(RemoteError, match="does not answer within 1 s") as caught:
                MilvusIndex.open(f"milvus://127.0.0.1:{port}/nothing", encoder=HashEncoder(), timeout=1)
            assert time.perf_counter() - started < 10
            assert str(port) in caught.value.where


def test_the_missing_package_is_named(monkeypatch):
    import sys

    from sememe.search.milvus import MilvusIndex

    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sememe\[milvus\]'"):
        MilvusIndex.open("http://127.0.0.1:19530", "papers")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("milvus://localhost/papers", Address("http://localhost:19530", "papers")),
        ("milvus://10.0.0.1:1234/p_1", Address("http://10.0.0.1:1234", "p_1")),
        ("milvus+tls://search.example.org/papers", Address("https://search.example.org:19530", "papers")),
        ("milvus://data/my.db/papers", Address("data/my.db", "papers")),
        ("milvus:///tmp/my.db/papers", Address("/tmp/my.db", "papers")),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address
    assert make_address(address.uri, address.collection) == address


@pytest.mark.parametrize(
    "text",
    [
        "milvus://",
        "milvus://host",
        "milvus:///papers",
        "milvus://host:x/p",
        "milvus://host:99999/p",
        "milvus://host:1:2/p",
        "milvus://a/b/c",
        "milvus://host/1p",
        "milvus://host/a-b",
        'milvus://host/a"b',
        "http://h/p",
    ],
)
def test_what_is_not_an_address_is_refused(text):
    with pytest.raises(InputError):
        parse_address(text)


def test_a_password_in_an_address_is_refused_and_not_shown():
    for text in ("milvus://root:secret@host:19530/papers", "milvus://root:secret@host/papers"):
        with pytest.raises(InputError, match="SEMEME_MILVUS_TOKEN") as caught:
            parse_address(text)
        assert "secret" not in str(caught.value)


def test_expressions_are_what_milvus_reads():
    assert expression(None) == expression({}) == ""
    assert literal('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
    assert expression({"venue": "ICLR"}) == (
        '((fields["venue"] == "ICLR" or (json_contains_any(fields["venue"], ["ICLR"]) '
        'or json_contains(shapes["other"], "venue"))))'
    )
    assert 'fields["year"] >= 2020 ' in expression({"year": {">=": 2020}})
    assert expression({"a": 1, "b": 2}).count(") and (") == 1
    assert expression({"a": []}) == "(order < 0)"


def test_all_problems_of_a_configuration_are_told_together():
    with pytest.raises(InputError) as caught:
        MilvusConfig(index="GRAPH", candidates=0, shards=0, overlap=-1)
    for word in ("index must be", "candidates must", "shards must", "overlap must"):
        assert word in str(caught.value)
    assert MilvusConfig(index="HNSW", search_parameters={"ef": 50}).query_parameters(120)["ef"] == 120
