"""Keeping the index in step with the store, and searching both."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from made_papers import FIRST_DAY, make_papers

import faults
from sememe.errors import ArtifactError, InputError, LockedError, ModelError
from sememe.papers import Paper, PaperStore
from sememe.papers.catching_up import document_of
from sememe.papers.collection import PaperCollection
from sememe.search import Index


def field_of(hit):
    return hit.paper.categories[0]


def is_in_step(collection):
    """Whether the index holds exactly the store's papers as they are."""
    documents = {document.id: document for document in collection.index.documents()}
    return documents == {paper.id: document_of(paper) for paper in collection.store.select()}


def test_catching_up_indexes_what_the_store_has_and_then_nothing(folder, encoder):
    with PaperCollection.open(folder, encoder=encoder) as collection:
        assert len(collection) == 0
        assert collection.search("robot") == []
        assert collection.catch_up() == 80
        assert len(collection) == 80
        assert is_in_step(collection)
        assert collection.catch_up() == 0
        collection.store.add(make_papers(90)[80:])
        assert len(collection) == 80
        assert collection.catch_up() == 10
        assert is_in_step(collection)


def test_a_changed_abstract_replaces_its_vectors(collection, encoder):
    old = collection.store.paper("arxiv:2601.00002")
    before = collection.features.vectors[collection.features.row(old.id)].copy()
    collection.store.add([replace(old, version=2, abstract="speech music voice")])
    assert collection.catch_up() == 1
    after = collection.features.vectors[collection.features.row(old.id)]
    expected = encoder.encode([f"{old.title}\nspeech music voice"])[0]
    assert np.allclose(after, expected, atol=1e-6)
    assert not np.allclose(after, before, atol=0.1)
    assert len(collection) == 80
    assert is_in_step(collection)


def test_votes_alone_encode_nothing(collection):
    paper = collection.store.paper("arxiv:2601.00002")
    collection.store.add([replace(paper, votes=12)])
    assert collection.catch_up() == 0


def test_papers_that_become_one_leave_one_document(collection):
    first = Paper("doi:10.1000/1", "On the grasping of small cups", abstract="robot arm grasp " * 10)
    second = Paper("openreview:abc", "A very different heading for that work", abstract="robot arm grasp " * 10)
    collection.store.add([first, second])
    assert collection.catch_up() == 2
    collection.store.add([replace(first, identities=("openreview:abc",))])
    collection.catch_up()
    assert len(collection.store) == 81
    assert is_in_step(collection)


def test_a_restored_copy_of_the_store_takes_the_index_back(collection, folder, encoder, tmp_path):
    collection.store.backup(tmp_path / "copy.db")
    collection.store.add(make_papers(100)[80:])
    collection.catch_up()
    collection.close()
    for file in folder.glob("papers.db*"):
        file.unlink()
    (tmp_path / "copy.db").rename(folder / "papers.db")
    with PaperCollection.open(folder, encoder=encoder) as restored:
        restored.store.add([Paper("arxiv:2602.00001", "After the copy was put back", abstract="voice")])
        restored.catch_up()
        assert len(restored) == 81
        assert is_in_step(restored)


def test_disk_use_does_not_grow_with_changes(collection, folder):
    def size():
        return sum(file.stat().st_size for file in (folder / "index").rglob("*") if file.is_file())

    fresh, paper = size(), collection.store.paper("arxiv:2601.00002")
    for version in range(2, 8):
        changed = [
            replace(one, version=version, abstract=f"{one.abstract} v{version}")
            for one in collection.store.select(limit=40)
        ]
        collection.store.add(changed)
        collection.catch_up()
    assert is_in_step(collection)
    assert size() < 3 * fresh
    assert collection.store.paper(paper.id).version in (1, 7)


def test_a_kill_at_any_write_ends_like_no_kill(tmp_path, encoder):
    papers = make_papers(12)

    def filled(name):
        with PaperStore.open(tmp_path / name, create=True) as store:
            store.add(papers)
        return tmp_path / name

    def work(folder):
        with PaperCollection.open(folder, encoder=encoder) as collection:
            collection.catch_up()

    whole = filled("whole")
    n_points = faults.count_points(lambda: work(whole))
    expected = faults.contents(whole / "index")
    assert n_points > 20
    for point in range(1, n_points + 1, 2):
        folder = filled(f"killed-{point}")
        assert faults.killed_at(point, lambda: work(folder), "kill halfway")
        work(folder)
        assert faults.contents(folder / "index") == expected, point


def test_a_second_one_that_catches_up_is_refused_with_the_holder(folder, encoder, collection):
    collection.store.add([Paper("arxiv:2602.00001", "One more", abstract="voice")])
    with Index.open(folder / "index", writable=True, encoder=encoder), pytest.raises(LockedError, match="pid"):
        collection.catch_up()
    assert collection.catch_up() == 1


def test_another_encoder_than_the_index_was_built_with_is_refused(folder, encoder, collection):
    class Other(type(encoder)):
        fingerprint = "another one"

    collection.store.add([Paper("arxiv:2602.00001", "One more", abstract="voice")])
    with PaperCollection.open(folder, encoder=Other(48)) as other, pytest.raises(ModelError, match="another"):
        other.catch_up()


def test_a_folder_without_a_store_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="papers import"):
        PaperCollection.open(tmp_path)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_search_finds_its_field_and_says_which_words(collection, mode):
    hits = collection.search("robot gripper torque", 8, mode=mode)
    assert len(hits) == 8
    assert sum(field_of(hit) == "robotics" for hit in hits) >= 6
    words = {reason.label for hit in hits for reason in hit.reasons}
    assert {"robot", "gripper", "torque"} >= words
    assert words
    for hit in hits:
        text = f"{hit.paper.title} {hit.paper.abstract}".split()
        assert all(reason.label in text for reason in hit.reasons)


def test_a_search_within_dates_and_marks(collection):
    since, until = FIRST_DAY + datetime.timedelta(days=10), FIRST_DAY + datetime.timedelta(days=20)
    hits = collection.search("robot", 50, since=since, until=until)
    assert len(hits) == 22
    assert all(since <= hit.paper.date <= until for hit in hits)
    for id in ("arxiv:2601.00002", "arxiv:2601.00006", "arxiv:2601.00001"):
        collection.store.mark(id, "saved")
    assert {hit.paper.id for hit in collection.search("robot", mark="saved")} == {
        "arxiv:2601.00002",
        "arxiv:2601.00006",
        "arxiv:2601.00001",
    }
    assert collection.search("robot", mark="saved", until=FIRST_DAY, mode="lexical") == []


def test_hidden_papers_are_found_only_when_they_are_asked_for(collection):
    (first, *_) = collection.search("robot gripper")
    collection.store.mark(first.paper.id, "hidden")
    assert first.paper.id not in {hit.paper.id for hit in collection.search("robot gripper", 80)}
    assert [hit.paper.id for hit in collection.search("robot gripper", mark="hidden")] == [first.paper.id]
    (other, *_) = collection.search("robot gripper")
    assert first.paper.id not in {hit.paper.id for hit in collection.similar(other.paper.id, 80)}


@pytest.mark.parametrize("arguments", [{"query": " "}, {"query": "robot", "k": 0}, {"query": "robot", "mode": "magic"}])
def test_a_search_that_cannot_be_is_refused(collection, arguments):
    with pytest.raises(InputError):
        collection.search(**arguments)
    with pytest.raises(InputError, match="no mark"):
        collection.search("robot", mark="loved")


def test_similar_papers_are_of_the_same_field_and_say_why(collection):
    hits = collection.similar("arxiv:2601.00002", 6)
    assert [field_of(hit) for hit in hits] == ["robotics"] * 6
    assert "arxiv:2601.00002" not in {hit.paper.id for hit in hits}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.reasons and hit.reasons[0].kind == "term" for hit in hits)
    by_date = collection.similar("arxiv:2601.00002", 6, order="date")
    assert {hit.paper.id for hit in by_date} == {hit.paper.id for hit in hits}
    assert [hit.paper.date for hit in by_date] == sorted((hit.paper.date for hit in hits), reverse=True)
    with pytest.raises(InputError, match="ordered"):
        collection.similar("arxiv:2601.00002", order="size")
    with pytest.raises(InputError, match="no such paper"):
        collection.similar("arxiv:2699.00001")


def test_more_like_this_less_like_that(collection):
    liked = ["arxiv:2601.00002", "arxiv:2601.00003"]  # a paper on robots, one on sound
    both = [field_of(hit) for hit in collection.more_like(liked, k=20)]
    less = [field_of(hit) for hit in collection.more_like(liked, ["arxiv:2601.00007"], k=20)]
    assert set(both) == {"robotics", "audio"}
    assert less.count("audio") < both.count("audio")
    with pytest.raises(InputError, match="both"):
        collection.more_like(liked, liked)
    with pytest.raises(InputError, match="no paper"):
        collection.more_like([])


def test_without_atoms_it_says_so(collection):
    assert "words only" in collection.note
    assert "500 papers" in collection.note
