"""What is compared of objects that are not parallel to each other yet: for every point how near an
object is to it, not only whether the object is there.

Occupancies of two chairs whose legs lie beside each other overlap no more than those of a chair and
a bed; their distance fields are alike, whichever way the two are turned by a few degrees.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from scipy import ndimage

from rotdis.geometry import resample

SIDE = 16  # of the fields that are compared: they are smooth
_CHUNK = 64  # objects at a time


def distance_fields(
    voxels: Float[np.ndarray, "n d d d"], decay: float, side: int = SIDE
) -> UInt8[np.ndarray, "n s s s"]:
    """Returns exp(-distance to the object / decay), 255 for one, zero outside the grid's ball.

    Outside of the ball a turned grid has nothing, so what is compared is the ball.

    Args:
        voxels: normalized occupancy in [0, 1] or 0 to 255.
        decay: the distance at which a field has fallen to 1/e, in sides of the grid.
        side: of the result, a divisor of D.
    """
    size = voxels.shape[1]
    axis = np.arange(size) - (size - 1) / 2
    ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= (size / 2) ** 2
    fields = np.empty((len(voxels), *(side,) * 3), np.uint8)
    for field, grid in zip(fields, voxels, strict=True):
        # Half as full as the fullest voxel: that of something very thin is far from full.
        inside = grid >= 0.5 * grid.max()
        distance = ndimage.distance_transform_edt(~inside)
        field[:] = np.rint(255 * _averaged(ball * np.exp(-distance / (decay * size)), side))
    return fields


def solids(voxels: np.ndarray, side: int = SIDE) -> UInt8[np.ndarray, "n s s s"]:
    """Returns occupancy averaged down, 255 for one; arguments as for `distance_fields`."""
    full = 1 if voxels.dtype == np.uint8 else 255
    result = np.empty((len(voxels), *(side,) * 3), np.uint8)
    for solid, grid in zip(result, voxels, strict=True):
        solid[:] = np.rint(full * _averaged(grid, side))
    return result


def _averaged(grid: np.ndarray, side: int) -> Float[np.ndarray, "s s s"]:
    return grid.reshape((side, len(grid) // side) * 3).mean(axis=(1, 3, 5))


def turned(
    volumes: UInt8[np.ndarray, "n d d d"], rotations: Float[np.ndarray, "n 3 3"]
) -> UInt8[np.ndarray, "n d d d"]:
    """Returns every volume turned by its rotation."""
    result = np.empty_like(volumes)
    for start in range(0, len(volumes), _CHUNK):
        block = slice(start, start + _CHUNK)
        pair = padded(_CHUNK, volumes[block], np.asarray(rotations[block], np.float32))
        result[block] = np.asarray(_turned(*pair))[: len(result[block])]
    return result


@jax.jit
def _turned(
    volumes: UInt8[Array, "b d d d"], rotations: Float[Array, "b 3 3"]
) -> UInt8[Array, "b d d d"]:
    result = jax.vmap(resample.rotate)(volumes[..., None].astype(jnp.float32), rotations)[..., 0]
    return jnp.clip(jnp.round(result), 0, 255).astype(jnp.uint8)


def padded(size: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """Returns the arrays with their last entry repeated, up to `size` or a smaller power of two.

    So what is compiled for them is compiled for a few sizes.
    """
    count = len(arrays[0])
    size = min(size, 1 << (count - 1).bit_length()) if count <= size else count
    return [
        np.pad(array, [(0, size - count)] + [(0, 0)] * (array.ndim - 1), mode="edge")
        for array in arrays
    ]
