"""Files that somebody made to harm: XML attacks, archives, names that lead elsewhere."""

from __future__ import annotations

import gzip
import io
import socket
import stat
import time
import zipfile

import pytest

from sememe.errors import InputError
from sememe.papers.importing import ImportConfig, PaperSource
from sememe.papers.importing.unpacking import Limits, unpacked

LINE = '{"title": "A paper about nothing"}\n'
ENTRY = "<entry><id>http://arxiv.org/abs/2405.00001</id><title>&x;</title></entry>"
FEED = '<feed xmlns="http://www.w3.org/2005/Atom">' + ENTRY + "</feed>"


def _laughs(depth: int = 10) -> str:
    levels = [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, depth)]
    return '<!DOCTYPE feed [<!ENTITY l0 "lol">' + "".join(levels) + f'<!ENTITY x "&l{depth - 1};">]>'


ATTACKS = {
    "billion laughs": _laughs(),
    "quadratic blow-up": f'<!DOCTYPE feed [<!ENTITY a "{"a" * 50_000}"><!ENTITY x "{"&a;" * 5_000}">]>',
    "external entity": '<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "external entity over the network": '<!DOCTYPE feed [<!ENTITY x SYSTEM "http://example.org/x">]>',
    "external DTD": '<!DOCTYPE feed SYSTEM "http://example.org/feed.dtd">',
    "parameter entity": '<!DOCTYPE feed [<!ENTITY % p SYSTEM "http://example.org/p"> %p;]>',
    "an entity of its own": '<!DOCTYPE feed [<!ENTITY x "harmless">]>',
    "public DTD": '<!DOCTYPE feed PUBLIC "-//X//Y" "http://example.org/feed.dtd">',
}


class TestXml:
    @pytest.mark.parametrize("name", ATTACKS)
    def test_attacks_are_refused_at_once_and_without_the_network(self, tmp_path, monkeypatch, name):
        def refuse(*args, **kwargs):
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        file = tmp_path / "feed.xml"
        file.write_text('<?xml version="1.0"?>' + ATTACKS[name] + FEED)
        started = time.process_time()
        with pytest.raises(InputError, match=r"declares (entities|a document type)"):
            list(PaperSource(str(file), ImportConfig(on_error="skip")))
        assert time.process_time() - started < 1

    @pytest.mark.parametrize(
        "text", ["<feed", "<feed>&x;</feed>", "<rss><item></rss>", '<?xml version="1.0" encoding="x"?><feed/>']
    )
    def test_malformed_xml(self, tmp_path, text):
        file = tmp_path / "feed.xml"
        file.write_text(text)
        with pytest.raises(InputError, match=r"malformed XML|neither Atom"):
            list(PaperSource(str(file)))

    def test_nesting_without_end(self, tmp_path):
        file = tmp_path / "feed.xml"
        file.write_text('<feed xmlns="http://www.w3.org/2005/Atom">' + "<a>" * 100_000 + "</a>" * 100_000 + "</feed>")
        with pytest.raises(InputError):
            list(PaperSource(str(file)))


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def _encrypted() -> bytes:
    data = bytearray(_zip(("a.jsonl", LINE.encode())))
    data[6] |= 1  # the flag in the local header, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _damaged() -> bytes:
    data = bytearray(_zip(("a.jsonl", LINE.encode() * 100), compression=zipfile.ZIP_STORED))
    data[200] ^= 0xFF
    return bytes(data)


BAD_ARCHIVES = {
    "bomb": (_zip(("a.jsonl", LINE.encode() * 500_000)), "times its size"),
    "parent folder": (_zip(("../a.jsonl", LINE.encode())), "leads out"),
    "deep parent folder": (_zip(("a/../../b.jsonl", LINE.encode())), "leads out"),
    "absolute": (_zip(("/etc/a.jsonl", LINE.encode())), "leads out"),
    "drive": (_zip(("C:/a.jsonl", LINE.encode())), "leads out"),
    "backslashes": (_zip((r"..\a.jsonl", LINE.encode())), "leads out"),
    "UNC": (_zip((r"\\host\a.jsonl", LINE.encode())), "leads out"),
    "link": (_zip((_link("a.jsonl"), b"/etc/passwd")), "is a link"),
    "nested zip": (_zip(("a.zip", _zip(("b.jsonl", LINE.encode())))), "archive in an archive"),
    "nested gzip": (_zip(("a.gz", gzip.compress(LINE.encode()))), "archive in an archive"),
    "encrypted": (_encrypted(), "is encrypted"),
    "damaged": (_damaged(), "cannot be read"),
    "cut off": (_zip(("a.jsonl", LINE.encode() * 100))[:-30], "cannot be read"),
    "gzip bomb": (gzip.compress(LINE.encode() * 500_000), "times its size"),
    "gzip in gzip": (gzip.compress(gzip.compress(LINE.encode())), "archive in an archive"),
    "zip in gzip": (gzip.compress(_zip(("a.jsonl", LINE.encode()))), "archive in an archive"),
    "gzip cut off": (gzip.compress(LINE.encode() * 1000)[:-20], "is damaged"),
    "empty zip": (_zip(), "holds no papers"),
    "unknown inside": (_zip(("a.txt", b"nothing that is known\n")), "no format that is known"),
}


class TestArchives:
    def test_all_files_of_a_zip_archive_are_read(self, tmp_path):
        file = tmp_path / "papers.zip"
        file.write_bytes(
            _zip(
                ("a/", b""),
                ("a/lines.jsonl", LINE.encode()),
                ("b.bib", b"@misc{a, title={In BibTeX}}"),
                ("__MACOSX/._a", b"\0"),
                (".hidden", b"\0"),
            )
        )
        assert [paper.title for paper in PaperSource(str(file))] == ["A paper about nothing", "In BibTeX"]

    def test_a_bad_record_names_the_file_inside(self, tmp_path):
        file = tmp_path / "papers.zip"
        file.write_bytes(_zip(("a/lines.jsonl", LINE.encode() + b"{}\n")))
        with pytest.raises(InputError, match=r"papers\.zip!a/lines\.jsonl:2: has no title"):
            list(PaperSource(str(file)))

    @pytest.mark.parametrize("name", BAD_ARCHIVES)
    def test_bad_archives_are_refused(self, tmp_path, name):
        data, reason = BAD_ARCHIVES[name]
        file = tmp_path / "file"
        file.write_bytes(data)
        with pytest.raises(InputError, match=reason):
            list(PaperSource(str(file)))

    @pytest.mark.parametrize(
        ("limits", "reason"), [(Limits(n_bytes=50), "more than 0 MiB"), (Limits(entries=2), "holds 3 files")]
    )
    def test_limits_in_all(self, tmp_path, limits, reason):
        file = tmp_path / "file.zip"
        file.write_bytes(_zip(*[(f"{n}.jsonl", LINE.encode()) for n in range(3)]))
        with pytest.raises(InputError, match=reason), unpacked(file, "file.zip", limits) as files:
            list(files)

    def test_nothing_is_left_behind(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", None)
        file = tmp_path / "papers.zip"
        file.write_bytes(_zip(("a.jsonl", LINE.encode() + b"{}\n")))
        with pytest.raises(InputError):
            list(PaperSource(str(file)))
        assert list((tmp_path / "temporary").iterdir()) == []
