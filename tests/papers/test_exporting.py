"""What is written out: as it should be, harmless, and readable by us and by others."""

from __future__ import annotations

import csv
import datetime
import io
import json

import bibtexparser
import pytest
import rispy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sememe.errors import InputError
from sememe.papers import Paper, PaperStore
from sememe.papers.exporting import EXPORTS, Kept, export, format_of, kept
from sememe.papers.exporting.table import neutral
from sememe.papers.identity import normalised_title, title_identity
from sememe.papers.importing import PaperSource

PAPER = Paper(
    id="arxiv:2405.12522",
    title="Atoms & 20% of $\\beta^3$_things #1: ~x^2 {and} more",
    abstract="First 5% of a_b.\n\nSecond paragraph & more.",
    authors=("Ada Lovelace", "Jan van der Berg", "The Atom Group, Inc."),
    date=datetime.date(2024, 5, 21),
    votes=3,
    url="https://arxiv.org/abs/2405.12522",
    venue="Atoms & Codes 2024",
    categories=("cs.CL", "cs.LG"),
    keywords=("atoms", "codes"),
    version=2,
    identities=("doi:10.1000/a_b%c",),
)
OTHER = Paper(id=title_identity("Plainly"), title="Plainly", n_authors=4, date=datetime.date(2020, 1, 1))
KEPT = [Kept(PAPER, ("saved",), ("to read",), "Compare\nthese"), Kept(OTHER)]


def text(form: str, papers=KEPT) -> str:
    return "".join(export(papers, form))


def read_back(tmp_path, form: str, papers=KEPT) -> list[Paper]:
    file = tmp_path / "exported"
    file.write_bytes(text(form, papers).encode())
    return list(PaperSource(str(file)))


class TestBibtex:
    def test_an_entry(self):
        assert text("bibtex", KEPT[1:]) == (
            "@misc{anonymous2020plainly,\n  title = {{Plainly}},\n  year = {2020},\n}\n\n"
        )
        lines = text("bibtex", KEPT[:1]).splitlines()
        assert lines[0] == "@inproceedings{lovelace2024atoms,"
        assert (
            r"  title = {{Atoms \& 20\% of $\beta^3$\_things \#1: \textasciitilde{}x\textasciicircum{}2 {and} more}},"
            in lines
        )
        assert "  author = {Ada Lovelace and Jan van der Berg and {The Atom Group, Inc.}}," in lines
        assert "  doi = {10.1000/a_b%c}," in lines
        assert "  eprint = {2405.12522}," in lines

    def test_keys_are_unique(self):
        found = bibtexparser.parse_string(text("bibtex", [Kept(OTHER)] * 3))
        assert [entry.key for entry in found.entries] == [f"anonymous2020plainly{end}" for end in ("", "-2", "-3")]

    def test_it_comes_back(self, tmp_path):
        first, second = read_back(tmp_path, "bibtex")
        assert (first.id, first.identities, first.date) == (PAPER.id, PAPER.identities, PAPER.date)
        assert first.title == r"Atoms & 20% of $\beta^3$_things #1: ~x^2 and more"
        assert (first.authors, first.venue, first.url) == (PAPER.authors, PAPER.venue, PAPER.url)
        assert second.id == OTHER.id

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(title=st.text("ab {}\\$%&#_~^@,\"'=\n", min_size=1, max_size=30).filter(lambda t: t.strip()))
    def test_no_title_breaks_the_file(self, title):
        """Whatever stands in one entry, the entry behind it is read."""
        paper = Paper(id="arxiv:2405.00001", title=" ".join(title.split()))
        found = bibtexparser.parse_string(text("bibtex", [Kept(paper, note=title), Kept(OTHER)]))
        assert not found.failed_blocks
        assert [entry.fields_dict["title"].value for entry in found.entries][1] == "{Plainly}"


class TestRis:
    def test_another_reader_reads_it(self):
        first, second = rispy.loads(text("ris").replace("\r\n", "\n"))
        assert first["title"] == PAPER.title
        assert first["authors"] == ["Lovelace, Ada", "Berg, Jan van der", "Inc., The Atom Group,"]
        assert (first["date"], first["doi"], first["keywords"]) == (
            "2024/05/21/",
            "10.1000/a_b%c",
            ["atoms", "codes", "to read"],
        )
        assert second["type_of_reference"] == "UNPB"

    def test_no_text_ends_a_record_or_begins_another(self, tmp_path):
        evil = Kept(OTHER, note="x\r\nER  - \r\nTY  - JOUR\r\nTI  - forged")
        assert [paper.title for paper in read_back(tmp_path, "ris", [evil, KEPT[0]])] == ["Plainly", PAPER.title]

    def test_it_comes_back(self, tmp_path):
        first, second = read_back(tmp_path, "ris")
        assert (first.id, first.title, first.date, first.venue) == (PAPER.id, PAPER.title, PAPER.date, PAPER.venue)
        assert first.identities == PAPER.identities
        assert (second.id, second.date) == (OTHER.id, OTHER.date)


class TestCsv:
    @pytest.mark.parametrize(
        "cell",
        [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "＝1",
            '=HYPERLINK("http://x")',
            "=cmd|' /C calc'!A0",
        ],
    )
    def test_a_formula_is_neutralised_and_comes_back(self, tmp_path, cell):
        assert neutral(cell) == "'" + cell
        paper = Paper(id="arxiv:2405.00001", title=f"={cell.strip()}", authors=("-A", "@B"), keywords=("+k",))
        rows = list(csv.reader(io.StringIO(text("csv", [Kept(paper, note=cell, tags=("=t",))]))))
        assert not any(value.lstrip().startswith(("=", "+", "-", "@", "＝")) for value in rows[1])
        (again,) = read_back(tmp_path, "csv", [Kept(paper)])
        assert (again.title, again.authors) == (paper.title, paper.authors)

    def test_a_plain_cell_stays(self):
        assert [neutral(cell) for cell in ("a=b", "2-1", "", "'x")] == ["a=b", "2-1", "", "'x"]

    def test_everything_comes_back(self, tmp_path):
        assert read_back(tmp_path, "csv")[0] == _as_read(PAPER, tmp_path)


class TestMarkdown:
    def test_a_paper(self):
        assert "\n## [Atoms \\& 20% of" in text("markdown")
        assert "> Second paragraph \\& more." in text("markdown")
        assert "4 authors · 2020-01-01 · title:" in text("markdown")

    def test_nothing_in_it_works(self):
        evil = "<script>x</script> ![a](javascript:x) `c` *b*\n# head\n- item\n1. one"
        found = text("markdown", [Kept(Paper(id="arxiv:2405.00001", title="<b>[x](y)"), note=evil)])
        assert "<" not in found.replace("\\<", "")
        assert "\\# head" in found
        assert "\n\\- item\n1\\. one" in found
        assert "## \\<b\\>\\[x\\]\\(y\\)" in found


class TestJsonLines:
    def test_everything_comes_back(self, tmp_path):
        assert read_back(tmp_path, "jsonl")[0] == _as_read(PAPER, tmp_path)
        assert json.loads(text("jsonl").splitlines()[0])["tags"] == ["to read"]


def _as_read(paper: Paper, tmp_path) -> Paper:
    from dataclasses import replace

    return replace(paper, source=str(tmp_path / "exported"), n_authors=paper.author_count)


class TestAll:
    @pytest.mark.parametrize("form", [form for form in EXPORTS if form != "markdown"])
    def test_what_was_exported_is_known_when_it_is_imported(self, tmp_path, form):
        with PaperStore.open(tmp_path / "feed", create=True) as store:
            store.add([PAPER, OTHER])
            store.set_tags(PAPER.id, ["one", "two"])
            store.set_note(PAPER.id, "a note")
            again = store.add(read_back(tmp_path, form, list(kept(store, store.select()))))
            assert again.imported == 0
            assert len(store) == 2

    @pytest.mark.parametrize("form", EXPORTS)
    def test_no_papers(self, form):
        assert isinstance(text(form, []), str)

    def test_secrets_are_not_exported(self, tmp_path):
        with PaperStore.open(tmp_path, create=True) as store:
            store.add([PAPER])
            secret = store.secret("unsubscribe")
            for form in EXPORTS:
                found = text(form, list(kept(store, store.select())))
                assert secret.hex() not in found

    def test_a_format_is_known_by_a_files_name(self, tmp_path):
        assert [format_of(tmp_path / f"a{end}") for end in (".bib", ".RIS", ".csv", ".md", ".jsonl")] == list(EXPORTS)
        with pytest.raises(InputError, match="in which format"):
            format_of(tmp_path / "a.doc")
        with pytest.raises(InputError, match="no format"):
            text("doc")

    def test_titles_keep_their_identity_through_bibtex(self, tmp_path):
        titles = ["$\\beta$-VAE at 5%", "A_B & C", "Schrödinger's {cat}", "x^2 ~ y", "100\\% and \\emph{more}"]
        papers = [Kept(Paper(id=title_identity(title), title=title)) for title in titles]
        found = [paper.title for paper in read_back(tmp_path, "bibtex", papers)]
        assert [normalised_title(title) for title in found] == [normalised_title(title) for title in titles]
