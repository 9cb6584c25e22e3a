"""What evaluate adds at the end of a run: metrics too slow, or too many, for a look in training.

Of each object, in `Predictions.measured` (medians or means, also by class and group):

- `reconstruction/sse_turned`, `reconstruction/iou_turned`, of a model of aligned data: object and
  reconstruction turned alike, as a model of turned objects sees them. Interpolation blurs a turned
  object, and a blurred one is reproduced with less squared error, so SSEs of aligned and of turned
  objects cannot be compared otherwise.
- `pose/pair_median_symmetric_deg`, `pose/pair_acc30_symmetric`: the pair error to the nearest of a
  class's declared symmetries (`metrics.symmetry`; aligned data);
  `pose/pair_median_selfsimilar_deg`: to the nearest rotation after which the object itself looks
  almost the same (`metrics.self_similarity`), beside what that is where the inferred rotations are
  uniformly random, `pose/pair_chance_selfsimilar_deg`.
- `canonical/instance_chamfer`, `canonical/category_chamfer`: ConDor's consistency; beside the
  latter `canonical/category_chamfer_aligned`, what it is in the source's own alignment
  (`metrics.chamfer`).
- `latent/nn1_accuracy_A_B`, `latent/linear_probe_accuracy_A_B`: the class of test objects seen as B
  from the codes of training objects seen as A: `aligned`, in the source's orientation, or `so3`, at
  uniformly random rotations (Esteves et al., "Learning SO(3) Equivariant Representations with
  Spherical CNNs", ECCV 2018). A code that holds the rotation fails at `aligned_so3`.
- `latent/rotation_error_deg` against `latent/rotation_chance_deg`, `pose/class_accuracy` against
  `pose/class_chance`: what z tells of the rotation, and R of the class
  (`metrics.rotation_information`; the former of aligned data, in classes not declared symmetric).

Of the split, in `Predictions.overall`: `latent/dci_*` (`metrics.dci`), `latent/mig`, `latent/sap`,
`latent/factorvae` (`metrics.disentanglement`); `latent/continuity` and `pose/continuity`, the share
of paths without a jump, `latent/largest_step` and `pose/largest_slip_deg`, the median over paths of
how large the largest was (`metrics.continuity`). And `Predictions.symmetries`, declared, and
`own_symmetries`, each object's, for the category metrics up to either (`metrics.summary`).

Where the model is one of aligned data (`rotations="none"`), what is learned from rotated views is
left out: what z tells of the rotation and R of the class, `Predictions.overall`. Continuity is
measured where `rotations="so3"` alone. Both views of an
object are then the object itself, so that what compares them is perfect by itself. Where the
objects of a class have no common frame (`aligned=False`) their rotations cannot be compared, and
no axis of a declared symmetry is known: the factor "rotation" is left out, and no symmetry is
forgiven. `metrics.self_similarity` tries turns about the grid's axes, of such objects as of others.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from rotdis import collect
from rotdis.collect import Evaluable, Learned
from rotdis.data.voxelset import VoxelSet
from rotdis.metrics import (
    chamfer,
    continuity,
    disentanglement,
    factors,
    latent,
    reconstruction,
    rotation_information,
    self_similarity,
    symmetry,
)
from rotdis.metrics.dci import dci
from rotdis.metrics.pose import accuracy
from rotdis.metrics.summary import Measured, Predictions

PATHS = 12  # along which continuity is followed, one object each


def examine(
    model: Evaluable,
    test: VoxelSet,
    predictions: Predictions,
    learned: Learned | None,
    symmetries: Sequence[str],
    *,
    seed: int,
    batch_size: int,
    rotations: str,
) -> Predictions:
    """Adds the thorough evaluation to what was collected of the test split.

    Args:
        model: the model.
        test: the split of which `predictions` are.
        predictions: two views of each object.
        learned: for the probes; None for no probe.
        symmetries: declared ones, see `metrics.symmetry.parse`.
        seed: of what is drawn at random.
        batch_size: objects at a time.
        rotations: how the objects of `predictions` and `learned` are turned.

    Raises:
        RotdisError: the model's output is not finite.
        ValueError: a symmetry is not of a known form.
    """
    declared = symmetry.parse(symmetries)
    objects = test.select(predictions.index)
    holds = [
        self_similarity.near_symmetries(objects.voxels(batch))
        for batch in collect.padded(np.arange(len(objects)), batch_size)
    ]
    own = np.concatenate(holds)[: len(objects)]
    measured = _pose_errors(objects, predictions, declared, own)
    measured |= _surfaces(objects, predictions)
    if rotations == "none":
        measured |= _turned(model, test, predictions, seed, batch_size)
    overall = {}
    if learned is not None:
        reuse = rotations == "so3"
        measured |= _classification(model, objects, predictions, learned, reuse, seed, batch_size)
        if rotations != "none":
            measured |= _information(predictions, learned, declared)
    if rotations != "none":
        # Where objects of a class have no common frame their rotations cannot be compared, and no
        # symmetry lies about a common axis.
        named = declared if predictions.aligned else {}
        symmetric = tuple(declared) if predictions.aligned else objects.class_names
        overall |= _disentanglement(model, objects, symmetric, seed, batch_size, rotations)
        if rotations == "so3":
            overall |= _continuity(model, objects, predictions, named, seed, batch_size)
    return dataclasses.replace(
        predictions, measured=measured, overall=overall, symmetries=declared, own_symmetries=own
    )


def _turned(
    model: Evaluable, test: VoxelSet, predictions: Predictions, seed: int, batch_size: int
) -> dict[str, Measured]:
    counts, sse = collect.turned_reconstructions(
        model, test, predictions.index, seed=seed, batch_size=batch_size
    )
    return {
        "reconstruction/sse_turned": Measured(sse, np.mean),
        "reconstruction/iou_turned": Measured(reconstruction.iou(counts), np.mean),
    }


def _pose_errors(
    objects: VoxelSet,
    predictions: Predictions,
    declared: Mapping[str, Float[np.ndarray, "_ 3 3"]],
    own: Bool[np.ndarray, "n s"],
) -> dict[str, Measured]:
    views, inferred = predictions.views, predictions.rotations
    drawn = Rotation.random(len(views) * 2, rng=np.random.default_rng(0)).as_matrix()
    chance = drawn.reshape(views.shape)
    measured = {
        f"pose/pair_{name}_selfsimilar_deg": Measured(
            symmetry.pair_error(views, of, self_similarity.candidates(), own), np.median
        )
        for name, of in (("median", inferred), ("chance", chance))
    }
    if predictions.aligned:
        error = predictions.pair_error.copy()
        for name, group in declared.items():
            if name in objects.class_names:
                chosen = objects.label == objects.class_names.index(name)
                error[chosen] = symmetry.pair_error(views[chosen], inferred[chosen], group)
        measured |= {
            "pose/pair_median_symmetric_deg": Measured(error, np.median),
            "pose/pair_acc30_symmetric": Measured(error, lambda angles: accuracy(angles, 30)),
        }
    return measured


def _surfaces(objects: VoxelSet, predictions: Predictions) -> dict[str, Measured]:
    surfaces = [
        chamfer.surface_points(objects.voxels(slice(i, i + 1))[0]) for i in range(len(objects))
    ]
    frames = np.swapaxes(predictions.views, -1, -2) @ predictions.rotations
    measured = {
        "canonical/instance_chamfer": chamfer.instance_chamfer(surfaces, frames),
        "canonical/category_chamfer": chamfer.category_chamfer(
            surfaces, frames[:, 0], objects.label
        ),
    }
    if predictions.aligned:
        unturned = np.broadcast_to(np.eye(3), (len(surfaces), 3, 3))
        measured["canonical/category_chamfer_aligned"] = chamfer.category_chamfer(
            surfaces, unturned, objects.label
        )
    return {name: Measured(values, np.mean) for name, values in measured.items()}


def _classification(
    model: Evaluable,
    objects: VoxelSet,
    predictions: Predictions,
    learned: Learned,
    reuse: bool,
    seed: int,
    batch_size: int,
) -> dict[str, Measured]:
    """`reuse` says that the views at hand are at uniformly random rotations."""
    labels = learned.split.label
    if len(np.unique(labels)) < 2 or len(np.unique(objects.label)) < 2:
        return {}

    def codes(split: VoxelSet, turns: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n l"]:
        every = np.arange(len(split))
        return collect.encode_turned(model, split, every, turns, batch_size=batch_size).z_mean

    def turned(
        split: VoxelSet, place: Int[np.ndarray, " n"], stream: int
    ) -> Float[np.ndarray, "n l"]:
        return codes(split, collect.uniform_turns(place, seed, stream))

    def aligned(split: VoxelSet) -> Float[np.ndarray, "n l"]:
        return codes(split, np.broadcast_to(np.eye(3, dtype=np.float32), (len(split), 3, 3)))

    learn, ask = {}, {}
    if reuse:
        learn["so3"], ask["so3"] = learned.seen.z_mean, predictions.z_mean[:, 0]
    else:
        learn["so3"] = turned(learned.split, learned.place, collect.TRAIN)
        ask["so3"] = turned(objects, predictions.index, collect.TEST)
    protocols = [("so3", "so3")]
    if predictions.aligned:
        learn["aligned"], ask["aligned"] = aligned(learned.split), aligned(objects)
        protocols += [("aligned", "aligned"), ("aligned", "so3")]
    measured = {}
    for a, b in protocols:
        nearest = labels[latent.nearest_of(learn[a], ask[b])]
        probe = latent.linear_probe(learn[a], labels, ask[b])
        for kind, told in (("nn1", nearest), ("linear_probe", probe)):
            right = (told == objects.label).astype(float)
            measured[f"latent/{kind}_accuracy_{a}_{b}"] = Measured(right, np.mean)
    return measured


def _information(
    predictions: Predictions,
    learned: Learned,
    declared: Mapping[str, Float[np.ndarray, "_ 3 3"]],
) -> dict[str, Measured]:
    seen, labels = learned.seen, learned.split.label
    rotations, views = predictions.rotations[:, 0], predictions.views[:, 0]
    measured = {}
    symmetric = [n for n, name in enumerate(predictions.class_names) if name in declared]
    learn, ask = ~np.isin(labels, symmetric), ~np.isin(predictions.label, symmetric)
    if predictions.aligned and learn.any() and ask.any():
        angles = rotation_information.rotation_error(
            seen.z_mean[learn], seen.turns[learn], predictions.z_mean[ask, 0], views[ask]
        )
        for name, found in zip(("error", "chance"), angles, strict=True):
            values = np.full(len(ask), np.nan)
            values[ask] = found
            measured[f"latent/rotation_{name}_deg"] = Measured(values, np.median)
    if len(np.unique(predictions.label)) > 1 and len(np.unique(labels)) > 1:
        right, chance = rotation_information.class_told_by_rotation(
            seen.rotations, labels, rotations, predictions.label
        )
        measured["pose/class_accuracy"] = Measured(right, np.mean)
        measured["pose/class_chance"] = Measured(chance, np.mean)
    return measured


def _disentanglement(
    model: Evaluable,
    objects: VoxelSet,
    symmetric: Collection[str],
    seed: int,
    batch_size: int,
    rotations: str,
) -> dict[str, float]:
    """`symmetric` are the classes whose rotation is not to be told."""
    scatter = {} if rotations == "so3" else {"scatter": 0.0}
    index, value, turns = factors.design(objects.label, seed, **scatter)
    seen = collect.encode_turned(model, objects, index, turns, batch_size=batch_size)
    labels = [n for n, name in enumerate(objects.class_names) if name in symmetric]
    arranged = factors.arrange(
        seen.z_mean, seen.rotations, objects.label[index], index, value, labels
    )
    if len(arranged) < 2:
        return {}
    scores = {f"latent/dci_{name}": score for name, score in dci(arranged)._asdict().items()}
    return scores | {
        "latent/mig": disentanglement.mig(arranged),
        "latent/sap": disentanglement.sap(arranged),
        "latent/factorvae": disentanglement.factorvae_score(arranged),
    }


def _continuity(
    model: Evaluable,
    objects: VoxelSet,
    predictions: Predictions,
    declared: Mapping[str, Float[np.ndarray, "_ 3 3"]],
    seed: int,
    batch_size: int,
) -> dict[str, float]:
    """Follows the rotation, and the code where different objects have different ones."""
    chosen = np.random.default_rng(seed).permutation(len(objects))[:PATHS]
    turns = continuity.paths(len(chosen), seed)
    shape = turns.shape[:2]
    seen = collect.encode_turned(
        model,
        objects,
        np.repeat(chosen, shape[1]),
        turns.reshape(-1, 3, 3),
        batch_size=batch_size,
    )
    told_apart = predictions.view_distance is not None
    followed = continuity.follow(
        turns,
        seen.z_mean.reshape(*shape, -1),
        seen.rotations.reshape(*shape, 3, 3),
        latent.mean_distance(predictions.z_mean[:, 0]) if told_apart else 0.0,
        [
            declared.get(objects.class_names[label], symmetry.IDENTITY)
            for label in objects.label[chosen]
        ],
    )
    scores = {
        "pose/continuity": float(np.mean(followed.rotation_is_continuous)),
        "pose/largest_slip_deg": float(np.median(followed.largest_slip)),
    }
    if told_apart:
        scores |= {
            "latent/continuity": float(np.mean(followed.code_is_continuous)),
            "latent/largest_step": float(np.median(followed.largest_step)),
        }
    return scores
