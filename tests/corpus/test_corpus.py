import pytest

from sememe.corpus import Corpus, Document, read
from sememe.errors import InputError


def _documents(n):
    return [Document(str(i), f"text {i}") for i in range(n)]


def test_content_joins_title_and_text():
    assert Document("a", "text", "Title").content == "Title\ntext"
    assert Document("a", "text").content == "text"
    assert Document("a", "", "Title").content == "Title\n"


def test_is_read_again_each_time(jsonl):
    path = jsonl({"id": 1, "text": "a"}, {"id": 2, "text": "b"})
    corpus = read(path)
    assert list(corpus) == list(corpus)
    both = iter(corpus), iter(corpus)
    assert [next(both[0]).id, next(both[1]).id, next(both[0]).id, next(both[1]).id] == ["1", "1", "2", "2"]
    path.write_text('{"id": 3, "text": "c"}\n')
    assert [document.id for document in corpus] == ["3"]


def test_nothing_is_read_beyond_what_is_asked_for(jsonl):
    path = jsonl({"id": 1, "text": "a"}, "broken")
    assert [document.id for document in read(path, limit=1)] == ["1"]
    assert next(iter(read(path))).id == "1"


def test_take_is_the_first_documents_and_a_corpus():
    corpus = Corpus.from_documents(_documents(5))
    assert [document.id for document in corpus.take(3)] == ["0", "1", "2"]
    assert [document.id for document in corpus.take(3).take(9)] == ["0", "1", "2"]
    assert list(corpus.take(0)) == []
    assert len(list(corpus.take(3))) == len(list(corpus.take(3)))
    with pytest.raises(InputError, match="-1"):
        corpus.take(-1)


def test_limit_counts_documents_not_records(jsonl):
    path = jsonl("broken", {"id": 1, "text": "a"}, "broken", {"id": 2, "text": "b"}, {"id": 3, "text": "c"})
    corpus = read(path, on_error="skip", limit=2)
    assert [document.id for document in corpus] == ["1", "2"]
    assert corpus.n_skipped == 2


def test_from_documents_accepts_any_iterable():
    corpus = Corpus.from_documents(iter(_documents(3)))
    assert len(list(corpus)) == 3
    assert len(list(corpus)) == 3
    assert list(Corpus.from_documents([])) == []


def test_from_documents_makes_metadata_json():
    import datetime

    metadata = {"day": datetime.date(2024, 1, 2), "pair": (1, 2), "x": float("nan"), "raw": b"\0"}
    (document,) = Corpus.from_documents([Document("a", "b", metadata=metadata)])
    assert document.metadata == {"day": "2024-01-02", "pair": [1, 2], "x": None}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("a string", "type str, not a Document"),
        (Document(7, "x"), "a number as its id"),  # type: ignore[arg-type]
        (Document("", "x"), "empty id"),
        (Document("a", None), "nothing as its text"),  # type: ignore[arg-type]
        (Document("a", "\ud800"), "surrogate"),
        (Document("a", "x", "t", {"k": "\udfff"}), "surrogate"),
        (Document("0", "again"), "same id as the record at documents:1"),
    ],
)
def test_from_documents_names_the_bad_one(bad, message):
    with pytest.raises(InputError, match=message) as caught:
        list(Corpus.from_documents([*_documents(2), bad]))
    assert caught.value.where == "documents:3"


def test_duplicate_id_names_both_places(jsonl, refuse):
    path = jsonl({"id": "x", "text": "a"}, {"id": "y", "text": "b"}, "", {"id": "x", "text": "c"})
    error = refuse(path)
    assert error.where == f"{path}:4"
    assert f"{path}:1" in error.message
    assert "'x'" in error.message
    corpus = read(path, on_error="skip")
    assert [document.text for document in corpus] == ["a", "b"]
    assert [skipped.place for skipped in corpus.skipped] == [f"{path}:4"]


def test_number_and_text_ids_are_the_same_id(jsonl, refuse):
    assert "same id" in refuse(jsonl({"id": 1, "text": "a"}, {"id": "1", "text": "b"})).message


def test_skipped_records_are_counted_listed_and_capped(jsonl):
    corpus = read(jsonl(*["broken"] * 1200, {"id": 1, "text": "a"}), on_error="skip")
    for _ in range(2):  # the count is that of the last pass, not a sum
        assert len(list(corpus)) == 1
        assert corpus.n_skipped == 1200
        assert len(corpus.skipped) == 1000
    assert corpus.skipped[1].place.endswith("papers.jsonl:2")
    assert "malformed JSON" in corpus.skipped[1].reason


def test_only_bad_records_is_an_error_also_when_skipping(jsonl, refuse):
    error = refuse(jsonl("broken", "[]"), on_error="skip")
    assert error.where.endswith("papers.jsonl:1")
    assert "no usable record" in error.message


def test_stopping_tells_how_to_go_on(jsonl, refuse):
    error = refuse(jsonl({"id": 1, "text": "a"}, "{"))
    assert error.where.endswith("papers.jsonl:2")
    assert "--on-error skip" in error.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"limit": 0}, "limit is 0"),
        ({"encoding": "utf-99"}, "encoding is 'utf-99'"),
        ({"encoding": "base64"}, "encoding is 'base64'"),
        ({"delimiter": "::"}, "delimiter is '::'"),
        ({"quote": "''"}, "quote is"),
    ],
)
def test_options_are_checked(jsonl, options, message):
    with pytest.raises(InputError, match=message):
        read(jsonl({"id": 1, "text": "a"}), **options)


def test_all_bad_options_are_told_together():
    with pytest.raises(InputError) as caught:
        read("-", on_error="x", limit=-1, encoding="nope")
    assert all(word in caught.value.message for word in ("on_error", "limit", "encoding"))


def test_every_option_has_a_help_text():
    from dataclasses import fields

    from sememe.corpus import ReadConfig

    assert all(field.metadata["help"] for field in fields(ReadConfig))
