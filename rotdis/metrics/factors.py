"""Codes arranged by what made them: what the disentanglement scores of evaluate are computed from.

The factors are an object's class, which object of its class it is (its instance), and its rotation.
The last two are told apart within each class: an instance's number means nothing in another class,
and a class's zero rotation is a convention. So a factor is a list of sets of samples, its strata:
one for the class, and for the others one a class. Scores are computed in each and averaged.
"""

import dataclasses
from collections.abc import Collection, Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3
from rotdis.metrics import symmetry

INSTANCES = 5  # objects of a class, at most
TURNS = 24  # values of the rotation: the cube's group
_SCATTER = 15.0  # degrees, at most, that a view is turned on from its value of the rotation
BINS = 20  # of a shape code's dimension, of equal width, as in Locatello et al. (ICML 2019)
_DEAD = 1e-3  # a unit with less than this share of the variance that it might have says nothing
_FOLDS = 4
_UNIFORM = 3.0  # variance of uniform rotations: that of the nine entries together


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Samples among which one factor is told apart.

    Attributes:
        units: what the parts of the representation say: a dimension of z is a unit of one column,
            the rotation as one block is one of nine. The same units in every stratum.
        cells: each unit's value, discretized.
        value: the factor's value.
        group: samples of one number have the factor's value in common by nature, and are learned
            from or held out together: views of an object, where the factor is its class, which
            else would be told by recognizing the object. Each sample is its own elsewhere.
    """

    units: list[Float[np.ndarray, "n _"]]
    cells: Int[np.ndarray, "n u"]
    value: Int[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]

    def spread(self) -> Float[np.ndarray, " u"]:
        """Returns the variance of each unit, summed over its columns."""
        return np.array([np.var(unit, axis=0).sum() for unit in self.units])

    def alive(self) -> np.ndarray:
        """Returns which units say anything here.

        Dimensions of z are compared with the largest of them, since the scale of z is free, and the
        rotation with uniform ones.
        """
        spread = self.spread()
        is_code = np.array([unit.shape[1] == 1 for unit in self.units])
        largest = max(spread[is_code].max(initial=0.0), 1e-12)
        return spread > _DEAD * np.where(is_code, largest, _UNIFORM)

    def splits(self, seed: int) -> Iterator[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
        """Yields the samples to learn from and those held out, each of them held out once.

        A quarter of each value's groups at a time, as nearly as there are so many.
        """
        rng = np.random.default_rng(seed)
        groups, first, of = np.unique(self.group, return_index=True, return_inverse=True)
        values = [groups[self.value[first] == value] for value in np.unique(self.value)]
        folds = min(_FOLDS, *map(len, values))
        fold = np.empty(len(groups), int)
        for members in values:
            fold[np.searchsorted(groups, rng.permutation(members))] = (
                np.arange(len(members)) % folds
            )
        for n in range(folds):
            yield np.flatnonzero(fold[of] != n), np.flatnonzero(fold[of] == n)


Factor = list[Stratum]


def design(
    label: Int[np.ndarray, " n"], seed: int, scatter: float = _SCATTER
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Float[np.ndarray, "m 3 3"]]:
    """Chooses which object is to be seen under which rotation.

    Up to `INSTANCES` random objects of each class, each under the 24 rotations of the cube, turned
    on about a random axis by up to `scatter` degrees: a model may be exactly equivariant to the
    cube's group, and what it says of its 24 rotations alone would be too good.

    Returns:
        (object, value of the rotation, the rotation itself), one of each a view.
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(label == c))[:INSTANCES] for c in np.unique(label)]
    chosen = np.repeat(np.concatenate(members), TURNS)
    value = np.tile(np.arange(TURNS), len(chosen) // TURNS)
    axes = rng.normal(size=(len(chosen), 3))
    axes *= rng.uniform(0, scatter, (len(chosen), 1)) / np.linalg.norm(axes, axis=1, keepdims=True)
    scattered = Rotation.from_rotvec(axes, degrees=True).as_matrix() @ so3.cube_group()[value]
    return chosen, value, scattered.astype(np.float32)


def arrange(
    codes: Float[np.ndarray, "m l"],
    rotations: Float[np.ndarray, "m 3 3"],
    label: Int[np.ndarray, " m"],
    instance: Int[np.ndarray, " m"],
    turn: Int[np.ndarray, " m"],
    symmetric: Collection[int] = (),
) -> list[Factor]:
    """Returns the factors class, instance and rotation, those of them that take several values.

    Instances and rotations are told apart in classes of at least three objects, and of classes
    those of at least two, since the class is asked for objects that it was not learned from.

    Args:
        codes: z of the views of `design`.
        rotations: R inferred there.
        label, instance, turn: what made each view; no two objects have the same instance.
        symmetric: classes whose rotation is not to be told, since they look alike from several
            sides; they are left out of the factor "rotation" alone.
    """
    classes = np.unique(label)
    factors = []
    several = np.isin(label, [c for c in classes if len(np.unique(instance[label == c])) > 1])
    if len(np.unique(label[several])) > 1:
        r = rotations[several]
        cells = _rotation_cells(r, np.eye(3))
        factors.append([stratum(codes[several], label[several], r, cells, instance[several])])
    instances, turns = [], []
    for c in classes:
        of_class = label == c
        if len(np.unique(instance[of_class])) < 3:  # two views to learn from, one to be asked
            continue
        z, r, k = codes[of_class], rotations[of_class], turn[of_class]
        # Where cells begin is free; they are laid around the frame that the class mostly has.
        frame = symmetry.common_frame(np.swapaxes(so3.cube_group()[k], 1, 2) @ r)
        cells = _rotation_cells(r, frame)
        instances.append(stratum(z, instance[of_class], r, cells))
        if c not in symmetric:
            turns.append(stratum(z, k, r, cells))
    return factors + [factor for factor in (instances, turns) if factor]


def _rotation_cells(
    rotations: Float[np.ndarray, "n 3 3"], frame: Float[np.ndarray, "3 3"]
) -> Int[np.ndarray, " n"]:
    """Returns for which g of the cube's group g times the frame is the nearest to each rotation."""
    group = so3.cube_group() @ frame
    return np.argmax(np.einsum("nij,gij->ng", rotations, group), axis=1)


def stratum(
    codes: Float[np.ndarray, "n l"],
    value: Int[np.ndarray, " n"],
    rotations: Float[np.ndarray, "n 3 3"] | None = None,
    rotation_cells: Int[np.ndarray, " n"] | None = None,
    group: Int[np.ndarray, " n"] | None = None,
) -> Stratum:
    """Puts codes and, where the model has one, the rotation into a stratum.

    Args:
        codes: shape codes z.
        value: of the factor.
        rotations: the inferred rotations; None for a model without.
        rotation_cells: which of a few rotations each is nearest to.
        group: samples that are held out together; each by itself by default.
    """
    units = [codes[:, i : i + 1].astype(np.float64) for i in range(codes.shape[1])]
    cells = [_equal_width(unit[:, 0]) for unit in units]
    if rotations is not None:
        units.append(rotations.reshape(len(rotations), 9).astype(np.float64))
        cells.append(rotation_cells)
    group = np.arange(len(value)) if group is None else group
    return Stratum(units, np.stack(cells, axis=1), value, group)


def _equal_width(values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    low, high = values.min(), values.max()
    width = (high - low) / BINS
    if width <= 0:
        return np.zeros(len(values), int)
    return np.minimum(((values - low) / width).astype(int), BINS - 1)
