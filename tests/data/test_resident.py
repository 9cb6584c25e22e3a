"""Laws of the device-resident loader."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.data import resident, voxelset
from rotdis.data.order import batch_indices


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("resolution", [5, 16])
def test_the_device_unpacks_what_the_host_packed(partial, resolution):
    voxels = np.random.default_rng(0).uniform(size=(3, *(resolution,) * 3)).astype(np.float32)
    packed = voxelset.pack(voxels, partial)
    assert packed.shape[1] == (resolution**3 if partial else -(-(resolution**3) // 8))
    on_host = voxelset.unpack(packed, resolution, partial)
    on_device = resident.unpack(jnp.asarray(packed), resolution, partial)
    assert on_device.dtype == jnp.float32
    assert np.allclose(on_device, on_host, atol=1e-7)
    expected = voxels if partial else voxels > 0.5
    assert np.abs(on_host - expected).max() <= (0.5 / 255 + 1e-6 if partial else 0)


def test_a_batch_is_drawn_inside_jit_in_the_common_order():
    packed = jnp.arange(40, dtype=jnp.uint8).reshape(10, 4)
    draw = jax.jit(lambda step: resident.draw(packed, 7, step, 4))
    for step in (0, 1, 2, 5):
        assert np.array_equal(draw(step), packed[batch_indices(7, step, 10, 4)])
