"""Code metrics against small cases and scikit-learn."""

import numpy as np
import pytest

from rotdis.metrics import latent


def test_the_nearest_neighbour_is_never_the_code_itself():
    codes = np.array([[0.0], [1.0], [1.0], [5.0]])
    np.testing.assert_array_equal(latent.nearest_neighbours(codes, np.arange(4)), [1, 2, 1, 1])


def test_copies_of_an_object_are_no_neighbours_of_each_other():
    codes, identity = np.array([[0.0], [1.0], [1.1], [5.0]]), np.array([0, 7, 7, 1])
    np.testing.assert_array_equal(latent.nearest_neighbours(codes, identity), [1, 0, 0, 2])
    with pytest.raises(ValueError, match="two different objects"):
        latent.nearest_neighbours(codes, np.zeros(4, int))


def test_the_nearest_of_known_codes_may_be_the_same_one(monkeypatch):
    known, codes = np.array([[0.0], [1.0], [1.0], [5.0]]), np.array([[5.0], [1.0], [-9.0], [3.1]])
    np.testing.assert_array_equal(latent.nearest_of(known, codes), [3, 1, 0, 3])
    monkeypatch.setattr(latent, "_ROWS", 3)
    np.testing.assert_array_equal(latent.nearest_of(known, codes), [3, 1, 0, 3])


def test_mean_distance_is_over_pairs_of_different_objects():
    assert latent.mean_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx((1 + 2 + 3) / 3)


def test_blocks_of_rows_join_without_a_seam(monkeypatch):
    codes = np.random.default_rng(0).normal(size=(11, 3))
    identity = np.arange(11) % 9
    nearest, mean = latent.nearest_neighbours(codes, identity), latent.mean_distance(codes)
    monkeypatch.setattr(latent, "_ROWS", 4)
    np.testing.assert_array_equal(latent.nearest_neighbours(codes, identity), nearest)
    assert latent.mean_distance(codes) == pytest.approx(mean)


def test_one_code_has_no_distances():
    with pytest.raises(ValueError, match="at least two"):
        latent.mean_distance(np.zeros((1, 3)))


def clusters(n: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, n)
    centres = np.random.default_rng(99).normal(size=(4, 6))
    return centres[label] + spread * rng.normal(size=(n, 6)), label


def test_the_probe_separates_what_a_plane_separates():
    codes, label = clusters(200, 0.05, seed=0)
    unseen, truth = clusters(100, 0.05, seed=1)
    np.testing.assert_array_equal(latent.linear_probe(codes, label, unseen), truth)


def test_the_probe_ignores_the_scale_of_codes():
    codes, label = clusters(200, 1.0, seed=0)
    unseen, _ = clusters(100, 1.0, seed=1)
    scale, shift = np.array([1e-3, 1, 10, 1e3, 1, 1]), 7.0
    np.testing.assert_array_equal(
        latent.linear_probe(codes * scale + shift, label, unseen * scale + shift),
        latent.linear_probe(codes, label, unseen),
    )


def test_a_dead_code_dimension_does_no_harm():
    codes, label = clusters(100, 0.05, seed=0)
    codes[:, 2] = 3.0
    assert np.mean(latent.linear_probe(codes, label, codes) == label) == 1


def test_the_probe_keeps_the_labels_it_was_given():
    codes, label = clusters(100, 0.05, seed=0)
    np.testing.assert_array_equal(latent.linear_probe(codes, 10 + 3 * label, codes), 10 + 3 * label)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 100.0])
def test_the_probe_is_multinomial_logistic_regression(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    codes, label = clusters(300, 1.5, seed=0)
    unseen, _ = clusters(1000, 1.5, seed=1)
    mean, deviation = codes.mean(0), codes.std(0)
    reference = linear_model.LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
    reference.fit((codes - mean) / deviation, label)
    np.testing.assert_array_equal(
        latent.linear_probe(codes, label, unseen, penalty),
        reference.predict((unseen - mean) / deviation),
    )


def test_a_probe_of_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        latent.linear_probe(np.zeros((3, 2)), np.zeros(3, int), np.zeros((1, 2)))
