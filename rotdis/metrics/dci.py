"""DCI: disentanglement, completeness and informativeness of the code, part of evaluate.

Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
Representations", ICLR 2018. A forest learns to tell each factor (`rotdis.metrics.factors`) from all
units together; how much it relies on each unit says which units tell what.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import RandomForestClassifier

from rotdis.metrics.factors import Factor, Stratum

_TREES = 30


class DCI(NamedTuple):
    """The three scores, each in [0, 1].

    Attributes:
        disentanglement: whether a unit is relied on for one factor alone: one less the entropy of
            its importances (base: number of factors), mean over units weighted by importance.
        completeness: whether a factor is told by one unit alone: one less the entropy of the
            units' importances (base: number of units), mean over factors.
        informativeness: accuracy of the forests on samples held out (`Stratum.splits`), mean over
            factors.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def dci(factors: Sequence[Factor], seed: int = 0) -> DCI:
    """Returns the scores, from random forests' importances as in the paper.

    Every split considers all columns, since a tree that must use a random few relies on useless
    ones too. The importance of the rotation is that of its nine entries together. In a factor with
    several strata importances and accuracies are means over them, and over the splits of each.
    Deterministic.
    """
    importance, accuracy = [], []
    for factor in factors:
        parts = [
            _forest(stratum, *split, seed) for stratum in factor for split in stratum.splits(seed)
        ]
        importance.append(np.mean([part[0] for part in parts], axis=0))
        accuracy.append(np.mean([part[1] for part in parts]))
    importance = np.stack(importance, axis=1)  # unit, factor
    weight = importance.sum(axis=1)
    return DCI(
        disentanglement=float(
            np.sum(weight * _concentration(importance)) / max(weight.sum(), 1e-12)
        ),
        completeness=float(np.mean(_concentration(importance.T))),
        informativeness=float(np.mean(accuracy)),
    )


def _forest(
    stratum: Stratum, learn: Int[np.ndarray, " a"], held_out: Int[np.ndarray, " b"], seed: int
) -> tuple[Float[np.ndarray, " u"], float]:
    """Returns the units' importances, of sum one or zero, and the accuracy on held-out samples."""
    columns = np.concatenate(stratum.units, axis=1)
    forest = RandomForestClassifier(_TREES, max_features=None, random_state=seed)
    forest.fit(columns[learn], stratum.value[learn])
    starts = np.cumsum([0] + [unit.shape[1] for unit in stratum.units[:-1]])
    importance = np.add.reduceat(forest.feature_importances_, starts)
    return importance, float(forest.score(columns[held_out], stratum.value[held_out]))


def _concentration(importance: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Returns one less the entropy of each row's shares, in units of the largest entropy."""
    if importance.shape[1] < 2:
        return np.ones(len(importance))
    total = importance.sum(axis=1, keepdims=True)
    # A row of zeros is as spread out as can be.
    shares = np.where(total > 0, importance / np.where(total > 0, total, 1), 1.0)
    shares = shares / shares.sum(axis=1, keepdims=True)
    logarithm = np.log(np.where(shares > 0, shares, 1))
    relative = -(shares * logarithm).sum(axis=1) / np.log(importance.shape[1])
    return np.clip(1 - relative, 0, 1)  # rounding may pass either end
