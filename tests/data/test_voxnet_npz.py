"""Laws of VoxNet-style archives: what is read, what is counted, and what is refused how."""

import pickle

import numpy as np
import pytest
from tiny_data import box_grids, data_config, write_npz

from rotdis.data.prepare import prepare
from rotdis.data.voxnet_npz import open_npz
from rotdis.errors import DataError


class _Bomb:
    """An object that leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, bool])
def test_all_integer_types_give_the_same_objects(tmp_path, dtype):
    grids = box_grids(16)
    reference = open_npz(write_npz(tmp_path / "reference.npz"))
    path = write_npz(
        tmp_path / "other.npz", X_train=grids[:12].astype(dtype), X_test=grids[12:].astype(dtype)
    )
    for split, items in open_npz(path).splits.items():
        for item, expected in zip(items, reference.splits[split], strict=True):
            assert item.source_id == expected.source_id
            assert item.class_name == expected.class_name
            got, wanted = item.payload.voxels(16, 1)[0], expected.payload.voxels(16, 1)[0]
            assert np.array_equal(got, wanted)


def test_voxnets_minus_one_is_empty_space(tmp_path):
    grids = box_grids(12).astype(np.int32)
    source = open_npz(write_npz(tmp_path / "signed.npz", X_train=grids * 2 - 1))
    reference = open_npz(write_npz(tmp_path / "reference.npz", X_train=grids))
    first = [each.splits["train"][0].payload.voxels(16, 1)[0] for each in (source, reference)]
    assert np.array_equal(*first)


def test_labels_name_modelnet10s_classes_in_alphabetical_order(tmp_path):
    source = open_npz(write_npz(tmp_path / "grids.npz"))
    assert source.class_names == tuple(sorted(source.class_names)) and len(source.class_names) == 10
    assert [item.class_name for item in source.splits["train"][:4]] == [
        "bathtub", "bed", "chair", "bathtub",
    ]  # fmt: skip


def test_an_archive_may_name_its_classes(tmp_path):
    names = np.array(["flange", "bracket", "gear_2"])
    source = open_npz(write_npz(tmp_path / "grids.npz", class_names=names))
    assert source.class_names == tuple(names)
    assert [item.class_name for item in source.splits["train"][:4]] == [
        "flange", "bracket", "gear_2", "flange",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "names, message",
    [
        (["a", "b"], "must hold 3 different names"),
        (["a", "b", "a"], "must hold 3 different names"),
        ([1, 2, 3], "as text"),
        (["a", "b", "c/d"], "unlike 'c/d'"),
        (["a", "b", ""], "unlike ''"),
    ],
)
def test_names_that_cannot_name_the_labels_are_refused(tmp_path, names, message):
    path = write_npz(tmp_path / "grids.npz", class_names=np.array(names))
    with pytest.raises(DataError, match=message):
        open_npz(path)


def test_more_than_ten_labels_are_classes_by_number(tmp_path):
    source = open_npz(write_npz(tmp_path / "grids.npz", y_train=np.arange(12)))
    assert len(source.class_names) == 12 and source.splits["train"][11].class_name == "class_11"


def test_empty_grids_and_double_labels_are_counted_not_fatal(tmp_path):
    grids = box_grids(12)
    grids[3] = grids[7] = 0  # empty, under two labels
    grids[5] = grids[4]  # one grid, labels 1 and 2
    path = write_npz(tmp_path / "grids.npz", X_train=grids, X_test=grids[:4])
    data = prepare(data_config(path, tmp_path, validation_fraction=0.0))
    assert set(data.info["skipped"]) == {"train/00003", "train/00007", "test/00003"}
    assert all("empty" in reason for reason in data.info["skipped"].values())
    # Counted on the voxels as prepared, where boxes of one shape and several sizes coincide, too.
    assert data.info["duplicates"]["under_several_labels"] >= 2
    alone = write_npz(tmp_path / "one.npz", X_train=grids, y_train=np.zeros(12, int),
                      X_test=grids[:4], y_test=np.zeros(4, int))  # fmt: skip
    one = prepare(data_config(alone, tmp_path, validation_fraction=0.0))
    assert one.info["duplicates"]["under_several_labels"] == 0
    assert data.info["duplicates"]["within_training"] >= 1
    assert data.info["duplicates"]["test_in_training"] >= 3
    assert len(data.train) == 10 and len(data.test) == 3


def test_other_arrays_are_named_beside_those_needed(tmp_path):
    np.savez(tmp_path / "other.npz", voxels=np.zeros(3), labels=np.zeros(3))
    with pytest.raises(DataError, match="voxels, labels.*X_train, y_train, X_test, y_test"):
        open_npz(tmp_path / "other.npz")


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"X_train": np.zeros((12, 5, 5, 4), np.uint8)}, "X_train must hold cubic grids"),
        ({"X_train": np.zeros((12, 5), np.uint8)}, "X_train must hold cubic grids"),
        ({"X_test": np.zeros((4, 5, 5, 5), "U3")}, "X_test must hold cubic grids"),
        ({"y_train": np.zeros(11, int)}, "y_train must hold one non-negative integer"),
        ({"y_train": np.full(12, -1)}, "y_train must hold one non-negative integer"),
        ({"y_test": np.zeros(4, np.float32)}, "y_test must hold one non-negative integer"),
        ({"y_train": 2_691_156 + np.arange(12)}, "from 0, .*10,000; the largest is 2,691,167$"),
        ({"y_test": np.full(4, 2**64 - 1, np.uint64)}, "y_test must number .*18,446,744,073"),
    ],
)
def test_arrays_of_a_wrong_kind_are_named_with_their_shape(tmp_path, overrides, message):
    with pytest.raises(DataError, match=message):
        open_npz(write_npz(tmp_path / "grids.npz", **overrides))


def test_nothing_is_ever_unpickled(tmp_path):
    trace = tmp_path / "trace"
    bombs = np.array([_Bomb(trace)], dtype=object)
    np.savez(tmp_path / "bomb.npz", X_train=bombs, y_train=bombs, X_test=bombs, y_test=bombs)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(_Bomb(trace)))
    for name in ("bomb.npz", "pickle.npz"):
        with pytest.raises(DataError, match=name):
            open_npz(tmp_path / name)
    assert not trace.exists()


def test_a_truncated_archive_is_refused(tmp_path):
    path = write_npz(tmp_path / "grids.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as a .npz"):
        open_npz(path)


def test_an_array_that_is_called_npz_is_refused(tmp_path):
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="cannot be read as a .npz"):
        open_npz(tmp_path / "array.npz")


def test_no_damage_is_answered_by_a_traceback(tmp_path):
    path, random = write_npz(tmp_path / "grids.npz"), np.random.default_rng(0)
    whole = path.read_bytes()
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(len(data), size=3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        try:
            open_npz(path)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 75


def test_the_real_archives_quirks_are_counted(modelnet10_dir, tmp_path):
    with np.load(modelnet10_dir / "modelnet10_30.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    source = open_npz(modelnet10_dir / "modelnet10_30.npz")
    train, test = (
        [item.payload.grid for item in source.splits[split]] for split in ("train", "test")
    )
    assert (len(train), len(test)) == (3991, 454)
    assert sum(not grid.any() for grid in train) == 7
    assert not any(not grid.any() for grid in test)
    assert np.array_equal(np.stack(train), arrays["X_train"] > 0)
    distinct = {grid.tobytes() for grid in train}
    assert len(train) - len(distinct) == 191  # repeats of an earlier one, empty ones among them
    assert sum(grid.tobytes() in distinct for grid in test) == 29
    # Desk/table, dresser/night_stand and night_stand/table; the empty grid is not an object.
    labels = {}
    for grid, label in zip(train, arrays["y_train"], strict=True):
        labels.setdefault(grid.tobytes(), []).append(label)
    several = [found for found in labels.values() if len(set(found)) > 1]
    assert sum(map(len, several)) - 7 == 12
    names = [source.class_names[label] for label in arrays["y_test"]]
    assert names == [item.class_name for item in source.splits["test"]]
