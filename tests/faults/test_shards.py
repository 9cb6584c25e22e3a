"""Bad TFRecord shards: every flipped bit and lost end is noticed, and the file is named."""

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faults import damage
from tiny_data import data_config, write_npz

from rotdis import intact

pytest.importorskip("tensorflow_datasets")
from rotdis.data import modelnet, pipeline  # noqa: E402  (need TensorFlow)
from rotdis.data.prepare import prepare  # noqa: E402
from rotdis.errors import DataError  # noqa: E402


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    config = data_config(write_npz(folder / "grids.npz"), folder, validation_fraction=0.0)
    return modelnet.write_shards(prepare(config))


def _batch(folder: Path) -> dict[str, np.ndarray]:
    options = {"seed": 0, "batch_size": 4, "start_step": 0, "num_steps": 1}
    (batch,) = pipeline.make_batches(folder, "train", **options)
    return batch


def _damage(shards: Path, folder: Path, count: int, record_fault, *, noted: bool) -> None:
    """Damages each file of a copy of the shards that the training split needs.

    Args:
        shards: the folder.
        folder: of the copy.
        count: how often each.
        record_fault: the fixture.
        noted: whether the copy keeps the checksums that we write, besides those of TFRecord.
    """
    folder = folder / shards.parent.name / shards.name
    shutil.copytree(shards, folder)
    expected = _batch(folder)
    if not noted:
        (folder / intact.NAME).unlink()
    outcomes = Counter()
    for path in sorted(folder.iterdir()):
        if "-test.tfrecord-" in path.name or (not noted and ".tfrecord-" not in path.name):
            continue
        whole = path.read_bytes()
        for kind, damaged in damage.each(whole, count):
            path.write_bytes(damaged)
            try:
                batch = _batch(folder)
                # All that can be lost unnoticed is a note.
                assert path.name == intact.NAME, (path.name, kind)
                assert np.array_equal(batch["voxels"], expected["voxels"])
                outcomes["the same data"] += 1
            except DataError as error:
                message = str(error)
                assert "\n" not in message and "delete" in message
                outcomes["named by DataError"] += path.name in message
                outcomes["told by DataError"] += path.name not in message
        path.write_bytes(whole)
    total = outcomes.total()
    assert outcomes["named by DataError"] >= (0.8 if noted else 0.95) * total
    said = ", ".join(f"{number:,} {what}" for what, number in outcomes.items() if number)
    record_fault(f"TFRecord shards{'' if noted else ', without our checksums'}", total, said)


def test_damage_of_a_shard_is_named(shards, tmp_path, record_fault):
    _damage(shards, tmp_path, 6, record_fault, noted=True)


def test_tfrecords_own_checksums_notice_it_too(shards, tmp_path, record_fault):
    _damage(shards, tmp_path, 3, record_fault, noted=False)


@pytest.mark.slow
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "tfrecord"])
def test_damage_of_a_shard_is_named_at_length(shards, tmp_path, noted, record_fault):
    _damage(shards, tmp_path, 300, record_fault, noted=noted)


def test_a_shard_that_ends_early_at_a_record_is_told(shards, tmp_path):
    """Its checksums are right."""
    folder = tmp_path / shards.parent.name / shards.name
    shutil.copytree(shards, folder)
    (folder / intact.NAME).unlink()
    path = next(folder.glob("*-train.tfrecord-*"))
    content = path.read_bytes()
    path.write_bytes(content[: 16 + int.from_bytes(content[:8], "little")])
    with pytest.raises(DataError, match=f"{folder}.*delete"):
        _batch(folder)


def test_no_module_is_imported_because_a_dataset_names_it(
    shards, tmp_path, monkeypatch, record_fault
):
    folder = tmp_path / shards.parent.name / shards.name
    shutil.copytree(shards, folder)
    (folder / intact.NAME).unlink()
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    features = (folder / "features.json").read_text()
    own = "tensorflow_datasets.core.features.text_feature.Text"
    assert own in features
    (folder / "features.json").write_text(features.replace(own, "trap.Text"))
    with pytest.raises(DataError, match="names 'trap.Text', which is no feature of TFDS"):
        _batch(folder)
    assert not (tmp_path / "trace").exists()
    record_fault("TFDS metadata that names a module to import", 1, "DataError, nothing imported")


def test_notes_name_every_file(shards):
    noted = json.loads((shards / intact.NAME).read_text())
    assert set(noted) == {path.name for path in shards.iterdir()} - {intact.NAME}
    assert intact.find_damage(shards) is None


def test_a_shard_that_may_not_be_read_is_told_as_that(shards, tmp_path, monkeypatch):
    refused = next(shards.glob("*-train.tfrecord-*"))
    digest = intact.digest

    def deny(path):
        if path == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return digest(path)

    monkeypatch.setattr(intact, "digest", deny)
    with pytest.raises(DataError, match=f"{refused.name} cannot be read: Permission denied"):
        _batch(shards)
