"""What the code still says of the rotation, and the rotation of the class: part of evaluate.

The two parts of a representation should not repeat each other. As in probing (Alain and Bengio,
"Understanding Intermediate Layers Using Linear Classifier Probes", 2016), here with nonlinear
probes: one learns on training objects and is tried on test objects. Chance is what the same answers
are worth when each is given for any of the test objects.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from rotdis.metrics import pose

_NEIGHBOURS = 15
_EQUAL = 1e-4  # squared distances of rotations (2 angle^2, in radians) that differ by no more
_OBJECTS = 1000  # that the regressor learns from, at most; its time grows with the third power
_ROWS = 64  # test objects at a time that are compared with all
_WIDTHS = (1.0, 10.0)  # of the kernel: exp(-d^2 / (width L))
_PENALTIES = (0.1, 1.0, 10.0)


def rotation_error(
    train_codes: Float[np.ndarray, "n l"],
    train_rotations: Float[np.ndarray, "n 3 3"],
    test_codes: Float[np.ndarray, "m l"],
    test_rotations: Float[np.ndarray, "m 3 3"],
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Returns the angle between each rotation and what its code z tells of it, and that by chance.

    Kernel ridge regression of the nine entries, from up to 1,000 random training objects (Gaussian
    kernel on standardized codes; its width and the penalty are those of the least error on objects
    left out one by one), projected to the nearest rotation (Levinson et al., "An Analysis of SVD
    for Deep Rotation Estimation", NeurIPS 2020). The rotations are those that made the views of
    aligned objects without symmetries (several rotations make the same view of a symmetric one, and
    a code cannot tell which); uniform ones that a code does not know have a median of 132.3
    degrees.

    Returns:
        (error, chance) in degrees; chance is the median angle to what all test codes tell.
    """
    chosen = np.random.default_rng(0).permutation(len(train_codes))[:_OBJECTS]
    train_codes, train_rotations = train_codes[chosen], train_rotations[chosen]
    mean, deviation = train_codes.mean(axis=0), train_codes.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    learn, ask = (
        (codes - mean).astype(np.float64) / deviation for codes in (train_codes, test_codes)
    )
    targets = train_rotations.reshape(len(learn), 9).astype(np.float64)
    told = nearest_rotation(_kernel_ridge(learn, targets, ask).reshape(-1, 3, 3))
    some = (test_rotations[i : i + _ROWS] for i in range(0, len(test_rotations), _ROWS))
    chance = [np.median(pose.all_angles(rotations, told), axis=1) for rotations in some]
    return pose.angles(test_rotations, told), np.concatenate(chance)


def class_told_by_rotation(
    train_rotations: Float[np.ndarray, "n 3 3"],
    train_labels: Int[np.ndarray, " n"],
    test_rotations: Float[np.ndarray, "m 3 3"],
    test_labels: Int[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Returns whether the inferred rotation R alone tells each class, by the 15 nearest ones' vote.

    All that are as near as the fifteenth (within half a degree at the identity) vote too: where
    rotations are of the cube alone, a great many are equal. Among equals the first class is told.

    Returns:
        (right, chance): 1 where the class is told and 0 elsewhere; and the share of all answers
        that are this class.
    """
    classes, learned = np.unique(train_labels, return_inverse=True)
    is_class = np.eye(len(classes))[learned]
    nth = min(_NEIGHBOURS, len(learned)) - 1
    told = np.empty_like(test_labels)
    for i in range(0, len(told), _ROWS):
        rows = test_rotations[i : i + _ROWS].reshape(-1, 9)
        distance = cdist(rows, train_rotations.reshape(-1, 9), "sqeuclidean")
        votes = distance <= np.partition(distance, nth, axis=1)[:, [nth]] + _EQUAL
        told[i : i + _ROWS] = classes[np.argmax(votes @ is_class, axis=1)]
    right = (told == test_labels).astype(float)
    return right, np.mean(told == test_labels[:, None], axis=1)


def _kernel_ridge(
    learn: Float[np.ndarray, "n l"],
    targets: Float[np.ndarray, "n t"],
    ask: Float[np.ndarray, "m l"],
) -> Float[np.ndarray, "m t"]:
    within, across = cdist(learn, learn, "sqeuclidean"), cdist(ask, learn, "sqeuclidean")
    least, answer = np.inf, None
    for width in _WIDTHS:
        scale = width * learn.shape[1]
        kernel, asked = np.exp(-within / scale), np.exp(-across / scale)
        for penalty in _PENALTIES:
            inverse = np.linalg.inv(kernel + penalty * np.eye(len(kernel)))
            weights = inverse @ targets
            # The error on an object left out follows from the fit with it (Allen's PRESS).
            error = np.mean((weights / np.diagonal(inverse)[:, None]) ** 2)
            if error < least:
                least, answer = error, asked @ weights
    return answer


def nearest_rotation(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Returns the rotation nearest to each matrix in the Frobenius norm."""
    u, _, v = np.linalg.svd(matrices)
    u[..., -1] *= np.linalg.det(u @ v)[..., None]
    return u @ v
