"""`sememe papers`: what the actions print, and what they refuse."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import pytest

from sememe.cli import main

PAGE = """Jan 8

A title about atoms

An abstract.

  • 3 authors
·
May 12, 2025 17

Another title

Another abstract.

  • 1 authors
·
Dec 1, 2024
"""


@pytest.fixture
def feed(tmp_path, monkeypatch):
    """A working directory with a page; the feed is the default one in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEMEME_PAPERS", raising=False)
    Path("page.txt").write_text(PAGE, encoding="utf-8")
    return tmp_path / "papers.feed"


def ask(capsys, *words: str, code: int = 0) -> dict:
    """What an action prints with --json."""
    assert main(["papers", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def say(capsys, *words: str, code: int = 0) -> str:
    """What an action prints for people, on either stream."""
    assert main(["papers", *words]) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def ids(capsys, *words: str) -> list[str]:
    return [paper["id"] for paper in ask(capsys, "list", *words)["papers"]]


class TestImport:
    def test_the_seed_page(self, feed, capsys, shared):
        page = str(shared("daily-papers") / "page.txt")
        found = ask(capsys, "import", page)
        assert (found["imported"], found["updated"], found["skipped"]) == (26, 0, 0)
        again = ask(capsys, "import", page)
        assert (again["imported"], again["updated"], again["skipped"]) == (0, 0, 26)
        papers = ask(capsys, "list")["papers"]
        assert len(papers) == 26
        assert {"id", "title", "abstract", "n_authors", "date"} <= papers[0].keys()
        by_title = {paper["title"]: paper for paper in papers}
        assert by_title["Matryoshka Representation Learning"]["n_authors"] == 11
        assert by_title["Matryoshka Representation Learning"]["date"] == "2022-05-26"

    def test_what_it_says(self, feed, capsys):
        assert say(capsys, "import", "page.txt").startswith(
            "papers.feed: 2 imported, 0 updated, 0 known already; 2 papers"
        )
        assert feed.is_dir()

    def test_bad_records_stop_it_or_are_counted(self, feed, capsys):
        lines = [{"title": "One paper"}, {"title": ""}, {"title": "Two papers"}, {"title": "Three", "votes": "x"}]
        Path("papers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        said = say(capsys, "import", "papers.jsonl", code=2)
        assert said == (
            "sememe papers: papers.jsonl:2: has no title. "
            "Mend it, or go on without such records with --on-error skip (in Python: on_error='skip')\n"
        )
        found = ask(capsys, "import", "papers.jsonl", "--on-error", "skip")
        assert (found["imported"], found["skipped"], found["bad"]) == (1, 3, 2)
        said = say(capsys, "import", "papers.jsonl", "--on-error", "skip")
        assert "2 records left out:\n  papers.jsonl:2: has no title\n  papers.jsonl:4: has no whole number" in said

    def test_several_sources_and_a_forced_format(self, feed, capsys):
        Path("refs.bib").write_text("@misc{a, title={In BibTeX}}", encoding="utf-8")
        assert ask(capsys, "import", "page.txt", "refs.bib")["imported"] == 3
        found = ask(capsys, "import", "page.txt", "--format", "bibtex", code=2)
        assert (found["error"]["kind"], found["error"]["where"]) == ("input", "page.txt")

    def test_standard_input(self, feed, capsys, monkeypatch):
        class Piped:
            buffer = io.BytesIO(PAGE.encode())

            def isatty(self):
                return False

        monkeypatch.setattr("sys.stdin", Piped())
        assert ask(capsys, "import", "-")["imported"] == 2

    def test_a_limit(self, feed, capsys):
        assert ask(capsys, "import", "page.txt", "--limit", "1")["imported"] == 1

    @pytest.mark.parametrize(
        ("source", "kind", "what"),
        [
            ("nowhere.txt", "input", "no such file"),
            ("http://127.0.0.1/feed", "input", "not a public address"),
            ("http://localhost:8000/feed", "input", "not a public address"),
            ("file:///etc/passwd", "input", "not an http or https address"),
            ("arxiv:", "input", "cannot ask arXiv"),
        ],
    )
    def test_what_cannot_be_read(self, feed, capsys, source, kind, what):
        error = ask(capsys, "import", source, code=2)["error"]
        assert error["kind"] == kind
        assert what in error["message"]

    def test_a_source_that_is_not_there_makes_no_feed(self, feed, capsys):
        say(capsys, "import", "nowhere.txt", code=2)
        assert not feed.exists()


class TestReading:
    @pytest.fixture(autouse=True)
    def _filled(self, feed, capsys):
        ask(capsys, "import", "page.txt")

    def test_the_list_for_people(self, capsys):
        lines = say(capsys, "list").splitlines()
        assert lines[0].split() == ["date", "title", "authors", "id"]
        assert lines[1].startswith("2025-05-12  A title about atoms  3 authors  title:")
        assert "1 of 2; --limit shows more" in say(capsys, "list", "--limit", "1")
        assert "no papers" in say(capsys, "list", "--tag", "x")

    def test_conditions(self, capsys):
        first, second = ids(capsys)
        assert ids(capsys, "--since", "2025-01-01") == [first]
        assert ids(capsys, "--until", "2024-12-01") == [second]
        assert ids(capsys, "--order", "votes", "--offset", "1") == [second]
        today = datetime.date.today().isoformat()
        assert ids(capsys, "--since", "today") == ids(capsys, "--since", today) == []

    @pytest.mark.parametrize("words", [["--since", "soon"], ["--mark", "x"], ["--order", "luck"], ["--limit", "x"]])
    def test_what_cannot_be_asked(self, capsys, words):
        assert main(["papers", "list", *words]) == 2

    def test_marks(self, capsys):
        first, second = ids(capsys)
        assert ask(capsys, "mark", "liked", first, second)["marks"] == {first: ["liked"], second: ["liked"]}
        assert ask(capsys, "mark", "disliked", first)["marks"] == {first: ["disliked"]}
        assert ask(capsys, "mark", "disliked", first, "--off")["marks"] == {first: []}
        assert ids(capsys, "--mark", "liked") == [second]
        assert ids(capsys, "--unmarked", "liked") == [first]

    def test_one_unknown_paper_among_several_changes_nothing(self, capsys):
        first, _ = ids(capsys)
        error = ask(capsys, "mark", "saved", first, "2405.99999", code=2)["error"]
        assert "no such paper: 2405.99999" in error["message"]
        assert ids(capsys, "--mark", "saved") == []

    def test_notes(self, capsys, monkeypatch):
        first, _ = ids(capsys)
        assert ask(capsys, "note", first) == {"id": first, "note": ""}
        assert say(capsys, "note", first, "Read it again") == "Read it again\n"
        monkeypatch.setattr("sys.stdin", io.StringIO("Two\nlines\n"))
        assert ask(capsys, "note", first, "-")["note"] == "Two\nlines"
        assert say(capsys, "note", first, "--clear") == "no note\n"
        say(capsys, "note", first, "x", "--clear", code=2)

    def test_tags(self, capsys):
        first, second = ids(capsys)
        assert say(capsys, "tag", first, "atoms", "to read") == "atoms, to read\n"
        say(capsys, "tag", second, "atoms")
        assert ask(capsys, "tag")["tags"] == {"atoms": 2, "to read": 1}
        assert ask(capsys, "tag", first, "--remove", "atoms")["tags"] == ["to read"]
        assert ids(capsys, "--tag", "to read") == [first]
        assert say(capsys, "tag", second) == "atoms\n"

    def test_one_paper(self, capsys):
        first, _ = ids(capsys)
        Path("v2.jsonl").write_text(
            json.dumps(
                {"id": "2505.00001v2", "title": "A title about atoms", "authors": ["Ada L"], "abstract": "New."}
            ),
            encoding="utf-8",
        )
        ask(capsys, "import", "v2.jsonl")
        say(capsys, "mark", "saved", first)
        found = ask(capsys, "show", "https://arxiv.org/abs/2505.00001")
        assert (found["id"], found["identities"], found["abstract"]) == (first, ["arxiv:2505.00001"], "New.")
        assert (list(found["marks"]), [version["version"] for version in found["versions"]]) == (["saved"], [1, 2])
        said = say(capsys, "show", first)
        assert said.startswith("A title about atoms\n\nauthors")
        assert "also" in said
        assert "known since" in said

    def test_exports(self, capsys, feed):
        first, second = ids(capsys)
        assert "@misc{anonymous2025title," in say(capsys, "export", first, "--format", "bibtex")
        say(capsys, "mark", "saved", second)
        assert ask(capsys, "export", "--mark", "saved", "--to", "saved.ris")["papers"] == 1
        assert "TI  - Another title" in Path("saved.ris").read_text(encoding="utf-8")
        assert say(capsys, "export", "--to", "all.csv").startswith("all.csv: 2 papers as csv, ")
        found = ask(capsys, "import", "all.csv", "saved.ris")
        assert (found["imported"], found["papers"]) == (0, 2)

    @pytest.mark.parametrize(
        "words", [["--to", "x.doc"], [], ["ID", "--mark", "saved", "--to", "x.bib"], ["--format", "csv", "--json"]]
    )
    def test_exports_that_are_refused(self, capsys, words):
        assert main(["papers", "export", *words]) == 2
        assert not list(Path().glob("x.*"))

    def test_a_backup(self, capsys, feed):
        found = ask(capsys, "backup", "copy.db")
        assert (found["papers"], found["bytes"]) == (2, Path("copy.db").stat().st_size)
        Path("other.feed").mkdir()
        Path("copy.db").rename("other.feed/papers.db")
        assert len(ids(capsys, "--feed", "other.feed")) == 2


class TestWhere:
    def test_the_variable_and_the_flag(self, feed, capsys, monkeypatch):
        monkeypatch.setenv("SEMEME_PAPERS", "one.feed")
        ask(capsys, "import", "page.txt")
        assert ask(capsys, "import", "page.txt", "--feed", "two.feed")["imported"] == 2
        assert Path("one.feed/papers.db").is_file()
        assert Path("two.feed/papers.db").is_file()
        assert not feed.exists()

    def test_a_missing_feed_says_how_to_make_one(self, feed, capsys):
        error = ask(capsys, "list", code=2)["error"]
        assert (error["kind"], error["where"]) == ("artifact", "papers.feed")
        assert "sememe papers import" in error["hint"]

    def test_help_has_an_example(self, capsys):
        assert main(["papers", "--help"]) == 0
        assert "sememe papers import page.txt" in capsys.readouterr().out
