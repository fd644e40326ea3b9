"""The store: what is kept, what is one paper, and what a reader keeps with it."""

from __future__ import annotations

import datetime
import sqlite3
import stat
import threading

import pytest

from sememe.errors import ArtifactError, InputError
from sememe.papers import Imported, Interest, Paper, PaperStore, Subscription, schema
from sememe.papers.identity import title_identity


@pytest.fixture
def store(tmp_path):
    with PaperStore.open(tmp_path / "my.feed", create=True) as store:
        yield store


def arxiv(number: int, **fields) -> Paper:
    values = {"title": f"Paper number {number}", "authors": ("Ada Lovelace",), "abstract": "About numbers."}
    return Paper(id=f"arxiv:2405.{number:05}", **{**values, **fields})


def titled(title: str, **fields) -> Paper:
    return Paper(id=title_identity(title), title=title, **fields)


class TestKeeping:
    def test_what_was_added_is_given_back(self, store):
        paper = arxiv(
            1,
            n_authors=3,
            date=datetime.date(2024, 5, 21),
            votes=7,
            url="https://arxiv.org/abs/2405.00001",
            venue="ICML",
            categories=("cs.LG", "cs.CL"),
            keywords=("atoms",),
            version=2,
            source="a.jsonl",
            identities=("doi:10.1000/x",),
        )
        assert store.add([paper]) == Imported(imported=1)
        assert store.paper(paper.id) == paper
        assert len(store) == 1

    def test_it_is_there_when_opened_again(self, store):
        store.add([arxiv(n) for n in range(1200)])
        store.close()
        with PaperStore.open(store.folder) as again:
            assert len(again) == 1200
            assert again.papers(["arxiv:2405.00007", "arxiv:2405.00003"]) == [arxiv(7), arxiv(3)]

    def test_the_same_again_changes_nothing(self, store):
        papers = [arxiv(n) for n in range(10)]
        store.add(papers)
        before = store.changed_since(0)
        assert store.add(papers) == Imported(skipped=10)
        assert store.changed_since(0) == before
        assert len(store.versions("arxiv:2405.00001")) == 1

    def test_records_before_a_failing_one_are_kept(self, store):
        def records():
            yield from (arxiv(n) for n in range(700))
            raise InputError("is bad", where="file:701")

        with pytest.raises(InputError, match="file:701"):
            store.add(records())
        assert len(store) == 700

    def test_a_paper_is_found_by_its_title_too(self, store):
        store.add([arxiv(1, title="Towards Atoms: a Study"), arxiv(2)])
        assert store.paper("towards atoms -- A study").id == "arxiv:2405.00001"
        assert store.find("Towards Atoms: a Study") == "arxiv:2405.00001"
        store.mark("Paper number 2", "saved")
        assert store.marked("saved") == ["arxiv:2405.00002"]
        assert store.find("Towards Atoms") is None

    def test_an_unknown_paper_is_named(self, store):
        with pytest.raises(InputError, match="no such paper"):
            store.paper("arxiv:1234.56789")

    @pytest.mark.parametrize("id", ["", "17", "title:xyz", "isbn:1"])
    def test_an_id_of_another_kind_is_refused(self, store, id):
        with pytest.raises(InputError, match="not a paper's id"):
            store.add([Paper(id=id, title="A title")])
        assert len(store) == 0


class TestPaper:
    @pytest.mark.parametrize(
        "fields",
        [
            {"title": " "},
            {"title": "two\nlines"},
            {"title": "a\x00b"},
            {"title": "half \ud800"},
            {"authors": ("a\rb",)},
            {"keywords": ("a\u2028b",)},
            {"abstract": "half \ud800"},
            {"abstract": "a\x00b"},
            {"url": "javascript:alert(1)"},
            {"url": "http://"},
            {"url": "https://a b/"},
            {"version": 0},
            {"votes": -1},
            {"votes": 2**70},
            {"n_authors": -1},
        ],
    )
    def test_what_no_paper_is(self, fields):
        with pytest.raises(InputError, match=r"arxiv:2405\.00001: has"):
            arxiv(1, **fields)

    def test_what_a_paper_may_be(self, store):
        odd = arxiv(1, title="é 深 \u202e😀 <b> $x$ '; DROP TABLE papers; --", abstract="a\n\nb\t\u202e", votes=0)
        store.add([odd])
        assert store.paper(odd.id) == odd


class TestVersions:
    def test_a_later_version_replaces_an_earlier_one_which_is_kept(self, store):
        store.add([arxiv(1)])
        assert store.add([arxiv(1, version=2, title="Number one, revised")]) == Imported(updated=1)
        assert store.paper("arxiv:2405.00001").title == "Number one, revised"
        assert [(v.paper.version, v.paper.title) for v in store.versions("arxiv:2405.00001")] == [
            (1, "Paper number 1"),
            (2, "Number one, revised"),
        ]

    def test_an_earlier_version_that_comes_later_fills_gaps_only(self, store):
        store.add([arxiv(1, version=3, title="The third title", abstract="")])
        assert store.add([arxiv(1, version=1)]) == Imported(updated=1)
        now = store.paper("arxiv:2405.00001")
        assert (now.version, now.title, now.abstract) == (3, "The third title", "About numbers.")
        assert [v.paper.version for v in store.versions(now.id)] == [1, 3]
        assert store.add([arxiv(1, version=1)]) == Imported(skipped=1)

    def test_votes_change_without_a_version_or_a_revision(self, store):
        store.add([arxiv(1, votes=1)])
        revision, _ = store.changed_since(0)
        assert store.add([arxiv(1, votes=5)]) == Imported(updated=1)
        assert store.paper("arxiv:2405.00001").votes == 5
        assert len(store.versions("arxiv:2405.00001")) == 1
        assert store.changed_since(revision) == (revision, [])

    def test_a_mere_year_gives_way_to_a_day_and_a_day_to_an_earlier_one(self, store):
        for date in (datetime.date(2024, 1, 1), datetime.date(2024, 6, 3), datetime.date(2024, 5, 2)):
            store.add([arxiv(1, date=date)])
        store.add([arxiv(1, date=datetime.date(2023, 1, 1))])
        assert store.paper("arxiv:2405.00001").date == datetime.date(2024, 5, 2)

    def test_changed_since_tells_what_an_index_must_read_again(self, store):
        store.add([arxiv(1), arxiv(2)])
        revision, ids = store.changed_since(0)
        assert ids == ["arxiv:2405.00001", "arxiv:2405.00002"]
        store.add([arxiv(2, abstract="Another abstract."), arxiv(3)])
        later, ids = store.changed_since(revision)
        assert later > revision
        assert sorted(ids) == ["arxiv:2405.00002", "arxiv:2405.00003"]


class TestOnePaper:
    def test_first_by_title_then_by_arxiv_then_by_doi(self, store):
        store.add([titled("Towards Atoms of Large Language Models", n_authors=5)])
        names = ("Chenhui Hu", "Pengfei Cao", "A", "B", "C")
        first = arxiv(1, title="Towards atoms of large language models", authors=names)
        assert store.add([first]) == Imported(updated=1)
        published = Paper(
            id="doi:10.1000/atoms", title="Towards Atoms of Large Language Models.", venue="ICLR", authors=("C. Hu",)
        )
        assert store.add([published]) == Imported(updated=1)
        assert len(store) == 1
        paper = store.paper("doi:10.1000/atoms")
        assert paper.id == title_identity("Towards Atoms of Large Language Models")
        assert paper.identities == ("arxiv:2405.00001", "doi:10.1000/atoms")
        assert (paper.venue, paper.author_count, paper.authors) == ("ICLR", 5, names)

    def test_two_papers_turn_out_to_be_one(self, store):
        store.add([arxiv(1), Paper(id="doi:10.1000/x", title="Published under another name")])
        store.mark("doi:10.1000/x", "saved")
        store.set_note("arxiv:2405.00001", "one")
        store.set_note("doi:10.1000/x", "two")
        store.set_tags("doi:10.1000/x", ["atoms"])
        store.save_interest(Interest(liked=("doi:10.1000/x",)))
        store.claim_for_sending("me@example.org", ["doi:10.1000/x"], "d1")
        revision, _ = store.changed_since(0)
        both = arxiv(1, title="Published under another name", identities=("doi:10.1000/x",))
        assert store.add([both]) == Imported(updated=1)
        assert len(store) == 1
        assert store.paper("doi:10.1000/x").id == "arxiv:2405.00001"
        assert list(store.marks(["arxiv:2405.00001"])["arxiv:2405.00001"]) == ["saved"]
        assert store.note("arxiv:2405.00001") == "one\n\ntwo"
        assert store.tags("arxiv:2405.00001") == ("atoms",)
        assert store.interest("me").liked == ("arxiv:2405.00001",)
        assert store.claim_for_sending("me@example.org", ["arxiv:2405.00001"], "d2") == []
        assert store.removed_since(revision) == ["doi:10.1000/x"]
        assert store.changed_since(revision)[1] == ["arxiv:2405.00001"]

    def test_one_title_and_no_common_author_is_two_papers(self, store):
        store.add([titled("Attention is not all you need", authors=("Ada Lovelace",))])
        store.add([titled("Attention is not all you need", authors=("Alan Turing",))])
        store.add([titled("Attention is not all you need", authors=("A. Turing", "Kurt Gödel"))])
        assert len(store) == 2
        assert {paper.authors[0] for paper in store.select()} == {"Ada Lovelace", "A. Turing"}

    def test_one_title_and_two_arxiv_ids_is_two_papers(self, store):
        store.add([arxiv(1, title="A survey of surveys"), arxiv(2, title="A survey of surveys")])
        assert len(store) == 2

    def test_a_common_title_without_authors_is_its_own_paper(self, store):
        store.add([titled("Preface", venue="ACL 2016"), titled("Preface", venue="ACL 2017")])
        assert len(store) == 2

    def test_the_doi_of_proceedings_does_not_glue_their_papers_together(self, store):
        store.add(
            [
                Paper(id="doi:10.1000/proceedings", title="Learning to rank with cats", authors=("Ada Lovelace",)),
                Paper(id="doi:10.1000/proceedings", title="Parsing Finnish slowly", authors=("Alan Turing",)),
            ]
        )
        assert len(store) == 2
        assert store.paper("doi:10.1000/proceedings").title == "Learning to rank with cats"

    def test_a_mistaken_doi_does_not_join_two_arxiv_papers(self, store):
        store.add(
            [arxiv(1, identities=("doi:10.1000/x",)), arxiv(2, title="Paper number 1", identities=("doi:10.1000/x",))]
        )
        assert len(store) == 2

    def test_a_record_does_not_unite_papers_that_differ_in_a_doi(self, store):
        store.add(
            [
                arxiv(1, identities=("doi:10.1000/one",)),
                Paper(id="acl:2020.acl-main.1", title="Another paper", identities=("doi:10.1000/two",)),
                arxiv(1, version=2, identities=("acl:2020.acl-main.1",)),
            ]
        )
        assert len(store) == 2
        assert store.paper("acl:2020.acl-main.1").title == "Another paper"
        assert store.identities("arxiv:2405.00001") == ["arxiv:2405.00001", "doi:10.1000/one"]

    @pytest.mark.parametrize(
        "name", ["2405.00001", "arXiv:2405.00001v3", "https://arxiv.org/abs/2405.00001v2", "10.48550/arXiv.2405.00001"]
    )
    def test_a_paper_is_found_by_any_of_its_names(self, store, name):
        store.add([arxiv(1)])
        assert store.paper(name).id == "arxiv:2405.00001"
        assert store.find(name) == "arxiv:2405.00001"
        assert store.find("2405.00002") is None


class TestSelecting:
    @pytest.fixture
    def filled(self, store):
        store.add(
            [
                arxiv(1, date=datetime.date(2024, 5, 1), votes=3, authors=("José Álvarez",)),
                arxiv(2, date=datetime.date(2024, 5, 2), votes=9, venue="ICLR 2024"),
                arxiv(3, date=datetime.date(2024, 5, 3), categories=("cs.CL", "cs.LG")),
                arxiv(4),
            ]
        )
        store.mark("arxiv:2405.00002", "read")
        store.set_tags("arxiv:2405.00003", ["to do", "atoms"])
        return store

    @pytest.mark.parametrize(
        ("conditions", "numbers"),
        [
            ({}, [3, 2, 1, 4]),
            ({"since": datetime.date(2024, 5, 2)}, [3, 2]),
            ({"until": datetime.date(2024, 5, 2)}, [2, 1]),
            ({"mark": "read"}, [2]),
            ({"unmarked": "read"}, [3, 1, 4]),
            ({"tag": "to do"}, [3]),
            ({"author": "jose al"}, [1]),
            ({"author": 'e", "'}, []),
            ({"venue": "iclr"}, [2]),
            ({"category": "cs.LG"}, [3]),
            ({"order": "votes"}, [2, 1, 3, 4]),
            ({"order": "added"}, [4, 3, 2, 1]),
            ({"order": "title"}, [1, 2, 3, 4]),
            ({"limit": 2}, [3, 2]),
            ({"limit": 2, "offset": 1}, [2, 1]),
        ],
    )
    def test_conditions_and_orders(self, filled, conditions, numbers):
        assert [int(paper.id[-5:]) for paper in filled.select(**conditions)] == numbers

    @pytest.mark.parametrize("conditions", [{"mark": "seen"}, {"order": "luck"}, {"limit": -1}, {"offset": -1}])
    def test_what_cannot_be_asked_is_refused(self, filled, conditions):
        with pytest.raises(InputError):
            filled.select(**conditions)


class TestMarks:
    def test_liked_and_disliked_exclude_each_other(self, store):
        store.add([arxiv(1)])
        for kind in ("read", "liked", "disliked"):
            store.mark("arxiv:2405.00001", kind)
        assert sorted(store.marks(["arxiv:2405.00001"])["arxiv:2405.00001"]) == ["disliked", "read"]
        assert store.marked("disliked") == ["arxiv:2405.00001"]
        store.mark("arxiv:2405.00001", "disliked", on=False)
        assert store.marked("disliked") == []

    def test_a_note_and_tags(self, store):
        store.add([arxiv(1), arxiv(2)])
        store.set_note("arxiv:2405.00001", "line one\nline two")
        assert store.note("arxiv:2405.00001") == "line one\nline two"
        store.set_note("arxiv:2405.00001", " ")
        assert store.note("arxiv:2405.00001") == ""
        store.set_tags("arxiv:2405.00001", ["b", "a", "b"])
        store.set_tags("arxiv:2405.00002", ["a"])
        assert store.tags("arxiv:2405.00001") == ("a", "b")
        assert store.all_tags() == {"a": 2, "b": 1}

    @pytest.mark.parametrize("tag", ["", " ", "a,b", "x" * 101])
    def test_a_tag_that_cannot_be_written_is_refused(self, store, tag):
        store.add([arxiv(1)])
        with pytest.raises(InputError, match="not a tag"):
            store.set_tags("arxiv:2405.00001", [tag])

    def test_an_interest_is_kept(self, store):
        store.add([arxiv(1), arxiv(2)])
        interest = Interest("work", ("arxiv:2405.00001",), ("arxiv:2405.00002",), ("A",), ("r",), ("f",), {3: -0.5})
        store.save_interest(interest)
        assert store.interest("work") == interest
        assert store.interests() == [interest]
        assert store.interest("me") == Interest()
        store.remove_interest("work")
        assert store.interests() == []

    def test_an_interest_in_an_unknown_paper_is_refused(self, store):
        with pytest.raises(InputError, match="not in the store"):
            store.save_interest(Interest(liked=("arxiv:2405.00009",)))


class TestSending:
    def test_a_paper_is_claimed_once_for_an_address(self, store):
        store.add([arxiv(n) for n in range(4)])
        ids = [f"arxiv:2405.{n:05}" for n in range(4)]
        assert store.claim_for_sending("me@example.org", ids[:2], "d1") == ids[:2]
        assert store.claim_for_sending("ME@example.org", ids, "d2") == ids[2:]
        assert store.claim_for_sending("you@example.org", ids, "d3") == ids
        store.finish_sending("d1", ok=True)
        store.finish_sending("d2", ok=False)
        assert store.claim_for_sending("me@example.org", ids, "d4") == ids[2:]
        assert [(d.id, d.ok, len(d.papers)) for d in store.sent("me@example.org")] == [
            ("d1", True, 2),
            ("d2", False, 0),
            ("d4", None, 2),
        ]
        with pytest.raises(InputError, match="finished"):
            store.finish_sending("d1", ok=False)

    def test_a_subscription_is_kept_by_address(self, store):
        store.subscribe(Subscription("me@example.org", "me", "weekly", 5))
        store.subscribe(Subscription("Me@Example.org", None, "daily"))
        assert [s.every for s in store.subscriptions()] == ["daily"]
        assert store.subscription("me@example.org").address == "Me@Example.org"
        assert store.unsubscribe("me@EXAMPLE.org")
        assert not store.unsubscribe("me@example.org")

    @pytest.mark.parametrize(
        "address", ["", "me", "a@b\r\nBcc: x@y", "a@b,c@d", "Me <a@b>", "a b@c", "a@b;c", 'a"@b', "@b", "a@"]
    )
    def test_what_is_no_address_is_refused(self, store, address):
        with pytest.raises(InputError, match="not an e-mail address"):
            store.subscribe(Subscription(address))

    def test_a_secret_stays_the_same_and_is_not_another_stores(self, store, tmp_path):
        assert len(store.secret("unsubscribe")) == 32
        assert store.secret("unsubscribe") == store.secret("unsubscribe") != store.secret("other")
        with PaperStore.open(tmp_path / "other.feed", create=True) as other:
            assert other.secret("unsubscribe") != store.secret("unsubscribe")


class TestTheFile:
    def test_only_its_owner_may_read_it(self, store, tmp_path):
        store.backup(tmp_path / "copy.db")
        for file in (store.folder / "papers.db", tmp_path / "copy.db"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_backup_is_a_store(self, store, tmp_path):
        store.add([arxiv(1)])
        store.mark("arxiv:2405.00001", "saved")
        (tmp_path / "restored.feed").mkdir()
        store.backup(tmp_path / "restored.feed" / "papers.db")
        with PaperStore.open(tmp_path / "restored.feed") as restored:
            assert restored.marked("saved") == ["arxiv:2405.00001"]
        assert sorted(path.name for path in (tmp_path / "restored.feed").iterdir()) == ["papers.db"]

    def test_a_backup_does_not_go_over_the_store(self, store):
        with pytest.raises(InputError, match="the store itself"):
            store.backup(store.folder / "papers.db")

    def test_a_missing_store_is_named(self, tmp_path):
        with pytest.raises(ArtifactError, match="no store of papers"):
            PaperStore.open(tmp_path / "nowhere.feed")

    def test_another_file_is_no_store(self, tmp_path):
        (tmp_path / "papers.db").write_text("something else, long enough to be no header of a database at all" * 20)
        with pytest.raises(ArtifactError, match="not a store of papers"):
            PaperStore.open(tmp_path)

    def test_another_programs_database_is_refused(self, tmp_path):
        with sqlite3.connect(tmp_path / "papers.db") as other:
            other.execute("CREATE TABLE things (name)")
        other.close()
        with pytest.raises(ArtifactError, match="another program's"):
            PaperStore.open(tmp_path, create=True)

    def test_a_newer_store_is_refused_with_its_version(self, store):
        store.close()
        with sqlite3.connect(store.folder / "papers.db") as other:
            other.execute("PRAGMA user_version=99")
        other.close()
        with pytest.raises(ArtifactError, match="version 99"):
            PaperStore.open(store.folder)

    def test_an_older_store_is_brought_up_to_date(self, store, monkeypatch):
        store.add([arxiv(1)])
        store.close()
        step = ("ALTER TABLE papers ADD COLUMN pages INTEGER", "UPDATE papers SET pages = 7")
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
        with PaperStore.open(store.folder) as newer:
            assert newer.paper("arxiv:2405.00001") == arxiv(1)
            assert newer._database.connection.execute("SELECT pages FROM papers").fetchall() == [(7,)]

    def test_a_migration_that_fails_changes_nothing(self, store, monkeypatch):
        store.add([arxiv(1)])
        store.close()
        step = ("ALTER TABLE papers ADD COLUMN pages INTEGER", "UPDATE absent SET pages = 7")
        with monkeypatch.context() as changed:
            changed.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
            changed.setattr(schema, "VERSION", schema.VERSION + 1)
            with pytest.raises(ArtifactError, match="no such table"):
                PaperStore.open(store.folder)
        with PaperStore.open(store.folder) as again:
            assert again.paper("arxiv:2405.00001") == arxiv(1)

    def test_a_store_that_was_cut_short_while_being_made_is_made_again(self, tmp_path):
        (tmp_path / "papers.db").touch()
        with pytest.raises(ArtifactError, match="cut short"):
            PaperStore.open(tmp_path)
        with PaperStore.open(tmp_path, create=True) as store:
            assert len(store) == 0

    def test_a_closed_store_says_so(self, store):
        store.close()
        with pytest.raises(ArtifactError, match="is closed"):
            len(store)

    def test_threads_read_while_one_writes(self, store):
        seen, failures = [], []

        def read():
            try:
                seen.append({len(store) % 500 for _ in range(20)})
            except Exception as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        store.add([arxiv(n) for n in range(2000)])
        for reader in readers:
            reader.join()
        assert not failures
        assert all(states == {0} for states in seen)  # whole batches only
