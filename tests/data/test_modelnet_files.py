"""Laws of ModelNet's files: the zip, the folder and the download, and their accidents."""

import errno
import hashlib
import http.client
import io
import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
from tiny_data import (
    data_config,
    modelnet_files,
    off_box,
    write_folder,
    write_npz,
    write_zip,
)

from rotdis.data import modelnet_files as files_module
from rotdis.data.modelnet_files import open_folder, open_zip
from rotdis.data.prepare import prepare
from rotdis.errors import DataError, RotdisError


def _grids(source):
    return {
        item.source_id: item.payload.voxels(16, 1)[0]
        for items in source.splits.values()
        for item in items
    }


def test_a_zip_and_its_folder_hold_the_same_objects(tmp_path):
    files = modelnet_files()
    zipped = open_zip(write_zip(tmp_path / "ModelNet10.zip", files))
    folder = open_folder(write_folder(tmp_path / "ModelNet10", files))
    assert zipped.class_names == folder.class_names == ("bed", "chair")
    first, second = _grids(zipped), _grids(folder)
    assert set(first) == set(second) == set(files)  # so nothing of __MACOSX
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_folder_above_is_found_too(tmp_path):
    write_folder(tmp_path / "above" / "ModelNet10", modelnet_files())
    assert open_folder(tmp_path / "above").class_names == ("bed", "chair")


def test_nothing_is_unpacked_from_an_archive_that_climbs(tmp_path):
    files = modelnet_files() | {"../../bed/train/evil.off": off_box()}
    path = write_zip(tmp_path / "x.zip", files)
    before = sorted(tmp_path.rglob("*"))
    source = open_zip(path)
    assert "bed/train/evil.off" not in _grids(source)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_meshes_are_skipped_counted_and_listed(tmp_path):
    files = modelnet_files() | {
        "bed/train/bed_0007.off": "not a mesh",
        "bed/train/bed_0008.off": "",
        "bed/train/bed_0009.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n",
        "bed/test/bed_0010.off": off_box(header="OFF"),  # ModelNet40's well-known fused header
    }
    data = prepare(data_config(write_zip(tmp_path / "ModelNet10.zip", files), tmp_path))
    assert set(data.info["skipped"]) == {f"bed/train/bed_000{i}.off" for i in (7, 8, 9)}
    assert "bed/test/bed_0010.off" in data.test.source_id
    assert data.info["objects"]["test"] == 5


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_disk_that_fails_is_not_called_a_bad_mesh(tmp_path, monkeypatch, kind):
    """What failed for once would be missing for ever: the data are not prepared a second time."""
    write = write_zip if kind == "zip" else write_folder
    config = data_config(write(tmp_path / f"ModelNet10.{kind}", modelnet_files()), tmp_path)
    config.workers = 1

    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(*((zipfile.ZipFile, "read") if kind == "zip" else (Path, "read_bytes")), fail)
        with pytest.raises(
            DataError, match=r"bed/train.*cannot be read \(Input/output error\); what"
        ):
            prepare(config)
    data = prepare(config)
    assert not data.info["skipped"] and sum(data.info["objects"].values()) == len(modelnet_files())


def test_a_zips_directory_is_read_once(tmp_path, monkeypatch):
    source = open_zip(write_zip(tmp_path / "ModelNet10.zip", modelnet_files()))
    opened = []
    original = zipfile.ZipFile
    monkeypatch.setattr(
        files_module.zipfile, "ZipFile", lambda path: opened.append(path) or original(path)
    )
    files_module._opened.cache_clear()
    assert len(_grids(source)) > 5
    assert len(opened) == 1


def test_a_source_without_any_usable_object_is_an_error(tmp_path):
    files = {name: "not a mesh" for name in modelnet_files()}
    with pytest.raises(DataError, match="no usable object"):
        prepare(data_config(write_folder(tmp_path / "bad", files), tmp_path))


def test_a_folder_or_zip_of_another_layout_is_refused(tmp_path):
    folder = write_folder(tmp_path / "flat", {"bed_0001.off": off_box()})
    with pytest.raises(DataError, match="CLASS/train"):
        open_folder(folder)
    with pytest.raises(DataError, match="CLASS/train"):
        open_zip(write_zip(tmp_path / "flat.zip", {"bed/bed_0001.off": off_box()}))


def test_a_truncated_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "ModelNet10.zip", modelnet_files())
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="not a complete zip"):
        open_zip(path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_zip_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, code):
    def refuse(path):
        raise OSError(code, os.strerror(code), str(path))

    path = write_zip(tmp_path / "ModelNet10.zip", modelnet_files())
    monkeypatch.setattr(files_module.zipfile, "ZipFile", refuse)
    with pytest.raises(DataError) as caught:
        open_zip(path)
    assert str(caught.value) == f"{path}: cannot be read ({os.strerror(code)})"


def test_an_offset_before_a_zips_begin_is_damage(tmp_path, monkeypatch):
    def seek(path):
        with open(path, "rb") as file:
            file.seek(-1)

    path = write_zip(tmp_path / "ModelNet10.zip", modelnet_files())
    monkeypatch.setattr(files_module.zipfile, "ZipFile", seek)
    with pytest.raises(DataError, match="not a complete zip.*delete it"):
        open_zip(path)


def _folder_in_latin_1(folder):
    """Writes a small ModelNet in which no name but those of the splits is UTF-8."""
    root = os.fsencode(folder) + b"/M\xf6bel"
    for name in (b"B\xe4nke", b"St\xfchle"):
        for split in (b"train", b"test"):
            os.makedirs(b"/".join((root, name, split)))
            for index in range(2):
                with open(b"/".join((root, name, split, b"\xe4%d.off" % index)), "w") as file:
                    file.write(off_box((1, 2 + index, 3 + len(name))))
    return os.fsdecode(root)


def test_names_that_are_not_utf8_are_kept_in_a_printable_form(tmp_path):
    config = data_config(_folder_in_latin_1(tmp_path), tmp_path, validation_fraction=0.3)
    for data in (prepare(config), prepare(config)):
        assert data.train.class_names == (r"B\udce4nke", r"St\udcfchle")
        names = {*data.train.source_id, *data.validation.source_id}
        assert names == {
            rf"{name}/train/\udce4{index}.off"
            for name in data.train.class_names
            for index in (0, 1)
        }
        assert str(data.directory).isprintable()


def test_shards_hold_names_that_are_not_utf8(tmp_path):
    pytest.importorskip("tensorflow")
    tfds = pytest.importorskip("tensorflow_datasets")
    from rotdis.data import modelnet

    data = prepare(data_config(_folder_in_latin_1(tmp_path), tmp_path, validation_fraction=0.0))
    builder = tfds.builder_from_directory(str(modelnet.write_shards(data)))
    rows = list(tfds.as_numpy(builder.as_dataset(split="train")))
    assert {row["source_id"].decode() for row in rows} == set(data.train.source_id)
    assert {row["class_name"].decode() for row in rows} == set(data.train.class_names)
    assert tuple(builder.info.features["label"].names) == data.train.class_names


def test_an_encrypted_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "ModelNet10.zip", modelnet_files())
    data = bytearray(path.read_bytes())
    start = 0
    while (start := data.find(b"PK\x01\x02", start)) >= 0:  # the flags of the central directory
        data[start + 8] |= 1
        start += 4
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        open_zip(path)


def test_one_damaged_entry_costs_one_object(tmp_path):
    path = tmp_path / "ModelNet10.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, text in modelnet_files().items():
            archive.writestr(f"ModelNet10/{name}", text)
    data = path.read_bytes()
    broken = data.index(b"OFF\n8 6 0")
    path.write_bytes(data[:broken] + b"XXX" + data[broken + 3 :])
    prepared = prepare(data_config(path, tmp_path))
    assert list(prepared.info["skipped"]) == ["bed/train/bed_0000.off"]


def test_no_damage_of_a_zip_is_answered_by_a_traceback(tmp_path):
    path, random = write_zip(tmp_path / "x.zip", modelnet_files()), np.random.default_rng(0)
    whole = path.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(len(data), size=3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        try:
            items = [item for items in open_zip(path).splits.values() for item in items]
        except DataError:
            continue
        for item in items:
            try:
                item.payload.voxels(16, 1)
            except RotdisError:
                pass


def test_a_macs_leftovers_in_a_folder_are_no_meshes(tmp_path):
    files = modelnet_files() | {"bed/train/._bed_0000.off": "Mac OS X", "bed/train/.DS_Store": "x"}
    assert set(_grids(open_folder(write_folder(tmp_path / "m", files)))) == set(modelnet_files())


def test_an_edited_mesh_of_the_same_length_is_noticed(tmp_path):
    folder = write_folder(tmp_path / "m", modelnet_files())
    before = open_folder(folder).identity
    path = folder / "bed/train/bed_0000.off"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert open_folder(folder).identity != before


class _Response(io.BytesIO):
    def __init__(self, data: bytes, announced: int):
        super().__init__(data)
        self.headers = Message()
        self.headers["Content-Length"] = str(announced)


def _serve(monkeypatch, data, announced=None):
    calls = []

    def urlopen(url, timeout):
        calls.append(url)
        if isinstance(data, Exception):
            raise data
        return _Response(data, len(data) if announced is None else announced)

    monkeypatch.setattr(files_module.urllib.request, "urlopen", urlopen)
    return calls


def test_a_download_is_kept_and_not_fetched_again(monkeypatch, tmp_path):
    data = write_zip(tmp_path / "x.zip", modelnet_files()).read_bytes()
    monkeypatch.setitem(files_module.SHA256, "modelnet10", hashlib.sha256(data).hexdigest())
    calls = _serve(monkeypatch, data)
    config = data_config("", tmp_path / "prepared")
    target = files_module.download(config)
    assert target.read_bytes() == data and target.name == "ModelNet10.zip"
    assert files_module.download(config) == target and len(calls) == 1
    assert {path.name for path in target.parent.iterdir()} == {"ModelNet10.zip", "lock"}


def test_processes_that_start_together_download_once(monkeypatch, tmp_path):
    """Two that wrote into one file once left holes in it, of which no check knew."""
    data = write_zip(tmp_path / "x.zip", modelnet_files()).read_bytes()
    monkeypatch.setitem(files_module.SHA256, "modelnet10", hashlib.sha256(data).hexdigest())
    calls = _serve(monkeypatch, data)
    read = _Response.read

    def slowly(self, size):
        time.sleep(0.3)
        return read(self, size)

    monkeypatch.setattr(_Response, "read", slowly)
    config = data_config("", tmp_path / "prepared")
    with ThreadPoolExecutor(3) as pool:
        targets = list(pool.map(files_module.download, [config] * 3))
    assert {target.read_bytes() for target in targets} == {data} and len(calls) == 1


@pytest.mark.parametrize(
    "accident", ["unreachable", "cut off", "a web page", "broken off", "another file"]
)
def test_a_failed_download_says_what_to_put_where(monkeypatch, tmp_path, accident):
    data = write_zip(tmp_path / "x.zip", modelnet_files()).read_bytes()
    served = {
        "unreachable": (OSError("no route to host"),),
        "cut off": (data[:100], len(data)),
        "a web page": (b"<html>moved</html>",),
        "broken off": (http.client.IncompleteRead(b"", 10),),
        "another file": (data,),  # whose SHA-256 is not the one pinned
    }[accident]
    _serve(monkeypatch, *served)
    folder = tmp_path / "prepared" / "downloads"
    with pytest.raises(DataError, match="ModelNet10.zip.*put it at") as caught:
        files_module.download(data_config("", tmp_path / "prepared"))
    assert str(folder / "ModelNet10.zip") in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_zip_put_there_by_hand_needs_no_network(monkeypatch, tmp_path):
    calls = _serve(monkeypatch, OSError("no network"))
    folder = tmp_path / "prepared" / "downloads"
    folder.mkdir(parents=True)
    write_zip(folder / "ModelNet10.zip", modelnet_files())
    data = prepare(data_config("", tmp_path / "prepared", validation_fraction=0.0))
    assert len(data.train) == 4 and len(data.test) == 4 and not calls


def test_a_npz_that_is_called_zip_is_refused(tmp_path):
    path = write_npz(tmp_path / "grids.npz").rename(tmp_path / "grids.zip")
    with pytest.raises(DataError, match="no meshes laid out"):
        open_zip(path)
