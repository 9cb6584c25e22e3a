"""Disentanglement scores of representations of which they are known."""

import dataclasses

import numpy as np
import pytest
from metrics import constructed

from rotdis.metrics import disentanglement as scores
from rotdis.metrics.dci import dci
from rotdis.metrics.factors import stratum


@pytest.fixture(scope="module")
def perfect():
    return constructed.perfect()


@pytest.fixture(scope="module")
def useless():
    return constructed.useless()


@pytest.fixture(scope="module")
def constant():
    return constructed.constant()


@pytest.fixture(scope="module")
def entangled():
    return constructed.entangled()


def test_one_unit_for_each_factor_is_perfect(perfect):
    assert scores.mig(perfect) > 0.95
    assert scores.factorvae_score(perfect) == 1
    assert scores.sap(perfect) > 0.9  # a few thresholds misjudge some rotations


@pytest.mark.parametrize("score", [scores.mig, scores.sap])
@pytest.mark.parametrize("kind", ["useless", "constant", "entangled"])
def test_no_unit_for_a_factor_has_no_gap(score, kind, request):
    assert 0 <= score(request.getfixturevalue(kind)) < 0.1


def test_votes_of_a_useless_code_are_guesses(useless, constant):
    assert scores.factorvae_score(useless) == pytest.approx(1 / 3, abs=0.1)
    assert scores.factorvae_score(constant) == pytest.approx(1 / 3)


@pytest.mark.parametrize("classes", [1, 3])
def test_votes_of_a_long_useless_code_are_guesses_though_values_are_seen_in_few_samples(classes):
    """Each value of the rotation is seen in five samples of a class, all of which are in a vote."""
    found = [scores.factorvae_score(constructed.noise(classes, 32, seed)) for seed in range(3)]
    chance = 1 / len(constructed.noise(classes, 32, 0))
    assert np.mean(found) == pytest.approx(chance, abs=0.05)
    assert np.max(found) < chance + 0.1


def test_a_code_that_tells_objects_and_not_classes_has_no_gap_for_the_class():
    """Each object's code is random: its class could be told by having seen the object."""
    factors = constructed.object_alone()
    assert scores.mig(factors[:1]) < 0.1
    assert scores.sap(factors[:1]) < 0.1
    classes = len(np.unique(factors[0][0].value))
    assert dci(factors[:1]).informativeness < 1 / classes + 0.15
    assert dci(factors[1:2]).informativeness > 0.95  # which object of its class it is, is told


def test_votes_where_no_unit_varies_are_guesses():
    """The class alone is told: within a class nothing varies, and instance and rotation lose."""
    value = np.arange(200) % 4
    told = stratum(np.stack([value, -value], axis=1).astype(float), value)
    untold = stratum(np.zeros((200, 2)), value)
    score = scores.factorvae_score([[told], [untold], [untold]])
    assert score == pytest.approx((1 + 1 / 3 + 1 / 3) / 3, abs=0.01)


def _told_by_two(first, second):
    """Returns two factors, of which a code has the first in one unit and the second in another."""
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 4, (2, 400))
    noise = rng.normal(size=(400, 2))
    codes = np.stack([first(one, noise[:, 0]), second(two, noise[:, 1])], axis=1)
    return [[stratum(codes, one)], [stratum(codes, two)]]


def test_votes_are_blind_to_the_scale_of_units():
    """The quiet unit varies less than the loud one however clearly that tells its factor."""
    factors = _told_by_two(lambda v, n: 0.1 * v, lambda v, n: v + 0.2 * n)
    assert scores.factorvae_score(factors) == 1


def test_votes_of_a_short_code_beside_a_rotation_are_those_of_a_long_one(perfect):
    small = [
        [
            dataclasses.replace(s, units=[*(0.01 * unit for unit in s.units[:-1]), s.units[-1]])
            for s in factor
        ]
        for factor in perfect
    ]
    assert scores.factorvae_score(small) == 1


def test_votes_that_are_counted_are_not_those_learned_from(monkeypatch):
    """Few votes on many useless units would seem to tell much."""
    monkeypatch.setattr(scores, "_VOTES", 40)
    rng = np.random.default_rng(0)
    value = np.arange(600) % 4
    factors = [[stratum(rng.normal(size=(600, 32)), rng.permutation(value))] for _ in range(2)]
    found = [scores.factorvae_score(factors, seed) for seed in range(30)]
    assert np.mean(found) == pytest.approx(1 / 2, abs=0.06)


def test_votes_of_an_entangled_code_lie_between(entangled):
    assert 0.35 < scores.factorvae_score(entangled) < 0.9


def test_dci_of_one_unit_for_each_factor(perfect):
    assert min(dci(perfect)) > 0.95


def test_a_unit_that_nothing_relies_on_does_not_count_in_dci(perfect):
    with_constant = [
        [dataclasses.replace(s, units=[*s.units, np.zeros((len(s.value), 1))]) for s in factor]
        for factor in perfect
    ]
    assert dci(with_constant).disentanglement > 0.95


def test_dci_of_a_useless_code(useless):
    disentanglement, completeness, informativeness = dci(useless)
    assert disentanglement < 0.1
    assert completeness < 0.45  # trees that find nothing rely most on the unit of nine columns
    # Chance of three classes, of five objects and of 24 rotations.
    assert informativeness == pytest.approx((1 / 3 + 1 / 5 + 1 / 24) / 3, abs=0.06)


def test_dci_of_a_code_that_never_changes(constant):
    disentanglement, completeness, _ = dci(constant)
    assert (disentanglement, completeness) == (0, 0)


def test_an_entangled_code_informs_and_is_not_disentangled(entangled, perfect):
    result, best = dci(entangled), dci(perfect)
    assert result.informativeness > 0.6
    assert result.disentanglement < 0.5 * best.disentanglement
    assert result.completeness < 0.6 * best.completeness


def test_two_units_for_one_factor_cost_completeness_and_gaps_but_no_votes():
    """The class is told twice: the gap of that factor is gone, and the others have none."""
    value = np.repeat(np.arange(4), 50)
    noise = 0.01 * np.random.default_rng(0).normal(size=(200, 2))
    twice = [[stratum(value[:, None] + noise, value)]]
    once = [[stratum(np.stack([value, 100 * noise[:, 1]], axis=1), value)]]
    for score in (scores.mig, scores.sap):
        assert score(once) > 0.9
        assert score(twice) < 0.05
    assert dci(once).completeness > 0.9
    assert dci(twice).completeness < 0.3


def test_information_that_chance_would_give_is_none():
    """Without the correction 20 bins of 60 samples would share a third of six values' entropy."""
    rng = np.random.default_rng(0)
    gaps = [
        scores.mig([[stratum(rng.normal(size=(60, 1)), rng.permutation(np.arange(60) % 6))]])
        for _ in range(20)
    ]
    assert np.mean(gaps) < 0.06


def test_scores_are_deterministic(entangled):
    assert scores.factorvae_score(entangled) == scores.factorvae_score(entangled)
    assert scores.sap(entangled) == scores.sap(entangled)
