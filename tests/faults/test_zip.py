"""Bad zips and folders: nothing is unpacked, no entry takes too much, and the good ones count."""

import os
import stat
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faults import damage
from tiny_data import data_config, modelnet_files, off_box, write_folder, write_zip

pytest.importorskip("igl")
from rotdis.data import modelnet_files as files_module  # noqa: E402
from rotdis.data.modelnet_files import open_zip  # noqa: E402
from rotdis.data.prepare import format_summary, prepare  # noqa: E402
from rotdis.errors import DataError, RotdisError  # noqa: E402

NASTY = [
    "../../bed/train/evil.off",
    "/bed/train/evil.off",
    "bed/train/../../../../../../tmp/evil.off",
    "C:\\bed\\train\\evil.off",
    "..\\..\\bed\\train\\evil.off",
    "bed/train/link.off",
]


def _add(archive: zipfile.ZipFile, name: str, text: str, mode: int = 0o644) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, text)


def _tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_paths_that_climb_and_links_write_and_read_nothing(tmp_path, record_fault):
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    path = write_zip(folder / "x.zip", modelnet_files())
    with zipfile.ZipFile(path, "a") as archive:
        for name in NASTY[:-1]:
            _add(archive, name, off_box())
        _add(archive, NASTY[-1], "/etc/passwd", stat.S_IFLNK | 0o777)
    before = _tree(tmp_path)
    source = open_zip(path)
    items = [item for items in source.splits.values() for item in items]
    for item in items:
        item.payload.voxels(16, 1)
    assert _tree(tmp_path) == before
    names = {item.source_id for item in items}
    # An absolute path is no harm to who only reads, and its last three parts are an object's.
    assert names == set(modelnet_files()) | {"bed/train/evil.off"}
    assert source.notes["files_passed_over"] == 4 + len(NASTY) - 1 + len(modelnet_files()) - 2
    record_fault("zip: path traversal, absolute paths, links", len(NASTY), "nothing written")


def test_a_bomb_costs_one_object_and_no_memory(tmp_path, record_fault):
    path = write_zip(tmp_path / "x.zip", modelnet_files())
    with zipfile.ZipFile(path, "a") as archive:
        _add(archive, "bed/train/bomb.off", "OFF\n9 9 0\n" + "\n" * 20_000_000)
    good = write_zip(tmp_path / "good.zip", modelnet_files())
    prepare(data_config(good, tmp_path))  # what is imported for it takes memory too
    tracemalloc.start()
    data = prepare(data_config(path, tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    reason = data.info["skipped"].pop("bed/train/bomb.off")
    assert "x.zip: bed/train/bomb.off cannot be read (it unpacks to 20,000,010 bytes" in reason
    assert not data.info["skipped"] and sum(data.info["objects"].values()) == 8
    record_fault("zip: bomb of 20 MB in 20 kB", 1, "that object skipped and listed, not unpacked")


def _patched(path: Path, name: str, field: int, value: int) -> None:
    """Changes four bytes of an entry's record in the central directory."""
    content = bytearray(path.read_bytes())
    start = content.rindex(name.encode()) - 46
    assert content[start : start + 4] == b"PK\x01\x02"
    content[start + field : start + field + 4] = struct.pack("<I", value)
    path.write_bytes(content)


def test_a_name_that_a_terminal_would_obey_is_told_in_one_printable_line(tmp_path):
    path = write_zip(tmp_path / "x.zip", modelnet_files(), prefix="")
    with zipfile.ZipFile(path, "a") as archive:
        _add(archive, "bed/train/a\n\x1b[2Jb.off", "OFF")
    data = prepare(data_config(path, tmp_path))
    ((name, reason),) = data.info["skipped"].items()
    assert name == "bed/train/a\n\x1b[2Jb.off" and reason.isprintable()
    (line,) = [line for line in format_summary(data.info).splitlines() if "bed/train" in line]
    assert line.isprintable() and r"a\n\x1b[2Jb.off" in line


@pytest.mark.parametrize("size", [10, 3_000_000_000])
def test_an_entry_that_lies_about_its_size_is_one_bad_object(tmp_path, size, record_fault):
    path = write_zip(tmp_path / "x.zip", modelnet_files(), prefix="")
    _patched(path, "bed/train/bed_0000.off", 24, size)
    data = prepare(data_config(path, tmp_path))
    assert list(data.info["skipped"]) == ["bed/train/bed_0000.off"]
    assert "x.zip: bed/train/bed_0000.off cannot be read" in str(data.info["skipped"])
    record_fault("zip: an entry's size is a lie", 1, "that object skipped and listed")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_entries_with_one_name_the_one_that_is_read_is_the_one_that_is_checked(
    tmp_path, record_fault
):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "bed/test/a.off", off_box())
        for second, mode in (("a", stat.S_IFLNK | 0o777), ("b", 0o644)):
            _add(archive, f"bed/train/{second}.off", off_box())
            _add(archive, f"bed/train/{second}.off", "\n" * 10_000_000, mode)
    source = open_zip(path)
    assert [item.source_id for item in source.splits["train"]] == ["bed/train/b.off"]
    assert source.notes["files_passed_over"] == 3
    with pytest.raises(DataError, match="over 100 times its"):
        source.splits["train"][0].payload.voxels(16, 1)
    record_fault("zip: two entries of one name", 2, "the last counts, checked; the first counted")


def test_an_encrypted_entry_is_named(tmp_path, record_fault):
    path = write_zip(tmp_path / "x.zip", modelnet_files(), prefix="")
    _patched(path, "bed/train/bed_0001.off", 8, 1 | 8 << 16)
    with pytest.raises(DataError, match="x.zip: bed/train/bed_0001.off is encrypted; unpack"):
        open_zip(path)
    record_fault("zip: an encrypted entry", 1, "DataError that names it")


def _survive(path: Path, count: int, seed: int) -> Counter[str]:
    outcomes = Counter()
    for _, damaged in damage.each(path.read_bytes(), count, seed):
        path.write_bytes(damaged)
        try:
            source = open_zip(path)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        skipped = 0
        for item in (item for items in source.splits.values() for item in items):
            try:
                item.payload.voxels(8, 1)
            except RotdisError as error:
                assert "\n" not in str(error)
                skipped += 1
        outcomes["objects skipped" if skipped else "all read"] += 1
    return outcomes


def _fuzz(tmp_path: Path, count: int, record_fault) -> None:
    total = Counter()
    for number, method in enumerate(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    ):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, text in modelnet_files(1).items():
                archive.writestr(name, text)
        total.update(_survive(path, count, seed=number))
    assert total.total() == 4 * count
    assert total["refused"] >= 4 * (count // 3) and total["objects skipped"] > count // 2
    said = ", ".join(f"{number:,} {what}" for what, number in total.items())
    record_fault("zip: bits, bytes and ends, 4 ways of compression", 4 * count, said)


def test_no_damage_of_a_zip_is_answered_by_a_traceback(tmp_path, record_fault):
    _fuzz(tmp_path, 21, record_fault)


@pytest.mark.slow
def test_no_damage_of_a_zip_is_answered_by_a_traceback_at_length(tmp_path, record_fault):
    _fuzz(tmp_path, 3000, record_fault)


def test_a_folder_with_bad_files_is_prepared_without_them(tmp_path, record_fault):
    box, good = off_box(), modelnet_files()
    bad = {
        "cut.off": box[:40],
        "nan.off": box.replace("1.0", "nan"),
        "range.off": box.replace("4 0 1 3 2", "4 0 1 3 9"),
        "claims.off": box.replace("8 6 0", "80000000 60000000 0"),
        "empty.off": "",
        "faceless.off": box.replace("8 6 0", "8 0 0"),
        "point.off": box.replace("1.0", "0").replace("2.0", "0").replace("3.0", "0"),
    }
    folder = write_folder(
        tmp_path / "m", good | {f"bed/train/{name}": text for name, text in bad.items()}
    )
    (folder / "bed/train/junk.off").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "bed/train/lost.off").symlink_to(tmp_path / "nowhere.off")
    (folder / "bed/train/folder.off").mkdir()
    os.mkfifo(folder / "bed/train/pipe.off")  # whoever opens it waits for ever
    data = prepare(data_config(folder, tmp_path))
    assert set(data.info["skipped"]) == {f"bed/train/{name}" for name in [*bad, "junk.off"]}
    for name, reason in data.info["skipped"].items():
        assert reason.startswith(name.rsplit("/")[-1] + ": "), reason
    prepared = {*data.train.source_id, *data.validation.source_id, *data.test.source_id}
    assert prepared == set(good)
    record_fault("prepare: a folder with bad files", len(bad) + 4, "the rest done, these listed")


@pytest.mark.parametrize("accident", ["another file", "one bit", "cut short"])
def test_what_a_download_brings_is_kept_only_if_its_hash_is_right(
    tmp_path, monkeypatch, accident, record_fault
):
    whole = write_zip(tmp_path / "x.zip", modelnet_files()).read_bytes()
    random = np.random.default_rng(0)
    came = {
        "another file": write_zip(tmp_path / "y.zip", modelnet_files(1)).read_bytes(),
        "one bit": damage.flipped(whole, random),
        "cut short": whole[:-1],
    }[accident]
    digest = files_module.hashlib.sha256(whole).hexdigest()
    monkeypatch.setitem(files_module.SHA256, "modelnet10", digest)
    (tmp_path / "served.zip").write_bytes(came)
    monkeypatch.setitem(files_module.URLS, "modelnet10", (tmp_path / "served.zip").as_uri())
    config = data_config("", tmp_path / "data")
    with pytest.raises(DataError, match="served.zip: the download failed.*SHA-256.*put it at"):
        prepare(config)
    left = [path.name for path in _tree(tmp_path / "data") if path.is_file()]
    assert left == ["lock"]
    (tmp_path / "served.zip").write_bytes(whole)
    assert sum(prepare(config).info["objects"].values()) == 8
    record_fault("download: another file, a flipped bit, cut short", 1, "refused, nothing is kept")


def test_the_pins_are_hashes_of_both_archives():
    assert files_module.SHA256.keys() == files_module.URLS.keys()
    for digest in files_module.SHA256.values():
        assert len(bytes.fromhex(digest)) == 32
