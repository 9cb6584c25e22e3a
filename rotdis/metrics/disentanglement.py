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
from jaxtyping import Bool, Float, Int
from sklearn.metrics import balanced_accuracy_score, mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.tree import DecisionTreeClassifier

from rotdis.metrics.factors import Factor, Stratum

_HALVINGS = 10  # of the factors' values, for the FactorVAE score
_VOTES = 500  # of each half, to learn from and as many to count
_BATCH = 16  # samples a vote, at most
_SHUFFLES = 50  # of the objects' classes, for what they share with a unit by chance

Halves = list[list[Bool[np.ndarray, " n"]]]  # of each factor's strata: which samples are in it


def mig(factors: Sequence[Factor]) -> float:
    """Returns the mutual information gap, in [0, 1].

    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018:
    the two units with the most mutual information with a factor, their difference over the factor's
    entropy, mean over factors. Units are discretized, z into 20 bins of equal width and the
    rotation into the cube's 24 cells. From few samples mutual information is overestimated, so both
    it and the entropy are taken less what unrelated values of the same frequencies share on average
    (the correction of Vinh et al., "Information Theoretic Measures for Clusterings Comparison",
    JMLR 2010; for the class, of which the views of an object say the same, the mean over shufflings
    of whole objects), and never below zero.
    """
    return _mean_gap(_scores(factors, _information))


def sap(factors: Sequence[Factor], seed: int = 0) -> float:
    """Returns the separated attribute predictability, in [0, 1].

    Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", ICLR 2018: how well thresholds on one unit alone tell a categorical factor, by
    balanced accuracy on samples held out (`Stratum.splits`), the best unit less the second best,
    mean over factors. The thresholds are a decision tree's of at most two leaves a value;
    accuracies are rescaled so that 0 is chance (as in scikit-learn's
    `balanced_accuracy_score(adjusted=True)`).
    """
    return _mean_gap(_scores(factors, lambda s: _predictability(s, seed)))


def factorvae_score(factors: Sequence[Factor], seed: int = 0) -> float:
    """Returns the FactorVAE score: an accuracy, 1 / (number of factors) for a useless code.

    Kim and Mnih, "Disentangling by Factorising", ICML 2018: of samples that agree in one factor and
    are random in the others, the unit with the least variance, relative to its variance among all
    samples of the stratum, votes for that factor; a classifier gives each unit the factor that it
    voted for most often, and is right for so many of the votes on values that it did not learn
    from: half of each factor's, and the other half in turn, mean over random halvings. (A value is
    seen in few samples, so that two votes on it are nearly one.) Units that do not vary in a
    stratum are left out there, and where none does, a vote is a guess; the variance of the rotation
    is that of its nine entries together.
    """
    rng = np.random.default_rng(seed)
    known = [
        [(s.value, s.alive(), s.spread(), np.concatenate(s.units, axis=1)) for s in factor]
        for factor in factors
    ]
    starts = np.cumsum([0] + [unit.shape[1] for unit in factors[0][0].units[:-1]])
    nobody = len(factors[0][0].units)  # votes where no unit varies

    def vote(k: int, halves: Halves) -> int | None:
        i = rng.integers(len(factors[k]))
        (value, alive, spread, columns), half = known[k][i], halves[k][i]
        if not alive.any():
            return nobody
        same = np.flatnonzero(half & (value == rng.choice(value[half])))
        if len(same) < 2:
            return None
        chosen = rng.choice(same, min(_BATCH, len(same)), replace=False)
        variance = np.add.reduceat(np.var(columns[chosen], axis=0), starts)
        relative = np.where(alive, variance / np.where(alive, spread, 1.0), np.inf)
        return int(np.argmin(relative))

    def votes(halves: Halves) -> Float[np.ndarray, "u k"]:
        count = np.zeros((nobody + 1, len(factors)))
        for n in range(_VOTES):
            k = n % len(factors)
            unit = vote(k, halves)
            if unit is not None:
                count[unit, k] += 1
        return count

    scores = []
    for _ in range(_HALVINGS):
        one = [[_half_of_values(s.value, rng) for s in factor] for factor in factors]
        two = [[~half for half in factor] for factor in one]
        counts = votes(one), votes(two)
        for learned, counted in (counts, counts[::-1]):
            right = counted[np.arange(nobody), np.argmax(learned[:nobody], axis=1)].sum()
            guessed = counted[nobody].sum() / len(factors)
            scores.append((right + guessed) / counted.sum())
    return float(np.mean(scores))


def _half_of_values(
    value: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """Returns which samples are of a random half of the values, of which there are several."""
    values = rng.permutation(np.unique(value))
    return np.isin(value, values[: len(values) // 2])


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
        by_chance = _shared_by_chance(stratum, cells)
        if everything - by_chance > 1e-9:
            result[unit] = max(shared - by_chance, 0.0) / (everything - by_chance)
    return result


def _shared_by_chance(stratum: Stratum, cells: Int[np.ndarray, " n"]) -> float:
    """Returns the mutual information of cells with the values, were these given out at random."""
    whole, first, of = np.unique(stratum.group, return_index=True, return_inverse=True)
    if len(whole) == len(cells):
        table = contingency_matrix(stratum.value, cells, sparse=True).astype(np.int64)
        return expected_mutual_information(table, len(cells))
    rng = np.random.default_rng(0)
    value = stratum.value[first]
    return float(
        np.mean([mutual_info_score(rng.permutation(value)[of], cells) for _ in range(_SHUFFLES)])
    )


def _predictability(stratum: Stratum, seed: int) -> Float[np.ndarray, " u"]:
    leaves = 2 * len(np.unique(stratum.value))
    tree = DecisionTreeClassifier(class_weight="balanced", max_leaf_nodes=leaves, random_state=seed)
    splits = list(stratum.splits(seed))

    def accuracy(unit: Float[np.ndarray, "n _"]) -> float:
        told = np.empty_like(stratum.value)
        for learn, held_out in splits:
            told[held_out] = tree.fit(unit[learn], stratum.value[learn]).predict(unit[held_out])
        return max(balanced_accuracy_score(stratum.value, told, adjusted=True), 0.0)

    return np.array([accuracy(unit) for unit in stratum.units])
