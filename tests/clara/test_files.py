"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from clara.errors import CannotWrite, OutsideFolder
from clara.files import lock_folder, make_empty_folder, make_folder, path_inside, write_atomically


@pytest.mark.parametrize("data, stored", [(b"\x00\xff", b"\x00\xff"), ("Dvořák\n", "Dvořák\n".encode())])
def test_written_whole_over_what_was_there(tmp_path, data, stored):
    path = tmp_path / "piece.txt"
    path.write_text("an older and longer text")
    write_atomically(path, data)
    assert path.read_bytes() == stored
    assert os.listdir(tmp_path) == ["piece.txt"]


def test_a_failure_on_the_way_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    def full_disk(self, data):
        with open(self, "wb") as f:
            f.write(data[:2])
        raise OSError(28, "No space left on device")

    path = tmp_path / "piece.txt"
    write_atomically(path, "old")
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(CannotWrite, match=r"piece\.txt: cannot be written \(No space left on device\)"):
        write_atomically(path, "new text")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["piece.txt"]


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path, monkeypatch):
    path, seen = tmp_path / "piece.txt", []
    write_atomically(path, "old")
    real = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda part, to: (seen.append((part.read_text(), path.read_text())), real(part, to))[1]
    )
    write_atomically(path, "new")
    assert seen == [("new", "old")] and path.read_text() == "new"


@pytest.mark.parametrize("where", ["no folder/piece.txt", "file/piece.txt", "folder", "x" * 300])
def test_where_nothing_can_be_written(tmp_path, where):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotWrite, match=where[:20]):
        write_atomically(tmp_path / where, "text")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_make_folder_with_its_parents_and_again(tmp_path):
    path = tmp_path / "a/b/c"
    assert make_folder(str(path)) == path and path.is_dir()
    assert make_folder(path) == path


@pytest.mark.parametrize("where", ["file", "file/inside"])
def test_make_folder_where_a_file_stands(tmp_path, where):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CannotWrite, match="cannot be made"):
        make_folder(tmp_path / where)


def test_make_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # chmod does not stop root
    with pytest.raises(CannotWrite, match="no permission"):
        make_folder(tmp_path)


def test_a_new_folder_holds_nothing_yet(tmp_path):
    assert make_empty_folder(tmp_path / "a/b") == tmp_path / "a/b" == make_empty_folder(tmp_path / "a/b")
    with pytest.raises(CannotWrite, match="a: not empty; nothing is overwritten"):
        make_empty_folder(tmp_path / "a")


OUTSIDE = ["../outside.txt", "a/../../outside.txt", "/etc/passwd", "..", "", ".", "a\0b", "link/secret.txt"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leaves_its_folder_is_refused(tmp_path, name):
    folder = make_folder(tmp_path / "folder")
    (folder / "link").symlink_to(make_folder(tmp_path / "elsewhere"))
    with pytest.raises(OutsideFolder, match="folder"):
        path_inside(folder, name)


@pytest.mark.parametrize("name", ["piece.txt", "bach/piece.txt", "a..b/..c", "not there yet/x"])
def test_a_name_inside_its_folder(tmp_path, name):
    assert path_inside(tmp_path, name) == tmp_path / name


def test_a_folder_that_is_itself_a_link(tmp_path):
    (tmp_path / "link").symlink_to(make_folder(tmp_path / "real"))
    assert path_inside(tmp_path / "link", "piece.txt") == tmp_path / "link/piece.txt"


def test_files_and_their_folder_reach_the_disk_unless_they_need_not(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_atomically(tmp_path / "weights", b"1")
    assert len(synced) == 2
    write_atomically(tmp_path / "text", b"1", durable=False)
    assert len(synced) == 2


def test_a_folder_is_held_by_one_process(tmp_path):
    with lock_folder(tmp_path), pytest.raises(CannotWrite, match="in use by another process"), lock_folder(tmp_path):
        pass
    with lock_folder(tmp_path):
        assert os.listdir(tmp_path) == []
