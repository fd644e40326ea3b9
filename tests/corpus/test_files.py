import gzip
import os
import subprocess

import pytest

from sememe.corpus import read
from sememe.corpus.html import html_text
from sememe.errors import InputError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "notes"
    files = {
        "b.txt": "plain words",
        "a/z.md": "# The title #\n\nmarked words\n",
        "a/y.rst": "=====\nTitle\n=====\n\nrst words\n",
        "page.html": "<title>T &amp; U</title><p>one</p><p>two</p>",
        "skipped.docx": "binary",
        ".hidden/x.txt": "hidden",
        ".hidden.txt": "hidden",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_folder_is_read_in_the_order_of_its_paths(folder):
    documents = list(read(folder))
    assert [(document.id, document.title, document.text) for document in documents] == [
        ("a/y.rst", "Title", "rst words\n"),
        ("a/z.md", "The title", "marked words\n"),
        ("b.txt", "", "plain words"),
        ("page.html", "T & U", "one\ntwo"),
    ]
    assert [document.metadata["format"] for document in documents] == ["restructuredtext", "markdown", "text", "html"]
    assert read(folder).name == "notes"


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.rst", "Title\n=====\nwords", "Title"),
        ("a.rst", "words\nwords\n\nTitle\n=====\n", ""),
        ("a.rst", "=====", ""),
        ("a.md", "\n#  Title  ##\nwords", "Title"),
        ("a.md", "#hashtag\nwords", ""),
        ("a.md", "## Section\nwords", ""),
        ("a.md", "words\n# Later", ""),
        ("a.txt", "# not markdown", ""),
    ],
)
def test_a_leading_heading_is_the_title(tmp_path, name, text, title):
    (tmp_path / name).write_text(text)
    (document,) = read(tmp_path / name)
    assert document.title == title
    assert document.id == name
    assert document.text == ("words" if title else text)


def test_a_compressed_text_file(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"words"))
    assert [document.text for document in read(tmp_path / "a.txt.gz")] == ["words"]


def test_links_are_followed_and_loops_end(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.txt").write_text("outside")
    (folder / "link").symlink_to(outside)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (outside / "back").symlink_to(folder / "a")
    ids = [document.id for document in read(folder)]
    assert ids == ["a/y.rst", "a/z.md", "b.txt", "link/o.txt", "page.html"]


@pytest.mark.parametrize("target", ["missing.txt", "loop.txt"])
def test_a_link_that_leads_nowhere_is_a_bad_record(folder, refuse, target):
    (folder / "loop.txt").symlink_to(folder / target)
    error = refuse(folder)
    assert error.where == f"{folder}/loop.txt"
    assert "cannot be read" in error.message
    corpus = read(folder, on_error="skip")
    assert len(list(corpus)) == 4
    assert corpus.n_skipped == 1


def test_an_unreadable_file_and_folder(folder, refuse, monkeypatch):
    from pathlib import Path

    denied = PermissionError(13, "Permission denied")
    real_open, real_iterdir = open, Path.iterdir

    def closed_open(file, *args, **kwargs):
        if str(file).endswith("b.txt"):
            raise denied
        return real_open(file, *args, **kwargs)

    def closed_iterdir(path):
        if path.name == "a":
            raise denied
        return real_iterdir(path)

    monkeypatch.setattr("sememe.corpus.streams.open", closed_open, raising=False)
    assert refuse(folder).where == f"{folder}/b.txt"
    assert refuse(folder / "b.txt").message == "cannot be read (Permission denied)"
    monkeypatch.setattr(Path, "iterdir", closed_iterdir)
    assert refuse(folder).where == f"{folder}/a"
    corpus = read(folder, on_error="skip")
    assert [document.id for document in corpus] == ["page.html"]
    assert [skipped.place for skipped in corpus.skipped] == [f"{folder}/a", f"{folder}/b.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(folder, refuse):
    (folder / "b.txt").chmod(0)
    assert "Permission denied" in refuse(folder).message


def test_a_pipe_does_not_block(folder, refuse):
    os.mkfifo(folder / "pipe.txt")
    assert "not a regular file" in refuse(folder).message


def test_a_file_name_that_is_not_utf8(folder, refuse):
    name = os.fsencode(folder) + b"/\xff.txt"
    with open(name, "w") as stream:
        stream.write("words")
    error = refuse(folder)
    assert error.where == f"{folder}/\ufffd.txt"
    assert len(list(read(folder, on_error="skip"))) == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9", "not valid UTF-8 (0xe9 at byte 4)"),
        (b"one\ntwo \xe9", "line 2, byte 5"),
        (b"\x89PNG\0\0", "NUL"),
        ("words".encode("utf-16-be"), "UTF-16 without a byte order mark"),
        (b"a" * ((32 << 20) + 1), "more than 32 MiB"),
    ],
)
def test_a_bad_text_file(folder, refuse, data, message):
    (folder / "b.txt").write_bytes(data)
    error = refuse(folder)
    assert message in error.message
    assert error.where == f"{folder}/b.txt"
    assert len(list(read(folder, on_error="skip"))) == 3


def test_text_in_utf16_with_a_mark_and_empty_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("žluť".encode("utf-16"))
    (tmp_path / "b.txt").write_bytes(b"")
    assert [document.text for document in read(tmp_path)] == ["žluť", ""]


def test_a_damaged_compressed_file_in_a_folder_can_be_skipped(folder, refuse):
    for name in ("c.txt.gz", "d.html.gz"):
        (folder / name).write_bytes(gzip.compress(b"words" * 1000)[:-12])
    assert "damaged" in refuse(folder).message
    corpus = read(folder, on_error="skip")
    assert len(list(corpus)) == 4
    assert corpus.n_skipped == 2


def test_a_folder_with_nothing_to_read_says_what_it_found(tmp_path):
    for name in ("a.docx", "b.docx", "c.jsonl", "Makefile"):
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"2 with \.docx, 1 with no extension, 1 with \.jsonl") as caught:
        read(tmp_path)
    assert ".jsonl" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files at all"):
        read(tmp_path / "empty")


def test_a_deep_folder(tmp_path):
    path, depth = tmp_path, 0
    while len(str(path)) < 3500:
        path, depth = path / "d", depth + 1
        path.mkdir()
    assert depth > 1000
    (path / "a.txt").write_text("deep")
    assert [document.text for document in read(tmp_path)] == ["deep"]
    # pytest's own clean-up recurses, and this is deeper than Python lets it.
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_html_gives_text_only():
    page = """<!DOCTYPE html><html><head><title> The
      title </title><style>p { color: red }</style><script>var x = "</p> evil()";</script></head>
      <body onload="evil()"><noscript>no script</noscript><!-- a comment --><h1>Head</h1>
      <p>One <b>bo</b>ld &lt;tag&gt; &eacute;&#x1F40E;&#xD800;&#0;<br>next</p><SCRIPT>evil()</SCRIPT >
      <ul><li>a<li>b</ul><table><tr><td>c</td><td>d</td></tr></table>
      <svg><title>icon</title><text>svg</text></svg><template><p>later</p></template>
      <script/><p>E<sub>0</sub> = <math><mi>m</mi><annotation>tex</annotation></math></p>
      <script type="text/plain">unclosed evil()"""
    title, text = html_text(page)
    assert title == "The title"
    assert text.split("\n") == ["Head", "One bold <tag> é🐎��", "next", "a", "b", "c", "d", "E0 = m"]


def test_html_that_is_broken_or_not_html():
    assert html_text("no tags < at & all")[1] == "no tags < at & all"
    assert html_text("</p></script></div>a</b>")[1] == "a"
    assert html_text("") == ("", "")
    assert html_text("<" * 20_000 + "a")[1].endswith("a")
    assert html_text("<div>" * 20_000 + "a")[1] == "a"


def test_html_that_the_parser_refuses_is_a_bad_record(tmp_path, refuse):
    (tmp_path / "a.html").write_text("<p>a</p><![broken[x]]>")
    (tmp_path / "b.html").write_text("<p>b</p>")
    try:
        assert len(list(read(tmp_path))) == 2  # newer Pythons parse it
    except InputError:
        assert "cannot be parsed" in refuse(tmp_path).message
        assert [document.text for document in read(tmp_path, on_error="skip")] == ["b"]


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ('<meta charset="iso-8859-1">', "cp1252"),
        ('<META http-equiv="Content-Type" content="text/html; charset=windows-1251">', "cp1251"),
        ('<meta charset="no-such-thing">', "utf-8"),
        ("", "utf-8"),
        ('<meta charset="latin-1">', "utf-8-sig"),
        ('<meta charset="utf-8">', "utf-16"),
    ],
)
def test_html_names_its_encoding_and_a_mark_goes_first(tmp_path, declared, encoding):
    text = "Ж “q”" if encoding == "cp1251" else "é “q”"
    (tmp_path / "a.html").write_bytes(f"{declared}<p>{text}</p>".encode(encoding))
    assert [document.text for document in read(tmp_path / "a.html")] == [text]
