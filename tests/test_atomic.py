"""Files are written whole or not at all."""

import os

import pytest

from rotdis import atomic


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    atomic.write(path, b"old")

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_what_could_not_be_written_is_named(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError) as caught:
        atomic.write(tmp_path / "file", b"")
    assert caught.value.filename == str(tmp_path / "file") and ".tmp" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 251 + ".obj", "ä" * 127 + "b", ".a", " "])
def test_any_legal_name_can_be_written(tmp_path, name):
    atomic.write(tmp_path / name, b"content")
    assert (tmp_path / name).read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_what_is_not_yet_whole_has_a_name_of_its_own_in_the_same_folder(tmp_path, monkeypatch):
    temporary, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: temporary.append(a) or replace(a, b))
    for process in (1, 2):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        for name in ("a", "b"):
            atomic.write(tmp_path / name, b"")
    assert len(set(temporary)) == 4
    assert {path.parent for path in temporary} == {tmp_path}
