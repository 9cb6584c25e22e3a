"""Bad NumPy archives: pickles are never loaded, claims are not believed, every flipped bit is told.

Of the archives that users bring, of the store of prepared voxels, and of its unfinished chunks.
"""

import io
import json
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import ml_collections
import numpy as np
import pytest
from faults import damage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny_data import data_config, write_npz

from rotdis import npz
from rotdis.data import chunks
from rotdis.data.prepare import PreparedData, prepare
from rotdis.data.sources import open_source
from rotdis.data.voxnet_npz import open_npz
from rotdis.errors import DataError


class _Trap:
    """An object that leaves a trace when it is unpickled."""

    def __init__(self, trace: Path):
        self._trace = trace

    def __reduce__(self):
        return Path.touch, (self._trace,)


@pytest.mark.parametrize("dtype", ["O", [("grid", "u1"), ("extra", "O")]], ids=["O", "record"])
def test_pickles_are_never_loaded(tmp_path, dtype, record_fault):
    trap = np.empty(2, dtype)
    trap["extra" if trap.dtype.names else ...] = _Trap(tmp_path / "trace")
    for name in ("X_train", "y_train"):
        path = write_npz(tmp_path / "trap.npz", **{name: trap})
        with pytest.raises(DataError, match=f"trap.npz: .*{name} holds Python objects"):
            open_npz(path)
    (tmp_path / "trap.npz").write_bytes(trap[:1].dumps())
    with pytest.raises(DataError, match="trap.npz: cannot be read as a .npz"):
        open_npz(path)
    assert not (tmp_path / "trace").exists()
    trap.dumps() and np.load(io.BytesIO(_npy(trap)), allow_pickle=True)  # the trap would snap
    assert (tmp_path / "trace").exists()
    record_fault("npz: arrays of objects, pickles", 3, "DataError, nothing unpickled")


def _npy(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """Returns an array as a .npy file, whose header may state another shape."""
    stream = io.BytesIO()
    if shape is None:
        np.save(stream, array)
    else:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.tobytes())
    return stream.getvalue()


def _archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


CLAIMS = {
    "more than memory": (10**9, 100, 100, 100),
    "more than is there": (10**4, 30, 30, 30),
    "less than is there": (1, 4, 4, 4),
    "negative": (-4, 4, 4, 4),
    "absurd": (2**62, 2**62),
}


def test_a_header_is_not_believed(tmp_path, record_fault):
    grids, labels = np.ones((4, 4, 4, 4), np.uint8), _npy(np.zeros(4, int))
    for kind, shape in CLAIMS.items():
        path = _archive(tmp_path / "lie.npz", X_train=_npy(grids, shape), y_train=labels,
                        X_test=_npy(grids), y_test=labels)  # fmt: skip
        tracemalloc.start()
        with pytest.raises(DataError, match="lie.npz: cannot be read as a .npz archive"):
            open_npz(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5e6, kind
    record_fault("npz: a header's shape is a lie", len(CLAIMS), "DataError, no memory taken")


def test_sizes_in_the_zips_directory_are_not_believed(tmp_path, monkeypatch, record_fault):
    path = write_npz(tmp_path / "vast.npz")
    whole = path.read_bytes()
    start = whole.rindex(b"X_test.npy") - 46
    # From Python 3.11.8 on, zipfile sees by itself that an entry would reach into another.
    too_long = "by its header|Overlapped entries"
    for compressed, message in ((100, "than its content can"), (2**32 - 2, too_long)):
        content = bytearray(whole)
        content[start + 20 : start + 28] = struct.pack("<II", compressed, 2**32 - 2)
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"vast.npz: .*({message})"):
            open_npz(path)
    path.write_bytes(whole)
    monkeypatch.setattr(npz.os, "sysconf", lambda name: 100)  # a machine of 10 kB
    with pytest.raises(DataError, match="vast.npz: .*this machine's memory"):
        open_npz(path)
    record_fault("npz: more than memory, or said to be", 3, "DataError, not unpacked")


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_arrays_of_any_type_and_shape(tmp_path_factory, data):
    """By itself too: what numpy writes is read back as it was, or refused."""
    path = tmp_path_factory.getbasetemp() / "any.npz"
    types = st.one_of(
        arrays.scalar_dtypes(), arrays.array_dtypes(), arrays.unicode_string_dtypes(max_len=3)
    )
    shapes = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)
    names = ("X_train", "y_train", "X_test", "y_test")
    drawn = {name: data.draw(arrays.arrays(types.filter(lambda t: t.itemsize), shapes))
             for name in data.draw(st.sets(st.sampled_from(names)))}  # fmt: skip
    write_npz(path, 2, 2, **drawn)
    try:
        found = npz.read(path, drawn)
    except npz.NpzError as error:  # field names that are not ASCII
        assert "a format of .npy that is not read, (3, 0)" in str(error)
        found = {}
    for name, array in found.items():
        assert array.dtype == drawn[name].dtype and array.shape == drawn[name].shape
        assert array.tobytes() == drawn[name].tobytes()
    try:
        for item in open_npz(path).splits["train"]:
            assert item.class_name
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def _fuzz(tmp_path: Path, count: int, record_fault) -> None:
    path, outcomes = write_npz(tmp_path / "grids.npz"), Counter()
    whole = path.read_bytes()
    expected = npz.read(path)
    for kind, damaged in damage.each(whole, count):
        path.write_bytes(damaged)
        try:
            open_npz(path)
            # What can change unnoticed is not of the arrays: times, permissions, names of others.
            for name, array in npz.read(path, expected).items():
                assert np.array_equal(array, expected[name]), kind
            outcomes["arrays as they were"] += 1
        except DataError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            outcomes["DataErrors"] += 1
    assert outcomes["DataErrors"] > 0.75 * count
    said = ", ".join(f"{number:,} {what}" for what, number in outcomes.items())
    record_fault("npz: bits, bytes and ends", count, said)


def test_no_damage_of_an_archive_goes_unnoticed(tmp_path, record_fault):
    _fuzz(tmp_path, 100, record_fault)


@pytest.mark.slow
def test_no_damage_of_an_archive_goes_unnoticed_at_length(tmp_path, record_fault):
    _fuzz(tmp_path, 5000, record_fault)


def _same(one: PreparedData, other: PreparedData) -> None:
    for split in ("train", "validation", "test"):
        first, second = getattr(one, split), getattr(other, split)
        assert np.array_equal(first.packed, second.packed)
        assert np.array_equal(first.label, second.label)
        assert first.source_id == second.source_id and first.class_names == second.class_names


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tuple[ml_collections.ConfigDict, PreparedData]:
    folder = tmp_path_factory.mktemp("store")
    config = data_config(write_npz(folder / "grids.npz"), folder)
    return config, prepare(config)


def _damage_store(store, count: int, record_fault) -> None:
    config, prepared = store
    outcomes = Counter()
    for name in ("train.npz", "validation.npz", "test.npz", "info.json"):
        path = prepared.directory / name
        whole = path.read_bytes()
        try:
            for kind, damaged in damage.each(whole, count):
                path.write_bytes(damaged)
                try:
                    _same(prepare(config), prepared)
                    assert name == "info.json", kind
                    outcomes["the same data"] += 1
                except DataError as error:
                    assert f"{path}: the prepared data are damaged" in str(error)
                    assert "delete" in str(error) and "\n" not in str(error)
                    outcomes["named by DataError"] += 1
        finally:
            path.write_bytes(whole)
    assert outcomes["named by DataError"] > 0.98 * outcomes.total()
    said = ", ".join(f"{number:,} {what}" for what, number in outcomes.items())
    record_fault("prepared voxels: bits, bytes and ends of any file", outcomes.total(), said)


def test_damage_of_the_prepared_store_is_named(store, record_fault):
    _damage_store(store, 30, record_fault)


@pytest.mark.slow
def test_damage_of_the_prepared_store_is_named_at_length(store, record_fault):
    _damage_store(store, 2000, record_fault)


def _damage_chunks(tmp_path: Path, count: int, record_fault) -> None:
    config = data_config(write_npz(tmp_path / "grids.npz", 6, 2), tmp_path)
    items = open_source(config).splits["train"]
    (expected,) = chunks.voxelize_all(items, config, tmp_path / "chunks")
    (path,) = (tmp_path / "chunks").iterdir()
    whole, redone = path.read_bytes(), 0
    for kind, damaged in damage.each(whole, count):
        path.write_bytes(damaged)
        (found,) = chunks.voxelize_all(items, config, tmp_path / "chunks")
        assert np.array_equal(found.packed, expected.packed), kind
        assert (found.kept, found.skipped) == (expected.kept, expected.skipped), kind
        redone += path.read_bytes() == whole
    assert redone > 0.75 * count
    said = f"{redone:,} made anew, {count - redone:,} of no consequence"
    record_fault("unfinished preparation: bits, bytes and ends of a chunk", count, said)


def test_a_damaged_chunk_is_made_anew(tmp_path, record_fault, capsys):
    _damage_chunks(tmp_path, 60, record_fault)


@pytest.mark.slow
def test_a_damaged_chunk_is_made_anew_at_length(tmp_path, record_fault, capsys):
    _damage_chunks(tmp_path, 2000, record_fault)


@pytest.mark.parametrize(
    "info", ["[]", "null", "{}", '{"files": []}', '{"files": {"train": 3}}', "[" * 100_000]
)
def test_notes_of_another_form_are_damaged_ones(store, info):
    config, prepared = store
    path = prepared.directory / "info.json"
    whole = path.read_bytes()
    try:
        path.write_text(info)
        with pytest.raises(DataError, match="the prepared data are damaged.*delete"):
            prepare(config)
    finally:
        path.write_bytes(whole)
    # Data that were prepared before there was a checksum are read as before.
    old = {key: value for key, value in json.loads(whole).items() if key != "checksum"}
    path.write_text(json.dumps(old))
    _same(prepare(config), prepared)
    path.write_bytes(whole)
