"""What the shape code tells and what it must not: part of evaluate, on the host.

A code should tell an object's class (nearest neighbour, linear probe) and stay the same from every
side (view distance). Deterministic; plain NumPy and SciPy in float64.
"""

from collections.abc import Iterator

import numpy as np
import scipy.optimize
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

_ROWS = 1024  # rows of the distance matrix held at a time


def nearest_neighbours(
    codes: Float[np.ndarray, "n l"], identity: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Returns the index of each code's nearest other code (Euclidean; the first among equals).

    Args:
        codes: of objects.
        identity: those of one number are copies of one object, and no others to each other.

    Raises:
        ValueError: there are fewer than two different objects.
    """
    if len(np.unique(identity)) < 2:
        raise ValueError("a nearest neighbour needs at least two different objects")
    nearest = np.empty(len(codes), np.int64)
    for rows, distances in _distance_rows(codes):
        distances[identity[rows, None] == identity] = np.inf
        nearest[rows] = np.argmin(distances, axis=1)
    return nearest


def nearest_of(
    known: Float[np.ndarray, "n l"], codes: Float[np.ndarray, "m l"]
) -> Int[np.ndarray, " m"]:
    """Returns the index of the known code that is nearest to each code (the first among equals)."""
    return np.concatenate(
        [
            np.argmin(cdist(codes[start : start + _ROWS].astype(np.float64), known), axis=1)
            for start in range(0, len(codes), _ROWS)
        ]
    )


def mean_distance(codes: Float[np.ndarray, "n l"]) -> float:
    """Returns the mean Euclidean distance over all pairs of different objects' codes.

    Raises:
        ValueError: there are fewer than two codes.
    """
    _require_two(codes)
    total = sum(float(distances.sum()) for _, distances in _distance_rows(codes))
    return total / (len(codes) * (len(codes) - 1))


def linear_probe(
    train_codes: Float[np.ndarray, "n l"],
    train_labels: Int[np.ndarray, " n"],
    test_codes: Float[np.ndarray, "m l"],
    penalty: float = 1.0,
) -> Int[np.ndarray, " m"]:
    """Returns the classes that multinomial logistic regression predicts for the test codes.

    Codes are standardized by the training codes' mean and deviation. The objective, summed
    cross-entropy + penalty / 2 * |weights|^2 with free intercepts (scikit-learn's
    `LogisticRegression(C=1 / penalty)`), is strictly convex in the weights and minimized by
    L-BFGS from zero, so the result is deterministic.

    Raises:
        ValueError: the training labels hold fewer than two classes.
    """
    classes, targets = np.unique(train_labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError("a linear probe needs training objects of at least two classes")
    train_codes = np.asarray(train_codes, np.float64)
    mean, deviation = train_codes.mean(axis=0), train_codes.std(axis=0)
    deviation[deviation == 0] = 1.0

    def features(codes: Float[np.ndarray, "k l"]) -> Float[np.ndarray, "k l+1"]:
        standardized = (np.asarray(codes, np.float64) - mean) / deviation
        return np.concatenate([standardized, np.ones((len(codes), 1))], axis=1)

    inputs = features(train_codes)
    wanted = np.eye(len(classes))[targets]
    shape = (inputs.shape[1], len(classes))
    decay = np.full((shape[0], 1), penalty)
    decay[-1] = 0.0  # the intercepts

    def objective(flat: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        weights = flat.reshape(shape)
        logits = inputs @ weights
        logits -= logits.max(axis=1, keepdims=True)
        log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -np.sum(wanted * log_probability) + 0.5 * np.sum(decay * weights**2)
        gradient = inputs.T @ (np.exp(log_probability) - wanted) + decay * weights
        # Per object, so that the solver's tolerances do not depend on how many there are.
        return loss / len(inputs), gradient.ravel() / len(inputs)

    solution = scipy.optimize.minimize(
        objective,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "gtol": 1e-6, "ftol": 1e-12},
    )
    return classes[np.argmax(features(test_codes) @ solution.x.reshape(shape), axis=1)]


def _require_two(codes: Float[np.ndarray, "n l"]) -> None:
    if len(codes) < 2:
        raise ValueError(f"distances between codes need at least two objects, not {len(codes)}")


def _distance_rows(
    codes: Float[np.ndarray, "n l"],
) -> Iterator[tuple[Int[np.ndarray, " r"], Float[np.ndarray, "r n"]]]:
    """Yields the distance matrix by blocks of rows, each with its rows' indices."""
    codes = np.asarray(codes, np.float64)
    for start in range(0, len(codes), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(codes)))
        yield rows, cdist(codes[rows], codes)
