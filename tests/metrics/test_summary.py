"""Summaries of constructed predictions whose metrics follow from their parts."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.metrics import self_similarity, summary
from rotdis.metrics.reconstruction import Confusion

QUARTER = Rotation.from_euler("z", 90, degrees=True).as_matrix()


def _predictions(**changes) -> summary.Predictions:
    """Returns two bins and two chairs in turns, all upright; one of each is turned a quarter."""
    count = 4
    frames = np.stack([np.eye(3), np.eye(3), QUARTER, QUARTER])
    ones = np.ones(count, int)
    whole = summary.Predictions(
        class_names=("bin", "chair"),
        aligned=True,
        source_id=tuple("abcd"),
        index=np.arange(count),
        label=np.array([0, 1, 0, 1]),
        views=np.broadcast_to(np.eye(3), (count, 2, 3, 3)),
        rotations=np.stack([frames, frames], axis=1),
        z_mean=np.zeros((count, 2, 2)),
        counts=Confusion(ones, 0 * ones, 0 * ones, ones),
        sse=np.zeros(count),
        sse_other_view=np.zeros(count),
        instance_iou=np.array([0.2, 0.8, 0.4, np.nan]),
        pair_error=np.zeros(count),
    )
    return dataclasses.replace(whole, **changes)


def test_each_object_is_forgiven_its_own_turns_and_no_other_objects():
    quarter = np.abs(self_similarity.candidates() - QUARTER).max(axis=(1, 2)) < 1e-6
    own = np.zeros((4, len(self_similarity.candidates())), bool)
    own[:, 0] = True
    own[[0, 2]] |= quarter  # of bins
    metrics = summary.summarize(_predictions(own_symmetries=own))
    name = "canonical/category_median_selfsimilar_deg"
    assert metrics[f"{name}/class/bin"] == pytest.approx(0, abs=0.1)
    assert metrics[f"{name}/class/chair"] == pytest.approx(90, abs=0.1)
    assert metrics[name] == pytest.approx(45, abs=0.1)
    # Declared for a class, where the other two forgive nothing.
    quarters = Rotation.from_rotvec(np.pi / 2 * np.outer(range(4), [0, 0, 1])).as_matrix()
    declared = summary.summarize(_predictions(symmetries={"chair": quarters}))
    name = "canonical/category_median_symmetric_deg"
    assert declared[f"{name}/class/bin"] == pytest.approx(90, abs=0.1)
    assert declared[f"{name}/class/chair"] == pytest.approx(0, abs=0.1)


def test_what_an_object_has_no_number_of_is_left_out_where_others_have():
    metrics = summary.summarize(_predictions())
    name = "canonical/instance_iou"
    assert metrics[name] == pytest.approx(1.4 / 3)
    assert metrics[f"{name}/class/chair"] == pytest.approx(0.8)
    none = summary.summarize(_predictions(instance_iou=np.full(4, np.nan)))
    assert name not in none and "reconstruction/iou" in none
