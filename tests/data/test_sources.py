"""Laws of the sources: what `config.data.source` may name, and what it is answered with."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from tiny_data import data_config, modelnet_files, write_folder, write_npz, write_zip

from rotdis.data import furniture
from rotdis.data.sources import open_source
from rotdis.errors import DataError


def test_every_kind_of_source_gives_both_splits_of_picklable_objects(tmp_path):
    files = modelnet_files()
    for source in (
        write_npz(tmp_path / "grids.npz"),
        write_zip(tmp_path / "ModelNet10.zip", files),
        write_folder(tmp_path / "folder", files),
        "furniture",
    ):
        opened = open_source(data_config(source, tmp_path, num_train=10, num_test=10))
        for split in ("train", "test"):
            items = opened.splits[split]
            assert items and {item.class_name for item in items} <= set(opened.class_names)
            assert len({item.source_id for item in items}) == len(items)
            grid, _ = pickle.loads(pickle.dumps(items[0].payload)).voxels(16, 1)
            assert grid.shape == (16, 16, 16) and 0 < grid.mean() < 1


def test_furniture_spreads_its_objects_over_the_classes(tmp_path):
    source = open_source(data_config("furniture", tmp_path, num_train=23, num_test=11))
    for split, count in (("train", 23), ("test", 11)):
        names = [item.class_name for item in source.splits[split]]
        per_class = [names.count(name) for name in furniture.CLASSES]
        assert sum(per_class) == count and max(per_class) - min(per_class) <= 1
    seeds = [item.payload.seed for items in source.splits.values() for item in items]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("kind", ["npz", "zip", "folder"])
def test_others_of_the_same_name_size_and_time_are_other_objects(tmp_path, kind):
    """Of the folds of a cross-validation, say, which came out of one archive."""
    identities = []
    for fold in range(2):
        place = tmp_path / str(fold) / "data"
        files = modelnet_files()
        if fold:
            name = sorted(files)[0]
            files[name] = files[name].replace("1", "2")  # as long
        place.parent.mkdir()
        if kind == "npz":
            place = write_npz(place.with_suffix(".npz"))
            with np.load(place) as archive:
                arrays = dict(archive)
            np.savez(place, **arrays | {"y_train": (arrays["y_train"] + fold) % 3})
        elif kind == "zip":
            place = place.with_suffix(".zip")
            with zipfile.ZipFile(place, "w") as archive:  # not compressed
                for name, content in files.items():
                    archive.writestr(zipfile.ZipInfo(f"ModelNet10/{name}"), content)
        else:
            place = write_folder(place, files)
        for path in (place, *place.rglob("*")):
            os.utime(path, (0, 0))
        identities.append(
            (place.stat().st_size, open_source(data_config(place, tmp_path)).identity)
        )
    assert identities[0][0] == identities[1][0]
    assert identities[0][1] != identities[1][1]


@pytest.mark.parametrize("kind", ["npz", "zip", "folder", "furniture"])
def test_only_the_chosen_classes_are_kept(tmp_path, kind):
    source = {
        "npz": lambda: write_npz(tmp_path / "grids.npz"),
        "zip": lambda: write_zip(tmp_path / "ModelNet10.zip", modelnet_files()),
        "folder": lambda: write_folder(tmp_path / "folder", modelnet_files()),
        "furniture": lambda: "furniture",
    }[kind]()
    opened = open_source(data_config(source, tmp_path, classes=("chair",), num_train=4, num_test=4))
    assert opened.class_names == ("chair",)
    assert all(item.class_name == "chair" for s in opened.splits.values() for item in s)
    assert all(opened.splits.values())


@pytest.mark.parametrize("kind", ["npz", "furniture"])
def test_a_class_that_is_named_twice_counts_once(tmp_path, kind):
    source = write_npz(tmp_path / "grids.npz") if kind == "npz" else "furniture"
    twice, once = (
        open_source(data_config(source, tmp_path, classes=classes, num_train=4, num_test=4))
        for classes in (("chair", "bed", "chair"), ("chair", "bed"))
    )
    assert twice.class_names == once.class_names
    for split, items in once.splits.items():
        names = [item.source_id for item in items]
        assert [item.source_id for item in twice.splits[split]] == names
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["nothing.npz", "nothing.zip", "nothing", "~nobody.here/x"])
def test_a_missing_source_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"there is no .*{name}"):
        open_source(data_config(name if name[0] == "~" else tmp_path / name, tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "grids.txt").write_text("1")
    with pytest.raises(DataError, match=r"neither a \.zip, nor a folder, nor a \.npz"):
        open_source(data_config(tmp_path / "grids.txt", tmp_path))


def test_an_unknown_class_is_answered_with_those_there_are(tmp_path):
    source = write_npz(tmp_path / "grids.npz")
    with pytest.raises(DataError, match="no class spoon.*bathtub, bed, chair"):
        open_source(data_config(source, tmp_path, classes=("spoon", "bed")))
