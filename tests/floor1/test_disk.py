"""Files and folders are replaced in one step, whoever is killed or fails on the way."""

from __future__ import annotations

import io
import os
import threading
import time

import pytest

from faults import ERRORS, KILLS, contents, count_points, fault, killed_at, leftovers
from sememe import disk
from sememe.errors import ArtifactError


class Piecemeal(io.RawIOBase):
    """Takes three bytes at a time, as a pipe or a file beyond 2 GiB takes only a part."""

    def __init__(self, room: int = 1000) -> None:
        self.data, self.room = b"", room

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        piece = bytes(data)[: min(3, self.room)]
        self.data, self.room = self.data + piece, self.room - len(piece)
        return len(piece)


def test_write_goes_on_until_everything_is_written():
    stream = Piecemeal()
    disk.write(stream, b"0123456789")
    assert stream.data == b"0123456789"


def test_a_write_that_stops_is_an_error_not_a_smaller_file():
    with pytest.raises(OSError, match="short write: 6 bytes were left"):
        disk.write(Piecemeal(room=4), b"0123456789")


@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_write_file_is_all_or_nothing(tmp_path, kind):
    path = tmp_path / "file"
    total = count_points(lambda: disk.write_file(path, b"old" * 100))
    assert total == 3
    seen = set()
    for point in range(1, total + 1):
        disk.write_file(path, b"old" * 100)
        if kind in KILLS:
            assert killed_at(point, lambda: disk.write_file(path, b"new" * 200), kind)
            disk.remove_leftovers(tmp_path)
        else:
            with fault(kind, point), pytest.raises(ArtifactError, match=r"file: cannot be written \(injected"):
                disk.write_file(path, b"new" * 200)
        assert leftovers(tmp_path) == []
        seen.add(path.read_bytes()[:3])
    assert seen == {b"old"}
    disk.write_file(path, b"new" * 200)
    assert path.read_bytes() == b"new" * 200


def fill(path, text: bytes) -> None:
    with disk.new_folder(path) as folder:
        (folder / "sub").mkdir()
        disk.write_file(folder / "a", text)
        disk.write_file(folder / "sub" / "b", text * 2)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_new_folder_is_all_or_nothing(tmp_path, kind, exists):
    old, new = {"a": b"old", "sub/b": b"oldold"}, {"a": b"new", "sub/b": b"newnew"}
    path = tmp_path / "x" / "folder"
    total = count_points(lambda: (fill(path, b"old"), fill(path, b"new"))[1])
    for point in range(1, total + 1):
        path = tmp_path / f"{point}" / "folder"
        if exists:
            fill(path, b"old")
        if kind in KILLS:
            if not killed_at(point, lambda path=path: fill(path, b"new"), kind):
                assert contents(path) == new
                break
            disk.recover(path)
        else:
            try:
                with fault(kind, point) as points:
                    fill(path, b"new")
                assert len(points.reached) < point
                break
            except ArtifactError as error:
                assert "injected" in str(error)
                assert leftovers(path.parent) == []
        assert contents(path) in ((old, new) if exists else ({}, new))
        fill(path, b"next")
        assert contents(path)["a"] == b"next"
        assert leftovers(path.parent) == []
    assert point > 8


def test_a_folder_stands_after_its_names_could_not_be_made_durable(tmp_path, monkeypatch):
    """The rename happens, and then fsync of the parent folder fails."""
    original, path = disk.sync_folder, tmp_path / "f"
    for at in range(1, 20):
        fill(path, b"old")
        calls = []

        def failing(folder, at=at, calls=calls) -> None:
            calls.append(folder)
            if len(calls) == at:
                raise OSError(5, "injected")
            original(folder)

        monkeypatch.setattr(disk, "sync_folder", failing)
        try:
            fill(path, b"new")
            break
        except ArtifactError:
            monkeypatch.undo()
            assert contents(path) in ({"a": b"old", "sub/b": b"oldold"}, {"a": b"new", "sub/b": b"newnew"})
        finally:
            monkeypatch.undo()
    assert 4 < at < 19
    fill(path, b"old")
    assert leftovers(tmp_path) == []


def test_a_folder_being_filled_is_not_mistaken_for_an_abandoned_one(tmp_path):
    with disk.new_folder(tmp_path / "f") as slow:
        disk.write_file(slow / "a", b"slow")
        fill(tmp_path / "f", b"fast")
        assert disk.remove_leftovers(tmp_path) == []
        assert (slow / "a").read_bytes() == b"slow"
        assert contents(tmp_path / "f")["a"] == b"fast"
    assert contents(tmp_path / "f") == {"a": b"slow"}
    assert leftovers(tmp_path) == []


def test_recover_waits_for_a_living_writer_instead_of_undoing_its_work(tmp_path, monkeypatch):
    """Between the two renames of a replacement the folder is missing; a reader must not put the old one back."""
    path = tmp_path / "f"
    fill(path, b"old")
    between, seen = threading.Event(), []

    def reader() -> None:
        between.wait()
        disk.recover(path)
        seen.append(contents(path)["a"])

    def replace(source, target) -> None:
        original(source, target)
        if target.name == ".f.previous":
            between.set()
            time.sleep(0.2)

    original = disk.replace
    monkeypatch.setattr(disk, "replace", replace)
    thread = threading.Thread(target=reader)
    thread.start()
    fill(path, b"new")
    thread.join()
    assert seen == [b"new"]
    assert contents(path)["a"] == b"new"


def test_two_writers_of_one_folder_both_finish(tmp_path):
    path = tmp_path / "f"
    fill(path, b"0")
    threads = [threading.Thread(target=fill, args=(path, str(n).encode())) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(path)["a"] in {str(n).encode() for n in range(8)}
    assert leftovers(tmp_path) == []


def test_a_file_in_the_way_is_not_deleted(tmp_path):
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match="is a file, not a folder"):
        fill(tmp_path / "f", b"x")
    with pytest.raises(ArtifactError, match="cannot be made"):
        fill(tmp_path / "f" / "g", b"x")
    assert (tmp_path / "f").read_bytes() == b"mine"


def test_an_error_in_the_block_leaves_the_old_folder(tmp_path):
    fill(tmp_path / "f", b"old")

    def stopped() -> None:
        with disk.new_folder(tmp_path / "f") as folder:
            disk.write_file(folder / "a", b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert contents(tmp_path / "f")["a"] == b"old"
    assert leftovers(tmp_path) == []


def test_read_file_names_what_cannot_be_read(tmp_path):
    for path, message in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ArtifactError, match=message) as caught:
            disk.read_file(path)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="Permission denied"):
        disk.write_file(tmp_path / "f", b"x")
