"""Laws of stretched training objects: right angles stay, and so does the size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synchronize.constructed import slab
from tiny import tiny_config

from rotdis import objective, step, stretch
from rotdis.geometry import resample, so3
from rotdis.models import rotation_vae

_turn = jax.jit(lambda x, R: jax.vmap(resample.rotate)(x[..., None], R)[..., 0])
_draw = jax.jit(jax.vmap(stretch.draw, in_axes=(0, 0, 0, None)))


def _sides(volume):
    occupied = np.asarray(volume) > 0.5
    return [np.count_nonzero(occupied.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]


def _boxes(count):
    """Boxes in frames of their own, and these."""
    frames = so3.random_uniform(jax.random.key(0), (count,))
    return _turn(jnp.tile(slab(), (count, 1, 1, 1)), frames), frames


def test_a_box_is_stretched_along_its_own_axes_and_keeps_its_size():
    x, frames = _boxes(6)
    matrices = _draw(x, jax.random.split(jax.random.key(1), 6), frames, 0.3)
    assert np.allclose(matrices, np.swapaxes(matrices, 1, 2), atol=1e-6)
    back = np.swapaxes(frames, 1, 2)
    inner = back @ matrices @ frames
    factors = np.diagonal(inner, axis1=1, axis2=2)
    assert np.allclose(inner, factors[:, None] * np.eye(3), atol=1e-5)
    assert np.ptp(np.log(factors), axis=1).min() > 0.05
    assert np.ptp(np.log(factors), axis=1).max() < 0.6
    before, after = _turn(x, back), _turn(x, back @ matrices)
    for one, other, factor in zip(before, after, factors, strict=True):
        assert np.allclose(np.divide(_sides(one), factor), _sides(other), atol=2)
        # The corners lie as far from the centre as before.
        diagonals = [np.linalg.norm(_sides(each)) for each in (one, other)]
        assert abs(diagonals[0] - diagonals[1]) < 2


def test_without_a_known_frame_nothing_is_stretched():
    x, frames = _boxes(2)
    keys = jax.random.split(jax.random.key(1), 2)
    known = _draw(x, keys, frames, 0.3)
    half = _draw(x, keys, frames.at[1].set(0), 0.3)
    assert np.array_equal(half[0], known[0]) and np.array_equal(half[1], np.eye(3))
    assert np.allclose(_draw(x * 0, keys, frames, 0.0), np.eye(3), atol=1e-6)


def test_views_are_of_the_stretched_object():
    x, frames = _boxes(2)
    keys = jax.random.split(jax.random.key(2), 2)
    matrices = _draw(x, keys, frames, 0.3)
    views, turns = objective.make_views(x, keys, "cube", matrices)
    for view, turn in zip(views, turns, strict=True):
        again = _turn(view, np.swapaxes(turn, 1, 2))
        assert np.abs(again - _turn(x, matrices)).max() < 0.02
    assert np.allclose(np.linalg.det(turns), 1)
    views, _ = objective.make_views(x, keys, "none", matrices)
    assert np.allclose(views[0], _turn(x, matrices), atol=1e-5)


class _Asked(Exception):
    """What a model was asked."""


class _Listener:
    """A model that tells what it is asked to infer from, and answers nothing."""

    def apply(self, _, views, *, origin, **_options):
        raise _Asked(views, *origin)


def test_an_object_is_stretched_before_its_canonical_form_is_resampled_as_well():
    """What turns the stored object into the view tells how to take the form from the former."""
    config = tiny_config()
    config.frames.stretch = 0.3
    x, frames = _boxes(2)
    keys = jax.random.split(jax.random.key(2), 2)
    with pytest.raises(_Asked) as asked:
        objective.loss_and_metrics({}, _Listener(), config, x, keys, frames)
    views, stored, applied = asked.value.args
    assert np.allclose(_turn(stored, applied), views, atol=1e-5)
    assert np.abs(applied @ np.swapaxes(applied, 1, 2) - np.eye(3)).max() > 0.05


def test_training_sees_them_where_it_is_asked_for():
    config = tiny_config()
    model = rotation_vae.create(config)
    x = (jax.random.uniform(jax.random.key(3), (2, 16, 16, 16)) > 0.8).astype(jnp.float32)
    params = step.init_state(model, config).params
    keys = jax.random.split(jax.random.key(0), 2)
    config.frames.stretch = 0.3
    evaluate = jax.jit(functools.partial(objective.loss_and_metrics, model=model, config=config))
    # Frames have no other part in what is reconstructed.
    known = so3.random_uniform(jax.random.key(1), (2,))
    found = [
        float(evaluate(params, x=x, keys=keys, frames=frames)[1]["reconstruction"])
        for frames in (known, 0 * known)
    ]
    assert not np.isclose(*found, rtol=1e-4)
