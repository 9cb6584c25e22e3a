"""MIG, SAP and the FactorVAE score: part of evaluate, on the host.

Each asks in its own way whether every factor (class, instance, rotation: `rotdis.metrics.factors`)
is told by one unit of the representation, a dimension of z or the rotation as one block, and by no
other. They are the definitions of the papers, not those of one library: Locatello et al.
("Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations", ICML
2019) collected them in disentanglement_lib, which needs TensorFlow 1. Deterministic.
"""

from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float, Int
from sklearn.metrics import balanced_accuracy_score, mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.tree import DecisionTreeClassifier

from rotdis.metrics.factors import Factor, Stratum

_VOTES = 1000  # of the FactorVAE score, to learn from and as many to count
_BATCH = 16  # samples a vote, at most


def mig(factors: Sequence[Factor]) -> float:
    """Returns the mutual information gap, in [0, 1].

    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018:
    the two units with the most mutual information with a factor, their difference over the factor's
    entropy, mean over factors. Units are discretized, z into 20 bins of equal width and the
    rotation into the cube's 24 cells. From few samples mutual information is overestimated, so both
    it and the entropy are taken less what unrelated values of the same frequencies share on average
    (the correction of Vinh et al., "Information Theoretic Measures for Clusterings Comparison",
    JMLR 2010), and never below zero.
    """
    return _mean_gap(_scores(factors, _information))


def sap(factors: Sequence[Factor], seed: int = 0) -> float:
    """Returns the separated attribute predictability, in [0, 1].

    Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", ICLR 2018: how well thresholds on one unit alone tell a categorical factor, by
    balanced accuracy on a held-out quarter of the samples, the best unit less the second best, mean
    over factors. The thresholds are a decision tree's of at most two leaves a value; accuracies are
    rescaled so that 0 is chance (as in scikit-learn's `balanced_accuracy_score(adjusted=True)`).
    """
    return _mean_gap(_scores(factors, lambda s: _predictability(s, seed)))


def factorvae_score(factors: Sequence[Factor], seed: int = 0) -> float:
    """Returns the FactorVAE score: an accuracy, 1 / (number of factors) for a useless code.

    Kim and Mnih, "Disentangling by Factorising", ICML 2018: of samples that agree in one factor and
    are random in the others, the unit with the least variance, relative to its variance among all
    samples of the stratum, votes for that factor; a classifier gives each unit the factor that it
    voted for most often, and is right for so many of further votes. Units that do not vary in a
    stratum are left out there, and where none does, a vote is a guess; the variance of the rotation
    is that of its nine entries together.
    """
    rng = np.random.default_rng(seed)
    spreads = [[(s.alive(), s.spread()) for s in factor] for factor in factors]
    nobody = len(factors[0][0].units)  # votes where no unit varies

    def vote(k: int) -> int | None:
        i = rng.integers(len(factors[k]))
        stratum, (alive, spread) = factors[k][i], spreads[k][i]
        if not alive.any():
            return nobody
        same = np.flatnonzero(stratum.value == rng.choice(stratum.value))
        if len(same) < 2:
            return None
        chosen = rng.choice(same, min(_BATCH, len(same)), replace=False)
        variance = np.array([np.var(unit[chosen], axis=0).sum() for unit in stratum.units])
        relative = np.where(alive, variance / np.where(alive, spread, 1.0), np.inf)
        return int(np.argmin(relative))

    counts = np.zeros((2, nobody + 1, len(factors)))
    for half in counts:
        for n in range(_VOTES):
            k = n % len(factors)
            unit = vote(k)
            if unit is not None:
                half[unit, k] += 1
    learned, counted = counts
    right = counted[np.arange(nobody), np.argmax(learned[:nobody], axis=1)]
    guessed = counted[nobody].sum() / len(factors)
    return float((right.sum() + guessed) / counted.sum())


def _scores(factors: Sequence[Factor], score) -> Float[np.ndarray, "k u"]:
    """Returns the score of every unit for every factor: the mean over the factor's strata."""
    return np.stack([np.mean([score(stratum) for stratum in factor], axis=0) for factor in factors])


def _mean_gap(scores: Float[np.ndarray, "k u"]) -> float:
    """Returns the mean over factors of the best unit's score less the second best's."""
    if scores.shape[1] < 2:
        return float(scores.mean())  # there is no second: it says nothing
    second, best = np.sort(scores, axis=1)[:, -2:].T
    return float(np.mean(best - second))


def _information(stratum: Stratum) -> Float[np.ndarray, " u"]:
    everything = scipy.stats.entropy(np.unique(stratum.value, return_counts=True)[1])
    result = np.zeros(len(stratum.units))
    for unit, cells in enumerate(stratum.cells.T):
        shared = mutual_info_score(stratum.value, cells)
        table = contingency_matrix(stratum.value, cells, sparse=True).astype(np.int64)
        by_chance = expected_mutual_information(table, len(cells))
        if everything - by_chance > 1e-9:
            result[unit] = max(shared - by_chance, 0.0) / (everything - by_chance)
    return result


def _predictability(stratum: Stratum, seed: int) -> Float[np.ndarray, " u"]:
    learn, held_out = stratum.split(seed)
    leaves = 2 * len(np.unique(stratum.value))

    def accuracy(unit: Float[np.ndarray, "n _"]) -> float:
        tree = DecisionTreeClassifier(
            class_weight="balanced", max_leaf_nodes=leaves, random_state=seed
        )
        told: Int[np.ndarray, " b"] = tree.fit(unit[learn], stratum.value[learn]).predict(
            unit[held_out]
        )
        return max(balanced_accuracy_score(stratum.value[held_out], told, adjusted=True), 0.0)

    return np.array([accuracy(unit) for unit in stratum.units])
