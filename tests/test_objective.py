"""Laws of the objective: which views it sees, and what known frames add to it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from rotdis import losses, objective, step
from rotdis.geometry import so3
from rotdis.models import pose, rotation_vae

_make_views = jax.jit(objective.make_views, static_argnums=2)


def test_the_two_views_are_the_object_turned_by_the_rotations_named():
    x = jnp.zeros((1, 9, 9, 9)).at[0, 8, 4, 4].set(1.0)
    views, turns = _make_views(x, jax.random.split(jax.random.key(1), 1), "cube")
    assert set(np.round(np.linalg.det(turns)).ravel()) == {1.0}
    for view, turn in zip(views[:, 0], turns[:, 0], strict=True):
        place = 4 + 4 * turn @ jnp.array([1.0, 0, 0])
        assert view[tuple(np.asarray(place, int))] == 1.0
    _, turns = _make_views(x.repeat(3, 0), jax.random.split(jax.random.key(2), 3), "so3")
    assert float(so3.geodesic_distance(turns[0], turns[1]).min()) > 0.01
    views, _ = _make_views(x, jax.random.split(jax.random.key(3), 1), "none")
    assert np.array_equal(views, jnp.stack([x, x]))


def _objective(config, count):
    """Returns the objective of an untrained model and of some objects, by what is known of them."""
    model = rotation_vae.create(config)
    x = (jax.random.uniform(jax.random.key(3), (count, 16, 16, 16)) > 0.8).astype(jnp.float32)
    params = step.init_state(model, config).params
    keys = jax.random.split(jax.random.key(0), count)
    return jax.jit(functools.partial(objective.loss_and_metrics, params, model, config, x, keys))


def test_the_pose_that_is_a_target_is_not_drawn_to_what_it_is_the_target_of():
    """By the likelihood of the other view's pose hypotheses are moved, and not that pose."""
    config = tiny_config()
    turns = so3.random_uniform(jax.random.key(0), (2, 3))
    rotations = so3.random_uniform(jax.random.key(1), (6, 24))
    posterior = pose.PosePosterior(rotations, jnp.full((6, 24), -np.log(24)))
    code = rotation_vae.Code(jnp.zeros((6, 2)), jnp.zeros((6, 2)), rotations[:, 0], posterior)

    def term(target, hypotheses):
        seen = code.replace(rotation=target, posterior=posterior.replace(rotations=hypotheses))
        targets = objective._targets(target, turns)
        return objective._pose_terms(seen, targets, config)["equivariance"]

    of_target, of_hypotheses = jax.grad(term, (0, 1))(code.rotation, rotations)
    assert not of_target.any() and np.abs(of_hypotheses).max() > 0.01


def test_poses_learn_by_how_the_form_is_turned_where_both_views_agree():
    """Of three objects the second's views are found 16 degrees apart, the third's 14."""
    config = tiny_config()
    config.model.occupancy = True
    x, keys = jnp.zeros((3, 16, 16, 16)), jax.random.split(jax.random.key(0), 3)
    view_keys = jnp.swapaxes(jax.vmap(jax.random.split)(keys), 0, 1)[0]
    _, turns = objective.make_views(x, view_keys, "so3")
    off = jnp.deg2rad(jnp.array([0.0, 16.0, 14.0]))[:, None] * jnp.array([0, 0.6, 0.8])
    found = turns.at[1].set(turns[1] @ so3.from_rotation_vector(off)).reshape(6, 3, 3)
    posterior = pose.PosePosterior(found[:, None], jnp.zeros((6, 1)))
    code = rotation_vae.Code(jnp.zeros((6, 4)), jnp.zeros((6, 4)), found, posterior)
    decoded = []

    class Model:
        latent_size = 4

        def apply(self, _, *arguments, method, **options):
            if method == "infer":
                return code, jnp.zeros((6, 16, 16, 16))
            decoded.append(arguments)
            return jnp.zeros((6, 16, 16, 16))

    _, metrics = objective.loss_and_metrics({}, Model(), config, x, keys)
    ((_, rotation, learning),) = decoded
    assert np.array_equal(rotation, found)
    assert learning.tolist() == [True, False, True] * 2
    assert np.isclose(metrics["pair_acc15"], 2 / 3)


@pytest.mark.parametrize("swap", [True, False])
def test_a_view_is_decoded_from_the_other_ones_code_and_their_relative_rotation_ties_the_poses(
    swap,
):
    config = tiny_config()
    config.loss.swap_codes = swap
    config.pose.second_width = 0
    model = rotation_vae.create(config)
    x = (jax.random.uniform(jax.random.key(3), (2, 16, 16, 16)) > 0.8).astype(jnp.float32)
    params = step.init_state(model, config).params
    keys = jax.random.split(jax.random.key(0), 2)
    view_keys, code_keys = jnp.swapaxes(jax.vmap(jax.random.split)(keys), 0, 1)

    @jax.jit
    def recomputed(params):
        (one, two), (q1, q2) = objective.make_views(x, view_keys, config.data.rotations)
        views, turns = jnp.concatenate([one, two]), jnp.concatenate([q1, q2])
        origin = (jnp.concatenate([x, x]), turns)
        code, canonical = model.apply(
            {"params": params}, views, training=True, origin=origin, method="infer"
        )
        # Row 0 of an object's noise is of its first view.
        noise = jax.vmap(lambda key: jax.random.normal(key, (2, model.latent_size)))(code_keys)
        noise = jnp.concatenate([noise[:, 0], noise[:, 1]])
        z = code.z_mean + jnp.exp(code.z_logvar / 2) * noise
        of_the_other = z[jnp.array([2, 3, 0, 1])] if swap else z
        logits = model.apply({"params": params}, of_the_other, code.rotation, method="decode")
        seen = jnp.mean(jax.vmap(losses.bernoulli_nll)(logits, views))
        r1, r2 = jnp.split(code.rotation, 2)
        targets = jnp.concatenate(
            [q1 @ jnp.swapaxes(q2, 1, 2) @ r2, q2 @ jnp.swapaxes(q1, 1, 2) @ r1]
        )
        tied = jax.vmap(losses.mixture_nll, (0, 0, 0, None))(
            code.posterior.log_weights,
            code.posterior.rotations,
            targets,
            config.loss.concentration,
        )
        return seen, jnp.mean(tied), jnp.mean(jax.vmap(losses.tilt)(canonical))

    loss, metrics = jax.jit(
        lambda params: objective.loss_and_metrics(params, model, config, x, keys)
    )(params)
    seen, tied, tilt = recomputed(params)
    assert np.isclose(metrics["reconstruction"], seen, rtol=1e-5)
    assert np.isclose(metrics["equivariance"], tied, rtol=1e-4)
    assert np.isclose(metrics["tilt"], tilt, rtol=1e-4)
    weights = config.loss
    whole = (
        metrics["reconstruction"]
        + weights.kl_weight * (metrics["kl"] + metrics["pose_kl"])
        + weights.tilt_weight * metrics["tilt"]
        + weights.equivariance_weight / weights.concentration * metrics["equivariance"]
        + weights.equivariance_weight / weights.refinement_concentration * metrics["refinement"]
    )
    assert np.isclose(loss, whole, rtol=1e-5)


def test_known_frames_draw_poses_to_them_and_unknown_ones_do_not():
    config = tiny_config()
    evaluate = _objective(config, 2)
    plain, metrics = evaluate(jnp.zeros((2, 3, 3)))
    assert metrics["frame"] == metrics["frame_acc15"] == 0
    frames = so3.random_uniform(jax.random.key(1), (2,))
    known, metrics = evaluate(frames)
    weight = config.loss.equivariance_weight / config.loss.concentration
    assert metrics["frame"] > 0
    assert np.isclose(known - plain, weight * metrics["frame"], rtol=1e-3)
    # Half of them known: views of the first object only.
    _, half = evaluate(frames.at[1].set(0))
    _, other = evaluate(frames.at[0].set(0))
    assert np.isclose(half["frame"] + other["frame"], metrics["frame"], rtol=1e-4)


def test_a_frame_is_met_where_each_view_is_its_object_turned_from_it():
    config = tiny_config()
    turns = so3.random_uniform(jax.random.key(0), (2, 3))
    frames = so3.random_uniform(jax.random.key(1), (3,))
    # x = rotate(c, F), seen as rotate(x, Q).
    right = jnp.einsum("vbij,bjk->vbik", turns, frames).reshape(6, 3, 3)
    others = so3.random_uniform(jax.random.key(2), (6, 23))
    rotations = jnp.concatenate([right[:, None], others], axis=1)
    log_weights = jax.nn.log_softmax(jnp.zeros((6, 24)).at[:, 0].set(5.0))
    last = pose.PosePosterior(rotations, log_weights)
    first = pose.PosePosterior(others[:, :1].repeat(24, axis=1), log_weights)
    code = rotation_vae.Code(jnp.zeros((6, 2)), jnp.zeros((6, 2)), right, last)
    terms = objective._frame_terms(code, turns, frames, config)
    assert terms["frame_acc15"] == 1
    nll = jax.vmap(losses.mixture_nll, (0, 0, 0, None))
    alone = [
        jnp.mean(nll(each.log_weights, each.rotations, right, config.loss.concentration))
        for each in (first, last)
    ]
    assert np.isclose(terms["frame"], alone[1], rtol=1e-5)
    both = objective._frame_terms(code.replace(earlier=(first,)), turns, frames, config)
    assert np.isclose(both["frame"], sum(alone), rtol=1e-5)


def test_codes_of_alike_objects_are_drawn_together_where_that_is_known():
    config = tiny_config()
    config.loss.alike_weight = 3.0
    evaluate = functools.partial(_objective(config, 4), None)
    unknown, metrics = evaluate(jnp.zeros((4, 2)))
    assert metrics["alike"] == 0
    alike = jnp.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    known, metrics = evaluate(alike)
    # Untrained codes are nearly equal, and each of three others a neighbour as good.
    assert np.isclose(metrics["alike"], np.log(3), rtol=0.05)
    assert np.isclose(known - unknown, 3 * metrics["alike"], rtol=1e-3)
    _, metrics = evaluate(alike.at[3].set(0))  # one of four is not known
    assert np.isclose(metrics["alike"], 3 / 4 * np.log(2), rtol=0.05)


def test_neighbours_are_those_of_the_other_views_codes():
    codes = jax.random.normal(jax.random.key(5), (2, 4, 3))
    alike = jax.random.normal(jax.random.key(6), (4, 2))
    expected = []
    for side in range(2):
        for i in range(4):
            squares = jnp.sum((codes[side, i] - codes[1 - side]) ** 2, axis=-1)
            counted = jnp.arange(4) != i
            expected.append(losses.neighbour_nll(squares, alike @ alike[i], counted, 3))
    found = objective._neighbours_nll(codes, alike, None)
    assert np.isclose(found, np.mean(expected), rtol=1e-5)


class _Asked(Exception):
    """What a model was asked."""


class _Listener:
    """A model that tells views, from what they were turned, and the keys of its search for that."""

    def apply(self, _, views, *, origin, keys, **_options):
        raise _Asked(views, origin, keys)


def test_a_search_tries_nothing_that_the_views_were_turned_by():
    """Its restarts once came from the views' own keys, and were the answers."""
    x = jnp.zeros((3, 16, 16, 16)).at[:, 4:9, 6:12, 7].set(1.0)
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(_Asked) as asked:
        objective.loss_and_metrics({}, _Listener(), tiny_config(), x, keys)
    _, (_, turns), keys = asked.value.args
    assert turns.shape == (6, 3, 3)
    restarts = jax.vmap(lambda key: so3.random_uniform(key, (32,)))(keys)
    assert so3.geodesic_distance(restarts.reshape(-1, 1, 3, 3), turns).min() > 0.01
    assert so3.geodesic_distance(restarts[1:], restarts[:1]).min() > 0.01  # each view its own


@pytest.mark.parametrize("as_used", [None, False, True])
def test_what_the_networks_see_turned_back_is_the_object_or_as_in_use_the_view(as_used):
    x = jnp.zeros((3, 16, 16, 16)).at[:, 4:9, 6:12, 7].set(1.0)
    keys = jax.random.split(jax.random.key(0), 3)
    as_used = as_used if as_used is None else jnp.array(as_used)
    with pytest.raises(_Asked) as asked:
        objective.loss_and_metrics({}, _Listener(), tiny_config(), x, keys, as_used=as_used)
    views, (seen, turns), _ = asked.value.args
    if as_used:
        assert np.array_equal(seen, views)
        assert np.array_equal(turns, np.broadcast_to(np.eye(3), (6, 3, 3)))
    else:
        assert np.array_equal(seen, np.concatenate([x, x]))
        assert so3.geodesic_distance(turns, jnp.eye(3)).min() > 0.01
    assert not np.array_equal(views, np.concatenate([x, x]))
