"""Evaluation of constructed models whose metrics are known."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis import evaluate
from rotdis.data.voxelset import VoxelSet, pack
from rotdis.errors import DataError, RotdisError
from rotdis.geometry import resample, so3

SIZE = 16
CLASSES = ("bed", "chair", "sofa")
# Blobs on three axes, unequal, so that moments tell the frame; one arrangement a class.
BLOBS = {
    "bed": ((4.5, 0, 0, 2.2), (0, -3.5, 0, 1.9), (-1.5, 0, -2, 1.7)),
    "chair": ((2.0, 0, 0, 3.4), (0, 4.5, 0, 1.5), (-4.5, 0, 1, 1.2)),
    "sofa": ((5.0, 0, 0, 1.6), (-2.0, 0, 0, 2.8), (0, 3.0, 0, 2.2)),
}


def objects(count: int, seed: int, classes: tuple[str, ...] = CLASSES) -> VoxelSet:
    """Returns aligned objects of blobs, with small variations of each."""
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*(np.arange(SIZE) - (SIZE - 1) / 2,) * 3, indexing="ij"), -1)
    label = np.arange(count) % len(classes)
    voxels = np.zeros((count, SIZE, SIZE, SIZE))
    for n, c in enumerate(label):
        for *centre, radius in BLOBS[classes[c]]:
            distance = np.linalg.norm(points - centre - rng.normal(0, 0.15, 3), axis=-1)
            voxels[n] = np.maximum(voxels[n], np.clip(radius + 0.5 - distance, 0, 1))
    return VoxelSet(
        packed=pack(voxels, partial=True),
        label=label,
        source_id=tuple(f"{seed}_{n:03d}" for n in range(count)),
        class_names=classes,
        resolution=SIZE,
        partial=True,
        aligned=True,
    )


@jax.jit
def turn(voxels, rotations):
    return jax.vmap(resample.rotate)(voxels[..., None], rotations)[..., 0]


class Code(NamedTuple):
    z_mean: jax.Array
    z_logvar: jax.Array
    rotation: jax.Array


class Oracle:
    """Reads the pose from the voxels' moments; its code is the canonical volume itself."""

    def __init__(self):
        self.batch_sizes = set()

    def pose(self, voxels):
        axes = np.arange(SIZE) - (SIZE - 1) / 2
        points = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), -1).reshape(-1, 3)
        rotations = []
        for weight in np.asarray(voxels, np.float64).reshape(len(voxels), -1):
            weight = weight / weight.sum()
            centred = points - weight @ points
            _, frame = np.linalg.eigh((centred * weight[:, None]).T @ centred)
            frame = frame * np.where(weight @ (centred @ frame) ** 3 < 0, -1, 1)
            frame[:, 0] *= np.linalg.det(frame)
            rotations.append(frame)
        return jnp.asarray(np.stack(rotations), jnp.float32)

    def encode(self, voxels):
        self.batch_sizes.add(len(voxels))
        rotation = self.pose(voxels)
        z = turn(voxels, jnp.swapaxes(rotation, 1, 2)).reshape(len(voxels), -1)
        return Code(z, jnp.zeros_like(z), rotation)

    def decode(self, z_mean, rotation):
        self.batch_sizes.add(len(z_mean))
        return turn(z_mean.reshape(-1, SIZE, SIZE, SIZE), rotation)


class Entangled(Oracle):
    """Leaves the pose in the code, and decodes the code as it is."""

    def pose(self, voxels):
        return jnp.broadcast_to(jnp.eye(3), (len(voxels), 3, 3))


class Useless(Entangled):
    """Says the same of everything: a full grid, not turned."""

    def encode(self, voxels):
        z = jnp.ones((len(voxels), SIZE**3))
        return Code(z, z, self.pose(voxels))


class Diverged(Entangled):
    def encode(self, voxels):
        code = super().encode(voxels)
        return code._replace(z_mean=code.z_mean.at[-1].set(jnp.nan))


def run(model, test, train, *, batch_size=16, max_train=30, **options):
    return evaluate.evaluate(
        model, test, train, seed=3, batch_size=batch_size, max_train=max_train, **options
    )


@pytest.fixture(scope="module")
def train() -> VoxelSet:
    return objects(30, seed=1)


@pytest.fixture(scope="module")
def test() -> VoxelSet:
    return objects(40, seed=2)


@pytest.fixture(scope="module")
def oracle(test, train) -> evaluate.Evaluation:
    return run(Oracle(), test, train, groups={"soft": ("bed", "sofa")})


def test_a_model_that_sees_the_pose_scores_well_everywhere(oracle):
    metrics = oracle.metrics
    assert metrics["pose/pair_median_deg"] < 5
    assert metrics["pose/pair_acc15"] > 0.9
    assert metrics["canonical/category_median_deg"] < 15
    assert metrics["canonical/instance_iou"] > 0.75
    assert metrics["reconstruction/iou"] > 0.75
    assert metrics["reconstruction/tnr"] > 0.95
    assert metrics["latent/nn1_accuracy"] > 0.9
    assert metrics["latent/linear_probe_accuracy"] > 0.9
    assert metrics["latent/view_distance"] < 0.5
    # The other view's code decodes to this view, at this view's rotation.
    assert metrics["reconstruction/sse_other_view"] < 2 * metrics["reconstruction/sse"]


def test_an_entangled_code_is_found_out(test, train, oracle):
    metrics = run(Entangled(), test, train).metrics
    assert metrics["reconstruction/sse"] == 0
    assert metrics["reconstruction/iou"] == metrics["reconstruction/tpr"] == 1
    assert metrics["reconstruction/sse_other_view"] > 100
    assert metrics["latent/view_distance"] > 0.7
    assert metrics["canonical/instance_iou"] < 0.5
    assert metrics["pose/pair_median_deg"] > 90
    assert metrics["canonical/category_median_deg"] > 90
    assert (
        oracle.metrics["reconstruction/sse_other_view"] < metrics["reconstruction/sse_other_view"]
    )


def test_two_empty_canonical_forms_do_not_count_as_agreement(test, train):
    """At 16^3 a thin table top, turned to and fro, is blurred below the threshold."""
    voxels = np.array(test.voxels(np.arange(len(test))))
    voxels[test.label == CLASSES.index("bed")] *= 0.4
    metrics = run(
        Oracle(), dataclasses.replace(test, packed=pack(voxels, partial=True)), train
    ).metrics
    name = "canonical/instance_iou"
    assert f"{name}/class/bed" not in metrics
    others = [metrics[f"{name}/class/{c}"] for c in ("chair", "sofa")]
    counts = [metrics[f"data/test_objects/class/{c}"] for c in ("chair", "sofa")]
    np.testing.assert_allclose(metrics[name], np.average(others, weights=counts), rtol=1e-6)
    assert 0.5 < metrics[name] < 1


def test_a_useless_model_has_the_angles_of_uniform_rotations_and_no_view_distance(train):
    many = objects(600, seed=5)
    metrics, predictions = run(Useless(), many, train, max_train=0)
    expected = np.rad2deg(np.pi / 2 + 2 / np.pi)
    assert np.mean(predictions.pair_error) == pytest.approx(expected, abs=5)
    assert metrics["pose/pair_median_deg"] == pytest.approx(132.35, abs=6)
    assert metrics["reconstruction/tpr"] == 1 and metrics["reconstruction/tnr"] == 0
    assert "latent/view_distance" not in metrics
    assert "latent/linear_probe_accuracy" not in metrics


def test_results_do_not_depend_on_the_batch_size(test, train, oracle):
    model, batch_size = Oracle(), 7
    metrics = run(model, test, train, batch_size=batch_size, groups={"soft": ("bed", "sofa")})[0]
    assert metrics.keys() == oracle.metrics.keys()
    for name, value in oracle.metrics.items():
        assert metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
    assert model.batch_sizes == {batch_size}


def test_an_object_s_views_do_not_depend_on_the_other_objects(test, train):
    half = run(Useless(), test.select(np.arange(20)), train, max_train=0).predictions
    whole = run(Useless(), test, train, max_train=0).predictions
    np.testing.assert_array_equal(half.views, whole.views[:20])
    assert np.abs(np.linalg.det(whole.views) - 1).max() < 1e-5
    assert len(np.unique(whole.views.reshape(-1, 9), axis=0)) == 2 * len(test)


def test_training_objects_are_removed_from_the_test_split_and_counted(test, train, oracle):
    mixed = dataclasses.replace(
        test,
        packed=np.concatenate([test.packed, train.packed[:3]]),
        label=np.concatenate([test.label, train.label[:3]]),
        source_id=test.source_id + ("a", "b", "c"),
    )
    metrics, predictions = run(
        Oracle(),
        mixed,
        [train.select(slice(0, 2)), train.select(slice(2, 30))],
        groups={"soft": ("bed", "sofa")},
    )
    assert metrics["data/test_objects"] == len(predictions.label) == len(test)
    assert metrics["data/test_duplicates_removed"] == 3
    assert oracle.metrics["data/test_duplicates_removed"] == 0
    del metrics["data/test_duplicates_removed"]
    for name, value in metrics.items():  # one list of training objects, however it is cut
        assert value == pytest.approx(oracle.metrics[name], rel=1e-4, abs=1e-4), name


def test_removing_a_duplicate_leaves_the_other_objects_views(test, train):
    front = dataclasses.replace(test, packed=np.concatenate([train.packed[:1], test.packed[1:]]))
    predictions = run(Useless(), front, train, max_train=0).predictions
    whole = run(Useless(), test, train, max_train=0).predictions
    np.testing.assert_array_equal(predictions.index, np.arange(1, len(test)))
    np.testing.assert_array_equal(predictions.views, whole.views[1:])
    assert predictions.source_id == test.source_id[1:]


def test_a_copy_within_the_test_split_is_no_neighbour(train):
    """The only other object of its class is the copy: whatever the code, the neighbour is wrong."""
    first = objects(3, seed=5).select(np.array([0, 0, 1]))
    found = run(Oracle(), first, train)
    assert found.metrics["latent/nn1_accuracy"] == 0
    assert found.predictions.nearest.tolist()[:2] == [2, 2]


def test_with_no_object_left_only_the_counts_remain(train):
    evaluation = run(Oracle(), train, train)
    assert evaluation.metrics == {
        "data/test_objects": 0,
        "data/test_duplicates_removed": len(train),
    }
    assert evaluation.predictions is None
    assert run(Oracle(), train.select(slice(0, 0)), []).metrics["data/test_objects"] == 0


def test_one_class_has_no_classification(train):
    metrics = run(Oracle(), objects(5, 7, ("bed",)), objects(4, 8, ("bed",))).metrics
    assert not [n for n in metrics if "nn1" in n or "probe" in n]
    assert metrics["latent/view_distance"] < 1
    assert all(np.isfinite(list(metrics.values())))


def test_a_single_object_has_no_comparisons_with_others(test, train):
    metrics = run(Oracle(), test.select(slice(0, 1)), train).metrics
    assert not [name for name in metrics if name.startswith("latent/") or "category" in name]
    assert metrics["reconstruction/iou"] == metrics["reconstruction/iou/class/bed"]
    assert "reconstruction/iou/class/chair" not in metrics


def test_frames_are_compared_only_where_the_data_are_aligned(test, train):
    metrics = run(Useless(), dataclasses.replace(test, aligned=False), train, max_train=0).metrics
    assert not [name for name in metrics if "category" in name]


def test_classes_add_up_to_the_whole(oracle):
    metrics = oracle.metrics
    sizes = np.array([metrics[f"data/test_objects/class/{name}"] for name in CLASSES])
    for name in ("reconstruction/iou", "reconstruction/sse", "pose/pair_acc30",
                 "canonical/instance_iou", "latent/nn1_accuracy", "latent/view_distance",
                 "latent/linear_probe_accuracy"):  # fmt: skip
        parts = np.array([metrics[f"{name}/class/{c}"] for c in CLASSES])
        assert metrics[name] == pytest.approx(sizes @ parts / sizes.sum()), name
    for name in ("canonical/category_median_deg", "canonical/category_acc30"):
        parts = [metrics[f"{name}/class/{c}"] for c in CLASSES]
        assert metrics[name] == pytest.approx(np.mean(parts)), name


def test_a_group_pools_the_objects_of_its_classes(oracle):
    metrics, predictions = oracle
    chosen = np.isin(predictions.label, [0, 2])
    median = metrics["pose/pair_median_deg/group/soft"]
    assert median == np.median(predictions.pair_error[chosen])
    assert metrics["data/test_objects/group/soft"] == chosen.sum()


def test_a_group_with_a_class_that_is_absent_is_left_out(test, train):
    groups = {"other": ("bed", "toilet"), "both": ("bed", "sofa"), "none": ()}
    metrics = run(Useless(), test, train, max_train=0, groups=groups).metrics
    assert {n.split("/group/")[1] for n in metrics if "/group/" in n} == {"both"}


def test_the_probe_learns_from_at_most_max_train_objects(test, train, monkeypatch):
    seen = []
    probe = evaluate.latent.linear_probe
    monkeypatch.setattr(
        evaluate.latent, "linear_probe", lambda z, y, t: seen.append(len(z)) or probe(z, y, t)
    )
    run(Oracle(), test, [train.select(slice(0, 20)), train.select(slice(20, 30))], max_train=13)
    assert seen == [13]


def test_the_probe_learns_from_all_classes_of_a_split_that_is_sorted_by_class(
    test, train, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        evaluate.latent, "linear_probe", lambda z, y, t: seen.append(set(y)) or np.zeros(len(t))
    )
    run(Useless(), test, train.select(np.argsort(train.label, kind="stable")), max_train=10)
    assert seen == [{0, 1, 2}]


def test_evaluating_twice_gives_the_same_numbers(test, train, oracle):
    again = run(Oracle(), test, train, groups={"soft": ("bed", "sofa")})
    assert again.metrics == oracle.metrics
    other = evaluate.evaluate(Oracle(), test, train, seed=4, batch_size=16, max_train=30)
    assert other.metrics["reconstruction/sse"] != oracle.metrics["reconstruction/sse"]


def test_output_that_is_not_finite_is_an_error_that_names_the_object_and_padding_is_not(
    test, train
):
    with pytest.raises(RotdisError, match="not finite for 1 of 20 objects .*2_015"):
        run(Diverged(), test.select(slice(0, 20)), train)  # the last batch's last row is padding


def test_a_rotation_that_is_not_finite_is_counted_once_an_object(test, train):
    class Lost(Entangled):
        def pose(self, voxels):
            lost = super().pose(voxels)
            return lost.at[3:].set(jnp.nan) if voxels.shape[0] == 16 and self.last else lost

        def encode(self, voxels):
            self.last = bool(jnp.all(voxels[-1] == voxels[-2]))  # padding
            return super().encode(voxels)

    with pytest.raises(RotdisError, match="not finite for 1 of 4 objects .*2_019"):
        run(Lost(), test.select(slice(0, 20)), train)


def test_bfloat16_output_is_measured_in_float32(test, train):
    class Half(Entangled):
        def decode(self, z_mean, rotation):
            return super().decode(z_mean, rotation).astype(jnp.bfloat16)

        def encode(self, voxels):
            return jax.tree.map(lambda x: x.astype(jnp.bfloat16), super().encode(voxels))

    metrics, predictions = run(Half(), test.select(slice(0, 6)), train, max_train=0)
    assert predictions.z_mean.dtype == np.float32
    assert metrics["reconstruction/iou"] > 0.98


def test_splits_of_different_kinds_are_refused(test, train):
    with pytest.raises(DataError, match="resolution"):
        run(Useless(), dataclasses.replace(test, resolution=8), train)
    with pytest.raises(DataError, match="classes"):
        run(Useless(), test, dataclasses.replace(train, class_names=("a", "b", "c")))


def test_aligned_objects_are_seen_as_they_are(test, train):
    metrics, predictions = run(Entangled(), test, train, max_train=0, rotations="none")
    np.testing.assert_array_equal(predictions.views, np.broadcast_to(np.eye(3), (40, 2, 3, 3)))
    assert metrics["latent/view_distance"] == metrics["reconstruction/sse_other_view"] == 0


def test_turns_of_the_cube_are_exact(test, train):
    predictions = run(Useless(), test, train, max_train=0, rotations="cube").predictions
    group = {g.tobytes() for g in so3.cube_group()}
    assert {view.tobytes() for view in predictions.views.reshape(-1, 3, 3)} <= group
