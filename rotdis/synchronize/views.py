"""What objects look like from each side: the steps that are seen in front of an object.

Drawers, doors, an open shelf: what tells the front of a box from its back is a small part of its
surface, of which the histograms of `surface` hardly take notice. Seen from one side it is all there
is: a plain side has no step at all. So an object is drawn from each of the six sides as a map of
heights, like the depth buffers of Vranic ("3D Model Retrieval", 2004), and described by histograms
of the steps between its pixels, as `surface` is by those of its faces. Outlines are no steps. As
there, a rotation of the cube only permutes the numbers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from rotdis.synchronize import surface
from rotdis.synchronize.pairs import Description

_SLOPE = 0.25  # of a face that is not quite parallel to the picture: up to this it is no step
_HIGHEST = 1 / 8  # of the side: a higher step counts as this one


def describe(volumes: Num[np.ndarray, "n d d d"], cells: tuple[int, ...]) -> list[Description]:
    """Describes centred objects, whose faces are parallel to the grid, by cells of each size.

    Args:
        volumes: occupancy, in any unit.
        cells: how many along a side of each of the six pictures.

    Returns:
        For each of `cells` the features of each of `surface.STRETCHED`: in every cell the root of
        the steps up in each of the picture's four directions, of norm 1 (0 without any).
    """
    orders = [permutations(each) for each in cells]
    return surface.described(volumes, functools.partial(_steps, cells=cells), orders)


# At full precision, on accelerators too: align compares what these are.
_binned = functools.partial(jnp.einsum, "fsuv,ui,vj->sijf", precision="highest")


@functools.partial(jax.jit, static_argnames="cells")
def _steps(volumes: Float[Array, "b d d d"], cells: tuple[int, ...]) -> list[Float[Array, "..."]]:
    def of_variant(volume: Float[Array, "d d d"]) -> list[Float[Array, " v"]]:
        maps = [_heights(volume, axis, sign) for sign in (1, -1) for axis in range(3)]
        heights, seen = (jnp.stack(each) for each in zip(*maps, strict=True))
        up = [_steps_along(heights, seen, axis) for axis in (1, 2)]
        found = []
        for each in cells:
            weights = surface.binning(len(volume), each)
            between = (weights[1:] + weights[:-1]) / 2
            u = _binned(up[0], between, weights)
            v = _binned(up[1], weights, between)
            sums = jnp.stack([u[..., 0], v[..., 0], u[..., 1], v[..., 1]], axis=-1)
            found.append(surface.roots(sums.reshape(-1)))
        return found

    return jax.lax.map(lambda volume: jax.vmap(of_variant)(surface.variants(volume)), volumes)


def _heights(
    volume: Float[Array, "d d d"], axis: int, sign: int
) -> tuple[Float[Array, "d d"], Bool[Array, "d d"]]:
    """Returns how near the object comes to the grid's side, in voxels, and where it is seen."""
    half = jnp.max(volume) / 2
    layers = jnp.moveaxis(volume, axis, 0)
    layers = layers[::-1] if sign > 0 else layers  # the nearest first
    inside = (layers >= half) & (half > 0)
    first = jnp.argmax(inside, axis=0)[None]
    here = jnp.take_along_axis(layers, first, 0)[0]
    before = jnp.take_along_axis(jnp.pad(layers, [(1, 0), (0, 0), (0, 0)]), first, 0)[0]
    # Between the two voxels' middles, where interpolation is half full.
    part = jnp.clip((here - half) / jnp.maximum(here - before, 1e-6), 0, 1)
    return part - first[0], inside.any(axis=0)


def _steps_along(
    heights: Float[Array, "s d d"], seen: Bool[Array, "s d d"], axis: int
) -> Float[Array, "2 s ..."]:
    """Returns the steps up and down from each pixel to the next one; none at an outline."""
    size = heights.shape[axis]
    start, end = jnp.arange(size - 1), jnp.arange(1, size)
    both = jnp.take(seen, start, axis) & jnp.take(seen, end, axis)
    step = both * jnp.diff(heights, axis=axis)
    return jnp.stack([jnp.clip(each - _SLOPE, 0, _HIGHEST * size) for each in (step, -step)])


@functools.cache
def permutations(cells: int) -> Int[np.ndarray, "24 v"]:
    """Returns `Description.order` of pictures of cells^2 cells."""
    unit = np.eye(3, dtype=int)
    middles = 2 * np.arange(cells) - (cells - 1)
    points = []
    for side in (*unit, *-unit):
        u, v = unit[side == 0]
        for i in middles:
            for j in middles:
                for step in (u, v, -u, -v):  # any two of the sums differ
                    points.append(64 * cells * side + 8 * (i * u + j * v) + 2 * step)
    return surface.order_of(np.array(points))
