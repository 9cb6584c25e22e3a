"""Laws of the decoder: what it draws of the canonical form is turned as objects are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry import resample, so3
from rotdis.models.decoder import Decoder

_Z = jax.random.normal(jax.random.key(0), (3, 4))
_TURNS = so3.random_uniform(jax.random.key(1), (3,))


@functools.cache
def _decoder(occupancy=True):
    """A decoder away from its start, where forms are all but empty."""
    decoder = Decoder(16, volume_channels=2, width=8, occupancy=occupancy)
    params = jax.jit(decoder.init)(jax.random.key(2), _Z, _TURNS)["params"]
    if occupancy:
        form = dict(params["form"], bias=params["form"]["bias"] + 3)
        params = dict(params, form=form | {"kernel": 3 * form["kernel"]})
    return jax.jit(functools.partial(decoder.apply, {"params": params})), params


def test_before_it_is_corrected_the_form_is_turned_as_objects_are():
    decode, _ = _decoder()
    form = jax.nn.sigmoid(decode(_Z, None))
    assert form.std() > 0.2
    turned = jax.vmap(lambda x, turn: resample.rotate(x[..., None], turn)[..., 0])(form, _TURNS)
    # Of a voxel that is certainly empty, or full, it is never quite certain.
    assert np.allclose(jax.nn.sigmoid(decode(_Z, _TURNS)), 0.001 + 0.998 * turned, atol=1e-5)


@pytest.mark.parametrize("occupancy", [False, True])
def test_the_identity_and_no_rotation_are_the_same(occupancy):
    decode, _ = _decoder(occupancy)
    identity = jnp.broadcast_to(jnp.eye(3), (3, 3, 3))
    same = jax.nn.sigmoid(decode(_Z, identity)), jax.nn.sigmoid(decode(_Z, None))
    assert np.allclose(*same, atol=2e-3 if occupancy else 1e-5)
    assert np.abs(jax.nn.sigmoid(decode(_Z, _TURNS)) - same[0]).max() > 0.03


def test_a_form_that_is_certain_has_finite_logits_and_gradients():
    decoder = Decoder(16, volume_channels=2, width=8, occupancy=True)
    params = _decoder()[1]
    certain = dict(params, form=jax.tree.map(lambda leaf: 1e4 * leaf, params["form"]))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
    def total(params, z, turns):
        return jnp.sum(decoder.apply({"params": params}, z, turns))

    value, gradients = total(certain, _Z, _TURNS)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    # And the rotation is told by which way the form would have to turn.
    assert np.abs(total(params, _Z, _TURNS)[1][2]).max() > 0


def test_only_who_learns_by_how_the_form_is_turned_has_a_gradient_of_that():
    decoder = Decoder(16, volume_channels=2, width=8, occupancy=True)
    params = _decoder()[1]

    @jax.jit
    def by_rotation(params, learning):
        def total(turns):
            return jnp.sum(decoder.apply({"params": params}, _Z, turns, learning))

        return jnp.abs(jax.grad(total)(_TURNS)).max((1, 2))

    # As long as its logits are not corrected, nothing else is turned that could teach them.
    learning = jnp.array([True, False, True])
    all_of_them = by_rotation(params, None)
    assert (all_of_them > 1).all()
    assert np.allclose(by_rotation(params, learning), all_of_them * learning, rtol=1e-5)
    correcting = dict(params, Dense_5=jax.tree.map(jnp.ones_like, params["Dense_5"]))
    assert by_rotation(correcting, ~learning).min() > 0
