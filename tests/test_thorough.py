"""The thorough evaluation of constructed models: of which every number is promised, and known."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from test_evaluate import CLASSES, SIZE, Code, Entangled, Oracle, Useless, objects

from rotdis import evaluate, thorough
from rotdis.metrics import (
    continuity,
    dci,
    disentanglement,
    factors,
    rotation_information,
    self_similarity,
    table,
)

ADDED = {
    "pose/pair_median_symmetric_deg", "pose/pair_acc30_symmetric",
    "pose/pair_median_selfsimilar_deg", "pose/pair_chance_selfsimilar_deg",
    "pose/class_accuracy", "pose/class_chance",
    "pose/continuity", "pose/largest_slip_deg",
    "canonical/category_median_symmetric_deg", "canonical/category_to_mode_deg",
    "canonical/category_median_selfsimilar_deg", "canonical/category_chance_selfsimilar_deg",
    "canonical/category_to_mode_acc15", "canonical/instance_chamfer",
    "canonical/category_chamfer", "canonical/category_chamfer_aligned",
    "latent/nn1_accuracy_aligned_aligned", "latent/nn1_accuracy_aligned_so3",
    "latent/nn1_accuracy_so3_so3", "latent/linear_probe_accuracy_aligned_aligned",
    "latent/linear_probe_accuracy_aligned_so3", "latent/linear_probe_accuracy_so3_so3",
    "latent/rotation_error_deg", "latent/rotation_chance_deg", "latent/dci_disentanglement",
    "latent/dci_completeness", "latent/dci_informativeness", "latent/mig", "latent/sap",
    "latent/factorvae", "latent/continuity", "latent/largest_step",
}  # fmt: skip
WITHOUT_CLASSES = {
    "latent/dci_disentanglement", "latent/dci_completeness", "latent/dci_informativeness",
    "latent/mig", "latent/sap", "latent/factorvae", "latent/continuity", "latent/largest_step",
    "pose/continuity", "pose/largest_slip_deg",
}  # fmt: skip
_RANDOM = np.random.default_rng(0).normal(size=(SIZE**3, 6)).astype(np.float32) / 20


class Short:
    """A short code in place of a volume, and nothing decoded."""

    def encode(self, voxels):
        code = super().encode(voxels)
        return Code(code.z_mean @ _RANDOM, jnp.zeros((len(voxels), 6)), code.rotation)

    def decode(self, z_mean, rotation):
        return jnp.zeros((len(z_mean), SIZE, SIZE, SIZE))


class Compact(Short, Oracle):
    """The oracle with a short code of the canonical volume."""


class Mute(Useless):
    """Says the same short code of everything."""

    def encode(self, voxels):
        z = jnp.ones((len(voxels), 6))
        return Code(z, z, self.pose(voxels))

    decode = Short.decode


class Unturned(Short, Entangled):
    """Its code is that of the object as it is seen."""


class Jumping(Compact):
    """Code and rotation are others here and there along any path."""

    def encode(self, voxels):
        code = super().encode(voxels)
        jumps = jnp.sin(20 * code.rotation[:, :1, 0]) < 0
        half_turn = code.rotation @ jnp.diag(jnp.array([1.0, -1, -1]))
        return Code(
            jnp.where(jumps, -9 * code.z_mean, code.z_mean),
            code.z_logvar,
            jnp.where(jumps[..., None], half_turn, code.rotation),
        )


class Telltale(Compact):
    """Its code is the rotation that it sees."""

    def encode(self, voxels):
        rotation = self.pose(voxels)
        z = rotation.reshape(len(voxels), 9)
        return Code(z, jnp.zeros_like(z), rotation)


def run(model, test, train, *, batch_size=32, max_train=30, **options):
    options = {"thorough": True, "symmetries": ("bed:C2", "table:C4")} | options
    return evaluate.evaluate(
        model, test, train, seed=3, batch_size=batch_size, max_train=max_train, **options
    )


@pytest.fixture(scope="module", autouse=True)
def small():
    """A design of fewer views, since the oracle is slow, and fewer trees, shufflings and votes."""
    known, near_symmetries = {}, self_similarity.near_symmetries

    def of_the_same_objects(voxels):
        key = np.asarray(voxels).tobytes()
        if key not in known:
            known[key] = near_symmetries(voxels)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factors, "INSTANCES", 3)
        patch.setattr(thorough, "PATHS", 3)
        patch.setattr(dci, "_TREES", 5)
        patch.setattr(disentanglement, "_SHUFFLES", 10)
        patch.setattr(disentanglement, "_HALVINGS", 4)
        patch.setattr(disentanglement, "_VOTES", 200)
        patch.setattr(self_similarity, "near_symmetries", of_the_same_objects)
        yield


@pytest.fixture(scope="module")
def train():
    return objects(30, seed=1)


@pytest.fixture(scope="module")
def test():
    return objects(24, seed=2)


@pytest.fixture(scope="module")
def compact(test, train):
    return run(Compact(), test, train)


@pytest.fixture(scope="module")
def mute(test, train):
    return run(Mute(), test, train)


def names(metrics) -> set[str]:
    return {name for name in metrics if name.count("/") == 1}


def test_it_adds_what_is_promised_and_changes_nothing_else(compact, test, train):
    plain = run(Compact(), test, train, thorough=False).metrics
    assert names(compact.metrics) - names(plain) == ADDED
    assert {name: compact.metrics[name] for name in plain} == plain
    for name in ADDED - WITHOUT_CLASSES:
        for c in CLASSES:
            # Several rotations make one view of what is symmetric: bed.
            told = c != "bed" or not name.startswith("latent/rotation_")
            assert (f"{name}/class/{c}" in compact.metrics) == told


def test_its_numbers_are_plain_finite_ones(compact, tmp_path):
    table.write_metrics(tmp_path / "metrics.json", compact.metrics)
    assert json.loads((tmp_path / "metrics.json").read_text()) == compact.metrics
    assert "category_to_mode_deg" in table.format_table(compact.metrics)


def test_a_model_that_sees_the_pose_scores_well_everywhere(compact, mute):
    metrics = compact.metrics
    assert metrics["pose/pair_median_symmetric_deg"] < 5
    assert metrics["pose/pair_median_selfsimilar_deg"] < 5
    assert metrics["canonical/category_to_mode_deg"] < 10
    assert metrics["canonical/category_to_mode_acc15"] > 0.8
    assert metrics["canonical/category_median_symmetric_deg"] < 15
    assert metrics["canonical/category_median_selfsimilar_deg"] < 15
    assert metrics["canonical/category_chance_selfsimilar_deg"] > 45
    for name in ("instance_chamfer", "category_chamfer"):
        assert metrics[f"canonical/{name}"] < 0.5 * mute.metrics[f"canonical/{name}"]
    for protocol in ("aligned_aligned", "aligned_so3", "so3_so3"):
        assert metrics[f"latent/nn1_accuracy_{protocol}"] > 0.9
    # The shapes' own difference, and no frame's.
    aligned = metrics["canonical/category_chamfer_aligned"]
    assert 0 < aligned < metrics["canonical/category_chamfer"]
    assert mute.metrics["canonical/category_chamfer_aligned"] == pytest.approx(aligned)
    assert metrics["pose/pair_chance_selfsimilar_deg"] > 60
    assert metrics["pose/continuity"] == metrics["latent/continuity"] == 1
    assert metrics["pose/largest_slip_deg"] < 15
    assert 0 < metrics["latent/largest_step"] < 0.4
    assert metrics["latent/rotation_error_deg"] > 90
    assert metrics["latent/factorvae"] > 0.6
    assert metrics["latent/dci_informativeness"] > 0.6
    # Its frames are the classes' own, so the rotation tells no class but by chance.
    assert metrics["pose/class_chance"] == pytest.approx(1 / 3, abs=0.1)


def test_a_model_that_says_nothing_scores_chance(mute):
    metrics = mute.metrics
    assert metrics["latent/mig"] == metrics["latent/sap"] == 0
    assert metrics["latent/factorvae"] == pytest.approx(1 / 3)
    for name in ("nn1_accuracy", "linear_probe_accuracy"):
        assert metrics[f"latent/{name}_aligned_so3"] == pytest.approx(1 / 3)
    assert metrics["pose/class_accuracy"] == pytest.approx(1 / 3)
    assert metrics["latent/rotation_error_deg"] == pytest.approx(
        metrics["latent/rotation_chance_deg"]
    )
    assert metrics["canonical/category_to_mode_deg"] > 60
    assert "latent/continuity" not in metrics  # its codes have no distances to compare with
    assert metrics["pose/largest_slip_deg"] == pytest.approx(5, abs=0.1)  # the step itself


def test_a_code_of_the_object_as_it_is_seen_fails_where_only_the_test_is_turned(test, train):
    metrics = run(Unturned(), test, train).metrics
    for kind in ("nn1", "linear_probe"):
        name = f"latent/{kind}_accuracy"
        assert metrics[f"{name}_aligned_aligned"] > 0.9
        assert metrics[f"{name}_aligned_so3"] < 0.7
        assert metrics[f"{name}_so3_so3"] < 0.8
    learned = dataclasses.replace(train, aligned=False), dataclasses.replace(test, aligned=False)
    again = run(Unturned(), learned[1], learned[0]).metrics
    for kind in ("nn1", "linear_probe"):
        name = f"latent/{kind}_accuracy_so3_so3"
        assert again[name] == metrics[name]


def test_jumps_are_found_of_the_code_and_of_the_rotation(test, train):
    metrics = run(Jumping(), test, train, symmetries=()).metrics
    assert metrics["pose/continuity"] == metrics["latent/continuity"] == 0
    assert metrics["pose/largest_slip_deg"] > 150
    assert metrics["latent/largest_step"] > 1


def test_what_forgives_symmetries_is_told_of_them_where_the_source_has_a_frame(
    test, train, monkeypatch
):
    untold, forgiven = [], []
    arrange, follow = factors.arrange, continuity.follow

    def arranged(*args):
        untold.append(args[-1])
        return arrange(*args)

    def followed(*args):
        forgiven.append({len(group) for group in args[-1]})
        return follow(*args)

    monkeypatch.setattr(factors, "arrange", arranged)
    monkeypatch.setattr(continuity, "follow", followed)
    for split in (test, dataclasses.replace(test, aligned=False)):
        run(Mute(), split, train, symmetries=("chair:C2",), max_train=0)
    # Of symmetric classes no rotation is to be told, nor of any where there is no common frame.
    assert untold == [[CLASSES.index("chair")], [0, 1, 2]]
    assert forgiven == [{1, 2}, {1}]


def test_a_code_that_tells_the_rotation_is_told_of(test, train):
    metrics = run(Telltale(), test, train, symmetries=()).metrics
    assert metrics["latent/rotation_error_deg"] < 0.6 * metrics["latent/rotation_chance_deg"]
    assert metrics["latent/linear_probe_accuracy_so3_so3"] < 0.7


def test_of_symmetric_classes_neither_is_a_rotation_asked_nor_learned(test, train, monkeypatch):
    """Several rotations make the same view of their objects."""
    seen, told = [], rotation_information.rotation_error

    def spy(*args):
        seen.append([len(values) for values in args])
        return told(*args)

    monkeypatch.setattr(rotation_information, "rotation_error", spy)
    metrics = run(Mute(), test, train, symmetries=("chair:C2",)).metrics
    assert seen == [[20, 20, 16, 16]]  # of 30 and 24 in three classes
    assert "latent/rotation_error_deg/class/bed" in metrics
    assert "latent/rotation_error_deg/class/chair" not in metrics


def test_a_declared_symmetry_counts_for_its_class_alone(mute):
    metrics = mute.metrics
    for c, smaller in (("bed", True), ("chair", False)):
        plain = metrics[f"pose/pair_median_deg/class/{c}"]
        symmetric = metrics[f"pose/pair_median_symmetric_deg/class/{c}"]
        assert symmetric < plain - 5 if smaller else symmetric == pytest.approx(plain, abs=0.1)
        plain = metrics[f"canonical/category_median_deg/class/{c}"]
        symmetric = metrics[f"canonical/category_median_symmetric_deg/class/{c}"]
        assert symmetric < plain - 5 if smaller else symmetric == pytest.approx(plain, abs=0.1)


def test_it_is_deterministic_and_blind_to_the_batch_size(compact, test, train):
    again = run(Compact(), test, train, batch_size=13).metrics
    assert again.keys() == compact.metrics.keys()
    for name, value in compact.metrics.items():
        assert again[name] == pytest.approx(value, rel=2e-2, abs=2e-2), name


def test_views_at_random_rotations_are_those_at_hand(compact):
    metrics = compact.metrics
    probe = metrics["latent/linear_probe_accuracy"]
    assert metrics["latent/linear_probe_accuracy_so3_so3"] == probe


def test_what_needs_the_source_s_frame_is_left_out_without_one(test, train):
    metrics = run(Mute(), dataclasses.replace(test, aligned=False), train).metrics
    missing = ADDED - names(metrics)
    assert {name for name in missing if "aligned" in name or "category_m" in name}
    assert not [name for name in metrics if "aligned" in name or "symmetric" in name]
    assert "latent/nn1_accuracy_so3_so3" in metrics and "canonical/category_chamfer" in metrics


def test_what_needs_turned_views_is_left_out_for_aligned_data(test, train):
    metrics = run(Compact(), test, train, rotations="none").metrics
    for name in ("latent/mig", "latent/continuity", "pose/class_accuracy"):
        assert name in ADDED and name not in metrics
    assert metrics["latent/nn1_accuracy_aligned_aligned"] > 0.9
    assert "latent/nn1_accuracy_so3_so3" in metrics


def test_what_is_made_of_aligned_objects_is_compared_with_the_views_of_turned_ones(test, train):
    plain = {"thorough": False, "max_train": 0}
    aligned = run(Compact(), test, train, rotations="none", max_train=0).metrics
    turned = run(Compact(), test, train, rotations="so3", **plain).metrics
    # Nothing is decoded, so the errors are the voxels that were to be reproduced.
    for name in ("sse", "sse/class/bed"):
        whole = f"reconstruction/{name}"
        there = whole.replace("sse", "sse_turned")
        assert aligned[there] == pytest.approx(turned[whole], rel=1e-5)
        assert abs(aligned[there] - aligned[whole]) > 1
    assert not [name for name in turned if "turned" in name]


def test_a_perfect_reconstruction_is_perfect_turned_as_well(test):
    class Copying:
        def encode(self, voxels):
            return Code(voxels, voxels, jnp.tile(jnp.eye(3), (len(voxels), 1, 1)))

        def decode(self, z_mean, rotation):
            return z_mean

    index = np.array([3, 0, 7])
    counts, sse = thorough.collect.turned_reconstructions(
        Copying(), test, index, seed=3, batch_size=2
    )
    assert np.array_equal(sse, np.zeros(3))
    assert counts.false_positive.sum() == counts.false_negative.sum() == 0
    assert (counts.true_positive > 0).all()


@pytest.mark.parametrize("rotations", ["none", "cube"])
def test_test_and_training_objects_are_turned_by_rotations_of_their_own(
    test, train, rotations, monkeypatch
):
    seen, encode_turned = [], thorough.collect.encode_turned

    def spy(model, split, index, turns, **options):
        seen.append(turns)
        return encode_turned(model, split, index, turns, **options)

    monkeypatch.setattr(thorough.collect, "encode_turned", spy)
    run(Mute(), test, train, rotations=rotations)
    learn, ask = seen[:2]
    assert (len(learn), len(ask)) == (len(train), len(test))
    every = np.concatenate([learn, ask]).reshape(-1, 9)
    assert len(np.unique(every, axis=0)) == len(every)


def test_a_view_depends_on_its_object_s_place_and_not_on_which_others_are_kept(test, train):
    """The first test object occurs in training too, and is left out."""
    known = dataclasses.replace(
        train,
        packed=np.concatenate([train.packed, test.packed[:1]]),
        label=np.append(train.label, test.label[0]),
        source_id=(*train.source_id, "copy"),
    )

    class Spy(Mute):
        def __init__(self):
            super().__init__()
            self.seen = []

        def encode(self, voxels):
            self.seen += [np.asarray(v) for v in voxels]
            return super().encode(voxels)

    def views(train):
        model = Spy()
        run(model, test, train, rotations="none", max_train=9, batch_size=24)
        return np.round(np.stack(model.seen), 4).reshape(len(model.seen), -1)

    every, fewer = views(train), views(known)
    kept = test.select(np.arange(1, len(test)))
    turned = {v.tobytes() for v in every} - {
        np.round(v, 4).tobytes() for s in (test, train) for v in s.voxels(np.arange(len(s)))
    }
    assert len(turned) == len(test) + 9
    assert sum(v.tobytes() in turned for v in np.unique(fewer, axis=0)) >= len(kept)


def test_turns_of_the_cube_are_enough(test, train):
    metrics = run(Mute(), test, train, rotations="cube").metrics
    assert metrics["latent/factorvae"] == pytest.approx(1 / 3)


def test_without_training_objects_there_is_no_probe(test, train):
    metrics = run(Mute(), test, train, max_train=0).metrics
    assert not [name for name in metrics if "_so3" in name or "class_" in name.split("/")[1]]
    assert "latent/mig" in metrics


@pytest.mark.parametrize("count", [1, 2])
def test_few_objects_are_compared_as_far_as_there_are_others(count, train):
    metrics = run(Mute(), objects(count, seed=6), train).metrics
    assert np.isfinite(list(metrics.values())).all()
    assert "canonical/instance_chamfer" in metrics
    assert not [name for name in metrics if "category" in name or "dci" in name]


def test_three_objects_of_a_class_are_enough_for_factors(train):
    metrics = run(Mute(), objects(8, seed=6), train).metrics  # the third class has two
    assert metrics["latent/factorvae"] == pytest.approx(1 / 3)
    assert metrics["latent/dci_completeness"] == pytest.approx(0, abs=1e-9)


def test_one_class_has_no_classification(train):
    test, train = objects(4, 7, ("bed",)), objects(4, 8, ("bed",))
    metrics = run(Compact(), test, train, symmetries=()).metrics
    assert not [name for name in metrics if "nn1" in name or "probe" in name or "class_" in name]
    assert "latent/rotation_error_deg" in metrics and "latent/continuity" in metrics
