"""Laws of the network that decides by surfaces: equivariance, and who has the last word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synchronize.constructed import corner, slab

from rotdis.geometry import resample, so3
from rotdis.models.frame import FrameNetwork

NETWORK = FrameNetwork(width=8)
_init, _apply = jax.jit(NETWORK.init), jax.jit(NETWORK.apply)


@pytest.fixture(scope="module")
def objects():
    grids = jnp.asarray(np.stack([corner(), slab()]), jnp.float32)
    return grids.reshape(2, 16, 2, 16, 2, 16, 2).mean((2, 4, 6))


def test_until_something_is_learned_an_object_stays_as_it_stands(objects):
    posterior = _apply(_init(jax.random.key(0), objects), objects)
    assert np.array_equal(posterior.heaviest(), np.tile(np.eye(3), (2, 1, 1)))
    assert np.allclose(jnp.exp(posterior.log_weights).sum(1), 1, atol=1e-5)
    assert np.ptp(posterior.log_weights[:, 1:]) < 1


def test_turning_the_object_by_a_cube_rotation_turns_what_is_found(objects):
    params = _init(jax.random.key(0), objects)
    # Larger weights than at the start: what is learned outweighs how the object stands.
    params = jax.tree.map(lambda leaf: leaf * 100, params)
    group = so3.cube_group()
    sides = jax.vmap(resample.rotate, (None, 0))(objects[0][..., None], group)[..., 0]
    posterior = _apply(params, sides)
    assert np.ptp(posterior.log_weights[0]) > 10
    assert np.array_equal(posterior.heaviest(), group @ posterior.heaviest()[0])
