import io
import logging
import subprocess
import sys

import pytest

from sememe.corpus import read
from sememe.errors import MissingExtraError

pypdf = pytest.importorskip("pypdf")


def _pdf(*pages: str, title: str | None = None) -> bytes:
    """A PDF with a line of text a page, built by hand from the specification."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, offsets = "%PDF-1.4\n", []
    if title is not None:
        objects.append(f"<< /Title ({title}) >>")
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    info = f" /Info {len(objects)} 0 R" if title is not None else ""
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{info} >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("latin-1")


def _encrypted(password: str, algorithm: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(_pdf("secret words")))
    writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.fixture
def pdf(tmp_path):
    def write(data):
        (tmp_path / "paper.pdf").write_bytes(data)
        (tmp_path / "z.txt").write_text("words")
        return tmp_path / "paper.pdf"

    return write


def test_pages_are_joined_and_the_title_is_found(pdf):
    (document,) = read(pdf(_pdf("First page", "Second page", title="A paper")))
    assert (document.id, document.title, document.text) == ("paper.pdf", "A paper", "First page\nSecond page")
    assert document.metadata == {"format": "pdf", "pages": 2}


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_encrypted(pdf, refuse, algorithm):
    if algorithm == "AES-256":
        pytest.importorskip("cryptography")
    path = pdf(_encrypted("password", algorithm))
    error = refuse(path)
    assert error.where == str(path)
    assert "needs a password" in error.message
    # Only printing is restricted: it opens without a password.
    (document,) = read(pdf(_encrypted("", algorithm)))
    assert document.text == "secret words"


def test_encryption_that_needs_another_package_gives_the_install_line(pdf, tmp_path):
    pytest.importorskip("cryptography")
    path = pdf(_encrypted("", "AES-256"))
    script = (
        "import sys; sys.modules['cryptography'] = sys.modules['Crypto'] = None\n"
        "from sememe.corpus import read\nfrom sememe.errors import MissingExtraError\n"
        "try: list(read(sys.argv[1], on_error='skip'))\nexcept MissingExtraError as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout == "Install it with: pip install 'sememe[pdf]'\n"


def test_without_pypdf_the_install_line_is_given(pdf, monkeypatch):
    path = pdf(_pdf("words"))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtraError, match=r"sememe\[pdf\]"):
        list(read(path.parent, on_error="skip"))


@pytest.mark.parametrize("case", ["empty", "text", "head only", "truncated", "no pages", "loop"])
def test_broken_files_are_refused_or_skipped(pdf, refuse, case, caplog):
    good = _pdf("words")
    data = {
        "empty": b"",
        "text": b"not a PDF at all",
        "head only": b"%PDF-1.7\n%%EOF",
        "truncated": good[:150],
        "no pages": good.replace(b"/Pages 2 0 R", b"/Pages 9 0 R"),
        "loop": good.replace(b"/Type /Page /Parent 2 0 R", b"/Type /Pages /Kids [4 0 R]"),
    }[case]
    path = pdf(data)
    with caplog.at_level(logging.DEBUG):
        error = refuse(path)
        assert "PDF" in error.message
        assert error.where == str(path)
        corpus = read(path.parent, on_error="skip")
        assert [document.id for document in corpus] == ["z.txt"]
        assert corpus.n_skipped == 1
    assert not caplog.records


def test_a_scan_is_told_apart_from_an_empty_text(pdf, refuse):
    error = refuse(pdf(_pdf(" ", " ")))
    assert "without text (2 pages" in error.message
    assert "OCR" in error.hint


def test_every_truncation_and_flip_is_a_document_or_our_error(pdf):
    good = _pdf("some words", "more words", title="T")
    for cut in range(0, len(good), 23):
        flipped = bytearray(good)
        flipped[cut] ^= 0x15
        for data in (good[:cut], bytes(flipped)):
            corpus = read(pdf(data).parent, on_error="skip")
            assert len(list(corpus)) + corpus.n_skipped == 2
