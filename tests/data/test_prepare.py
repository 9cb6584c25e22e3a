"""Laws of preparation: the same source gives the same data, whatever interrupts it or shares it."""

import ctypes
import errno
import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from tiny_data import data_config, modelnet_files, write_folder, write_npz

from rotdis import worker_pool
from rotdis.data import alone, chunks, sources, voxelset
from rotdis.data import prepare as prepare_module
from rotdis.data.normalize import normalize_grid
from rotdis.data.prepare import format_summary, prepare
from rotdis.errors import DataError

SPLITS = ("train", "validation", "test")


def _same(first, second):
    for split in SPLITS:
        a, b = getattr(first, split), getattr(second, split)
        assert np.array_equal(a.packed, b.packed) and np.array_equal(a.label, b.label)
        assert a.source_id == b.source_id


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "_SIZE", 4)


@pytest.mark.parametrize("partial", [False, True])
def test_every_object_is_the_sources_normalized(tmp_path, partial):
    path = write_npz(tmp_path / "grids.npz")
    data = prepare(data_config(path, tmp_path, partial=partial))
    with np.load(path) as arrays:
        for split in SPLITS:
            chosen = getattr(data, split)
            for row, source_id in enumerate(chosen.source_id):
                origin, index = source_id.split("/")
                wanted = normalize_grid(arrays[f"X_{origin}"][int(index)], 16)
                packed = voxelset.pack(wanted[None], partial)[0]
                assert np.array_equal(chosen.packed[row], packed)
                assert chosen.label[row] == arrays[f"y_{origin}"][int(index)]


def test_a_second_call_reads_what_the_first_wrote(tmp_path, monkeypatch):
    config = data_config(write_npz(tmp_path / "grids.npz"), tmp_path)
    first = prepare(config)
    monkeypatch.setattr(prepare_module, "_prepare", None)  # calling it would fail
    _same(first, prepare(config))


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_validation_comes_from_the_training_split_alone(tmp_path, fraction):
    path = write_npz(tmp_path / "grids.npz", num_train=40)
    data = prepare(data_config(path, tmp_path, validation_fraction=fraction))
    both = set(data.train.source_id) | set(data.validation.source_id)
    assert both == {f"train/{row:05d}" for row in range(40)}
    assert len(data.train) + len(data.validation) == 40 and len(data.test) == 4
    assert (len(data.validation) > 0) == (fraction > 0)


def test_an_object_stays_in_validation_when_others_come(tmp_path):
    held = [
        set(
            prepare(
                data_config(
                    write_npz(tmp_path / f"{count}.npz", num_train=count),
                    tmp_path,
                    validation_fraction=0.3,
                )
            ).validation.source_id
        )
        for count in (20, 40)
    ]
    assert held[0] == {name for name in held[1] if name < "train/00020"}


def test_a_killed_preparation_goes_on_where_it_stood(tmp_path, monkeypatch, small_chunks):
    path = write_npz(tmp_path / "grids.npz")
    expected = prepare(data_config(path, tmp_path / "whole"))
    config = data_config(path, tmp_path / "killed")
    process, done = chunks._process_chunk, []

    def dies_in_the_third(start, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(start)
        return process(start, *rest)

    monkeypatch.setattr(chunks, "_process_chunk", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(config)
    again = []
    monkeypatch.setattr(
        chunks,
        "_process_chunk",
        lambda start, *rest: again.append(start) or process(start, *rest),
    )
    _same(expected, prepare(config))
    assert sorted(done + again) == [0, 4, 8, 12] and len(done) == 2
    assert not list((tmp_path / "killed").rglob("chunks"))


@pytest.mark.parametrize("left", [b"", b"PK torn"])
def test_a_torn_chunk_is_made_again(tmp_path, monkeypatch, small_chunks, left):
    path = write_npz(tmp_path / "grids.npz")
    expected = prepare(data_config(path, tmp_path / "whole"))
    chunks = tmp_path / "torn" / expected.directory.name / "chunks"
    chunks.mkdir(parents=True)
    (chunks / "0000004.npz").write_bytes(left)
    _same(expected, prepare(data_config(path, tmp_path / "torn")))


def test_a_killed_worker_is_explained(tmp_path, monkeypatch, small_chunks):
    def broken(self, *arguments):
        future = Future()
        future.set_exception(BrokenProcessPool("killed"))
        return future

    monkeypatch.setattr(worker_pool.ProcessPoolExecutor, "submit", broken)
    with pytest.raises(DataError, match="killed.*workers=1"):
        prepare(data_config(write_npz(tmp_path / "grids.npz"), tmp_path, workers=2))


def test_workers_of_a_stopped_preparation_end_by_themselves(tmp_path):
    """One that was killed might leave half of a result, for whose rest its pool waits for ever."""
    config = data_config("furniture", tmp_path, num_train=2000, num_test=10, workers=2)
    items = sources.open_source(config).splits["train"]
    results = chunks._process(items, range(0, len(items), chunks._SIZE), config)
    next(results)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    results.close()  # as an exception does
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_a_worker_that_is_to_stop_begins_no_other_object(tmp_path, monkeypatch):
    items = sources.open_source(data_config("furniture", tmp_path, num_train=20)).splits["train"]
    monkeypatch.setattr(worker_pool, "_stopping", ctypes.c_byte(1))
    _, chunk = chunks._process_chunk(0, items, 16, 1, False)
    assert not chunk.kept and not chunk.skipped


def test_processes_that_start_together_prepare_once(tmp_path, monkeypatch, small_chunks):
    config = data_config(write_npz(tmp_path / "grids.npz"), tmp_path)
    process, made = chunks._process_chunk, []

    def slow(start, *rest):
        made.append(start)
        time.sleep(0.05)
        return process(start, *rest)

    monkeypatch.setattr(chunks, "_process_chunk", slow)
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(prepare, [config] * 3)
    assert sorted(made) == [0, 4, 8, 12]
    for other in others:
        _same(first, other)


def test_worker_processes_give_what_one_gives(tmp_path, small_chunks):
    source = write_folder(tmp_path / "meshes", modelnet_files())
    _same(
        prepare(data_config(source, tmp_path / "one", workers=1)),
        prepare(data_config(source, tmp_path / "two", workers=2)),
    )


def test_samples_along_a_voxels_side_are_taken_and_other_numbers_of_them_are_other_data(tmp_path):
    options = {"num_train": 4, "num_test": 2, "validation_fraction": 0.0, "partial": True}
    config = data_config("furniture", tmp_path, supersample=2, **options)
    prepared = prepare(config)
    items = {item.source_id: item for item in sources.open_source(config).splits["train"]}
    assert len(prepared.train) == 4
    for voxels, name in zip(
        prepared.train.voxels(slice(None)), prepared.train.source_id, strict=True
    ):
        fine, coarse = (items[name].payload.voxels(16, samples)[0] for samples in (2, 1))
        assert np.abs(voxels - fine).max() <= 0.5 / 255 + 1e-6
        assert np.abs(voxels - coarse).max() > 0.1
    for change in ({"supersample": 3}, {"seed": 1}, {"num_train": 3}):
        other = prepare(
            data_config("furniture", tmp_path, **{"supersample": 2, **options, **change})
        )
        assert other.directory != prepared.directory


@pytest.mark.parametrize(
    "change",
    [
        {"resolution": 32},
        {"partial": True},
        {"classes": ("bed", "chair")},
        {"validation_fraction": 0.5},
    ],
)
def test_other_options_make_another_folder(tmp_path, change):
    path = write_npz(tmp_path / "grids.npz")
    first = prepare(data_config(path, tmp_path))
    second = prepare(data_config(path, tmp_path, **change))
    assert first.directory != second.directory
    _same(first, prepare(data_config(path, tmp_path)))  # which left the first alone


def test_a_changed_source_makes_another_folder(tmp_path):
    path = write_npz(tmp_path / "grids.npz")
    first = prepare(data_config(path, tmp_path))
    time.sleep(0.01)
    write_npz(path, num_train=13)
    second = prepare(data_config(path, tmp_path))
    assert first.directory != second.directory
    assert [sum(each.info["objects"].values()) for each in (first, second)] == [16, 17]


def test_whether_the_source_is_aligned_is_not_part_of_the_data(tmp_path):
    path = write_npz(tmp_path / "grids.npz")
    turned = prepare(data_config(path, tmp_path, aligned=False))
    aligned = prepare(data_config(path, tmp_path, aligned=True))
    assert turned.directory == aligned.directory
    assert not turned.train.aligned and aligned.train.aligned


@pytest.mark.parametrize("name", ["train.npz", "validation.npz", "test.npz", "info.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damaged_data_are_named_with_what_to_do(tmp_path, name, damage):
    config = data_config(write_npz(tmp_path / "grids.npz"), tmp_path)
    path = prepare(config).directory / name
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif name == "info.json":  # written last: without it the data are prepared anew
        path.unlink()
        assert len(prepare(config).train)
        return
    else:
        path.unlink()
    with pytest.raises(DataError, match=f"{name}.*damaged.*delete"):
        prepare(config)


def test_the_summary_says_what_was_done(tmp_path, capsys):
    grids = np.zeros((12, 12, 12, 12), np.uint8)
    grids[:10, 2:9, 3:8, 4:7] = 1
    data = prepare(data_config(write_npz(tmp_path / "g.npz", X_train=grids), tmp_path))
    text = format_summary(data.info)
    assert text in capsys.readouterr().out
    assert "skipped: 2" in text and "train/00010" in text and "within_training 9" in text
    assert json.loads((data.directory / "info.json").read_text())["skipped"].keys() == {
        "train/00010",
        "train/00011",
    }


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="config.data.dir"):
        prepare(data_config(write_npz(tmp_path / "grids.npz"), tmp_path / "file"))


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_prepared_on(tmp_path, monkeypatch, code):
    def no_locks(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(alone.fcntl, "flock", no_locks)
    assert len(prepare(data_config(write_npz(tmp_path / "grids.npz"), tmp_path)).test) == 4


def _refuse(monkeypatch, method, name, code):
    """Lets a method of paths fail on files of one name."""
    original = getattr(Path, method)

    def refusing(path, *arguments, **options):
        if path.name == name:
            raise OSError(code, os.strerror(code), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, method, refusing)


def test_a_folder_that_is_there_but_cannot_be_written_is_named(tmp_path, monkeypatch):
    _refuse(monkeypatch, "open", "lock", errno.EROFS)
    with pytest.raises(DataError, match="config.data.dir: .*cannot be written.*Read-only"):
        prepare(data_config(write_npz(tmp_path / "grids.npz"), tmp_path))


@pytest.mark.parametrize("name", ["train.npz", "validation.npz", "test.npz", "info.json"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_data_that_cannot_be_read_are_not_called_damaged(tmp_path, monkeypatch, name, code):
    config = data_config(write_npz(tmp_path / "grids.npz"), tmp_path)
    prepare(config)
    _refuse(monkeypatch, "read_text" if name == "info.json" else "open", name, code)
    reason = rf"{name}: cannot be read \({os.strerror(code)}\); mend"
    with pytest.raises(DataError, match=reason) as caught:
        prepare(config)
    assert "damaged" not in str(caught.value) and "delete" not in str(caught.value)


def test_a_prepared_folder_can_be_moved_with_its_directory(tmp_path):
    path = write_npz(tmp_path / "grids.npz")
    first = prepare(data_config(path, tmp_path / "here"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    _same(first, prepare(data_config(path, tmp_path / "there")))
