"""What the page has to show: the model's own test objects or furniture, and directions of codes."""

import numpy as np
import pytest
from tiny_data import data_config, write_npz

pytest.importorskip("igl")
pytest.importorskip("trimesh")
from rotdis.data import prepare  # noqa: E402
from rotdis.explore import objects  # noqa: E402  (needs trimesh)


def test_the_test_split_is_taken_where_it_lies_prepared(tmp_path):
    data = data_config(write_npz(tmp_path / "boxes.npz"), tmp_path / "prepared")
    prepared = prepare.prepare(data)
    chosen, description = objects.choose(data)
    assert chosen.source_id == prepared.test.source_id
    assert description == "the test split of boxes"


@pytest.mark.parametrize("source", ["boxes.npz", "nothing.npz", ""])
def test_without_prepared_data_there_is_furniture_and_nothing_is_written(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(objects, "_FURNITURE_PER_CLASS", 1)
    write_npz(tmp_path / "boxes.npz")
    data = data_config(tmp_path / source if source else "", tmp_path / "prepared")
    chosen, description = objects.choose(data)
    assert len(chosen) == 10 and "furniture" in description
    assert chosen.voxels(slice(0, 3)).shape == (3, 16, 16, 16)
    assert not (tmp_path / "prepared").exists()


def test_directions_are_those_in_which_the_codes_spread_in_standard_deviations():
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(5, 5)))[0][:3]
    codes = random.normal(size=(4000, 3)) * [3, 2, 1] @ axes + 7
    found = objects.directions(codes, 2)
    assert found.steps.shape == (2, 5)
    assert np.allclose(np.abs(found.steps @ axes.T), [[3, 0, 0], [0, 2, 0]], atol=0.15)
    assert np.allclose(found.shares, [9 / 14, 4 / 14], atol=0.02)


def test_there_are_no_more_directions_than_there_can_be():
    codes = np.random.default_rng(0).normal(size=(3, 8))
    assert objects.directions(codes).steps.shape == (2, 8)
    alike = objects.directions(np.ones((3, 8)))
    assert (alike.steps == 0).all() and (alike.shares == 0).all()
