import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.corpus import read


@pytest.mark.parametrize("name", ["text", "abstract", "body", "content", "contents", "passage", "Abstract", "TEXT"])
def test_the_text_field_is_found(jsonl, name):
    (document,) = read(jsonl({"ID": "a", "Title": "t", name: "words"}))
    assert (document.id, document.title, document.text, document.metadata) == ("a", "t", "words", {})


def test_the_first_name_in_the_list_wins_and_the_rest_is_metadata(jsonl):
    (document,) = read(jsonl({"body": "b", "abstract": "a", "id": 1, "_id": "x"}))
    assert (document.id, document.text) == ("x", "a")
    assert document.metadata == {"body": "b", "id": 1}


def test_fields_can_be_named(jsonl):
    path = jsonl({"key": 5, "name": "n", "question": "q", "answer": "a", "text": "t"})
    (document,) = read(path, id_field="key", title_field="name", text_field="question, answer")
    assert (document.id, document.title, document.text) == ("5", "n", "q\na")
    assert document.metadata == {"text": "t"}


def test_a_field_name_may_hold_a_comma(jsonl):
    (document,) = read(jsonl({"id": 1, "a,b": "x", "a": "y", "b": "z"}), text_field="a,b")
    assert document.text == "x"


@pytest.mark.parametrize("option", ["id_field", "title_field", "text_field"])
def test_a_named_field_that_is_missing_is_told_with_those_found(jsonl, refuse, option):
    error = refuse(jsonl({"id": 1, "text": "a"}), **{option: "nope"})
    assert error.message == "has no field 'nope' (found 'id', 'text')"


def test_many_fields_are_not_all_listed(jsonl, refuse):
    error = refuse(jsonl({f"field{i}": i for i in range(500)}))
    assert "and 480 more" in error.message
    assert len(error.message) < 1000


def test_records_may_differ_in_shape(jsonl):
    documents = list(read(jsonl({"id": 1, "text": "a"}, {"id": 2, "abstract": "b", "year": 3}, {"text": "c"})))
    assert [document.text for document in documents] == ["a", "b", "c"]


def test_null_and_empty_texts_are_kept(jsonl):
    path = jsonl({"id": 1, "title": "T", "text": None}, {"id": 2, "title": None, "text": ""}, {"id": 3, "text": []})
    assert [(document.title, document.text) for document in read(path)] == [("T", ""), ("", ""), ("", "")]


def test_a_list_of_sentences_is_joined(jsonl):
    (document,) = read(jsonl({"id": 1, "abstract": ["One.", "Two."]}))
    assert document.text == "One.\nTwo."


def test_metadata_is_merged_and_the_outer_field_wins(jsonl):
    (document,) = read(jsonl({"id": 1, "text": "a", "year": 2, "metadata": {"year": 1, "venue": "V"}}))
    assert document.metadata == {"year": 2, "venue": "V"}
    (document,) = read(jsonl({"id": 1, "text": "a", "metadata": "plain"}))
    assert document.metadata == {"metadata": "plain"}


def test_a_missing_id_is_a_hash_of_the_content(jsonl):
    (a,) = read(jsonl({"text": "x", "title": "t", "year": 1}))
    (b,) = read(jsonl({"year": 1, "title": "t", "text": "x"}, name="other.jsonl"))
    (c,) = read(jsonl({"year": 2, "title": "t", "text": "x"}))
    assert a.id == b.id  # neither the file nor the order of fields counts
    assert a.id != c.id
    assert len(a.id) == 32
    (null,) = read(jsonl({"id": None, "title": "t", "text": "x", "year": 1}))
    assert null.id == a.id


def test_title_and_text_cannot_be_confused_in_the_hash(jsonl):
    assert len(list(read(jsonl({"title": "a", "text": "b"}, {"title": "", "text": "a\nb"}, {"text": "ab"})))) == 3


def test_the_same_content_twice_without_id_names_both(jsonl, refuse):
    path = jsonl({"text": "x"}, {"text": "y"}, {"text": "x"})
    error = refuse(path)
    assert error.where == f"{path}:3"
    assert f"repeats the record at {path}:1" in error.message
    corpus = read(path, on_error="skip")
    assert [document.text for document in corpus] == ["x", "y"]
    assert corpus.n_skipped == 1


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text(), max_size=5), st.text())
def test_ids_are_stable_and_everything_can_be_written_down(tmp_path_factory, others, text):
    path = tmp_path_factory.getbasetemp() / "stable.jsonl"
    fields = {name: value for name, value in others.items() if name.lower() not in ("id", "_id", "docid", "doc_id")}
    fields = {name: value for name, value in fields.items() if name.lower() not in ("text", "title", "metadata")}
    fields = {name: value for name, value in fields.items() if name.lower() not in ("headline", "heading")}
    path.write_text(json.dumps({"text": text, **fields}) + "\n")
    (once,), (again,) = read(path), read(path)
    assert once == again
    assert once.text == text
    assert once.metadata == fields
    json.dumps([once.id, once.title, once.text, dict(once.metadata)], ensure_ascii=False, allow_nan=False).encode()
