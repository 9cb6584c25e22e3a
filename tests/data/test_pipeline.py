"""Laws of the shards and of the tf.data loader: same batches as the resident one, exact resume."""

import time

import jax
import numpy as np
import pytest

from rotdis.config import base_config
from rotdis.data import prepare, resident
from rotdis.errors import DataError, UsageError

pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("igl")


@pytest.fixture(scope="module", params=[False, True], ids=["bits", "bytes"])
def prepared(request, tmp_path_factory):
    config = base_config().data
    config.source, config.dir = "furniture", str(tmp_path_factory.mktemp("data"))
    config.num_train, config.num_test, config.workers = 50, 10, 1
    config.resolution, config.partial = 16, request.param
    return prepare.prepare(config)


@pytest.fixture(scope="module")
def shards(prepared):
    from rotdis.data import modelnet

    return modelnet.write_shards(prepared)


def _batches(shards, **options):
    from rotdis.data import pipeline

    settings = {"seed": 3, "batch_size": 8, "start_step": 0, "num_steps": 9} | options
    return list(pipeline.make_batches(shards, "train", **settings))


def test_shards_hold_what_was_prepared(prepared, shards):
    builder = tfds.builder_from_directory(str(shards))
    assert builder.info.splits["train"].num_shards > 1
    rows = {row["index"]: row for row in tfds.as_numpy(builder.as_dataset(split="train"))}
    assert len(rows) == len(prepared.train)
    for index in (0, len(rows) - 1):
        row, data = rows[index], prepared.train
        assert np.array_equal(row["voxels"], data.packed[index])
        assert row["label"] == data.label[index]
        assert row["class_name"].decode() == data.class_names[row["label"]]
        assert row["source_id"].decode() == data.source_id[index]


def test_complete_shards_are_used_where_nothing_can_be_written(prepared, shards, monkeypatch):
    from rotdis.data import modelnet

    def cannot_be_written(directory):
        raise DataError(f"{directory} cannot be written")

    before = sorted((path, path.stat().st_mtime_ns) for path in prepared.directory.rglob("*"))
    monkeypatch.setattr(modelnet, "alone", cannot_be_written)
    assert modelnet.write_shards(prepared) == shards
    after = sorted((path, path.stat().st_mtime_ns) for path in prepared.directory.rglob("*"))
    assert after == before


def test_both_loaders_give_the_same_batches(prepared, shards):
    draw = jax.jit(lambda packed, step: resident.draw(packed, 3, step, 8))
    for step, batch in enumerate(_batches(shards)):
        assert np.array_equal(batch["voxels"], draw(prepared.train.packed, step))


def test_the_choice_of_a_batch_waits_for_no_step(shards, monkeypatch):
    """Batches are chosen on the host; tf.data asks for them from any of its threads."""
    from rotdis.data import pipeline

    devices = []
    original = pipeline.batch_indices
    monkeypatch.setattr(
        pipeline,
        "batch_indices",
        lambda *arguments: devices.append(jax.config.jax_default_device) or original(*arguments),
    )
    for _ in pipeline.make_batches(
        shards, "train", seed=0, batch_size=8, start_step=0, num_steps=60
    ):
        time.sleep(0.005)  # so that a generator is resumed by another thread
    assert len(devices) == 60
    assert set(devices) == {jax.local_devices(backend="cpu")[0]}


def test_a_resume_gives_the_batches_that_come_next(shards):
    whole, rest = _batches(shards), _batches(shards, start_step=4, num_steps=5)
    for expected, batch in zip(whole[4:], rest, strict=True):
        assert np.array_equal(batch["voxels"], expected["voxels"])
        assert np.array_equal(batch["label"], expected["label"])


def test_the_parts_of_all_processes_make_the_global_batch(shards):
    parts = [_batches(shards, process_index=i, process_count=2, num_steps=3) for i in (0, 1)]
    for whole, *slices in zip(_batches(shards, num_steps=3), *parts, strict=True):
        joined = np.concatenate([part["voxels"] for part in slices])
        assert np.array_equal(joined, whole["voxels"])


def test_a_batch_that_the_processes_cannot_share_is_refused(shards):
    with pytest.raises(ValueError, match="3 processes"):
        _batches(shards, process_count=3)


def test_without_jaxs_cpu_it_is_said_what_to_set(shards, monkeypatch):
    def unknown(**_):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", unknown)
    with pytest.raises(UsageError, match="JAX_PLATFORMS=cuda,cpu"):
        _batches(shards)


def test_a_truncated_shard_is_detected_and_named(prepared, shards, tmp_path):
    import shutil

    folder = tmp_path / shards.parent.name / shards.name
    shutil.copytree(shards, folder)
    path = next(folder.glob("*train.tfrecord*"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"shards of the split 'train'.*{path.name} has"):
        _batches(folder)
