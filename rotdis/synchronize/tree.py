"""First frames, from the best relative rotation of each pair, whatever it is.

A model's canonical forms are mostly parallel to the grid's axes, but not all: two copies of one
part may stand 40 degrees apart. So pairs are first tried at rotations from all of SO(3), and the
relative rotations of the most similar ones are chained along a minimum spanning tree. What is wrong
after that is wrong by a rotation of the cube or by little, which is what the other steps mend.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial.transform import Rotation

from rotdis.geometry import resample, so3
from rotdis.synchronize import pairs
from rotdis.synchronize.fields import SIDE, padded

_RESIDUALS = 24  # rotations between two of the cube's; times 24 they cover SO(3) in steps of 30 deg
_COARSE = 8  # side of the fields that are compared at all of them
# A residual rotation has to bring the squared distance below this share of the best one without.
_WORTH = 0.8
_STEPS = (12.0, 6.0, 3.0, 1.5)  # degrees, of each pair's descent
_CHUNK = 16  # objects at a time
_PAIRS = 64  # pairs at a time


def first_turns(
    fields: UInt8[np.ndarray, "n 16 16 16"], edges: Int[np.ndarray, "e 2"]
) -> Float[np.ndarray, "n 3 3"]:
    """Returns a turn of each object, so that similar objects agree.

    Args:
        fields: `fields.distance_fields` in the model's frames.
        edges: pairs of objects that may be alike.
    """
    number = len(fields)
    if not len(edges):
        return np.tile(np.eye(3), (number, 1, 1))
    relative, distance = _relative(fields, edges)
    # A sparse graph knows no edge of length zero.
    graph = sparse.csr_array((distance + 1e-6, edges.T), shape=(number, number))
    tree = csgraph.minimum_spanning_tree(graph).tocoo()
    measured = {
        (int(i), int(j)): turn for (i, j), turn in zip(edges, relative.astype(float), strict=True)
    }
    turns = np.tile(np.eye(3), (number, 1, 1))
    both = sparse.csr_array((tree.data, (tree.row, tree.col)), shape=(number, number))
    labels = csgraph.connected_components(both, directed=False)[1]
    for label in range(labels.max() + 1):
        root = int(np.flatnonzero(labels == label)[0])
        order, before = csgraph.breadth_first_order(both, root, directed=False)
        for i in order[1:]:
            j = int(before[i])
            turn = measured[i, j] if (i, j) in measured else measured[j, i].T
            turns[i] = turns[j] @ turn
    return turns


@functools.cache
def residuals() -> Float[np.ndarray, "24 3 3"]:
    """Returns rotations of which none is near another times one of the cube's, the identity first.

    Farthest-point sampling of random rotations, by the angle to the nearest of the 24 equivalents.
    """
    tried = Rotation.random(3000, rng=np.random.default_rng(0)).as_matrix()
    traces = np.einsum("nij,gij->ng", tried, so3.cube_group())
    # g^T r for the nearest g: what is left of a rotation.
    tried = np.swapaxes(so3.cube_group()[traces.argmax(axis=1)], 1, 2) @ tried
    chosen, farthest = [np.eye(3)], traces.max(axis=1)
    for _ in range(_RESIDUALS - 1):
        chosen.append(tried[farthest.argmin()])
        equivalent = so3.cube_group() @ chosen[-1]
        near = np.einsum("nij,gij->ng", tried, equivalent).max(axis=1)
        farthest = np.maximum(farthest, near)
    return np.stack(chosen).astype(np.float32)


def _relative(
    fields: UInt8[np.ndarray, "n 16 16 16"], edges: Int[np.ndarray, "e 2"]
) -> tuple[Float[np.ndarray, "e 3 3"], Float[np.ndarray, " e"]]:
    """Returns for each pair (i, j) the turn of i that fits j best, and what distance is left."""
    turns = np.empty((len(edges), 3, 3), np.float32)
    coarse = np.asarray(_coarse(padded(1 << 30, fields)[0]))
    for start in range(0, len(edges), _CHUNK):
        block = slice(start, start + _CHUNK)
        first, second = padded(_CHUNK, edges[block, 0], edges[block, 1])
        distances = np.asarray(_tried(fields[first], coarse[second]))[: len(turns[block])]
        distances = np.moveaxis(distances.copy(), 1, 2)  # (pairs, 24 of the cube, residuals)
        distances[:, :, 0] *= _WORTH
        best = distances.reshape(len(distances), -1).argmin(axis=1)
        cube, residual = np.unravel_index(best, distances.shape[1:])
        turns[block] = so3.cube_group()[cube] @ residuals()[residual]
    left = np.empty(len(edges))
    for start in range(0, len(edges), _PAIRS):
        block = slice(start, start + _PAIRS)
        arrays = padded(_PAIRS, fields[edges[block, 0]], fields[edges[block, 1]], turns[block])
        after, distance = _descend(*arrays)
        count = len(turns[block])
        turns[block], left[block] = np.asarray(after)[:count], np.asarray(distance)[:count]
    return turns, left


@jax.jit
def _coarse(fields: UInt8[Array, "*n 16 16 16"]) -> Float[Array, "*n v"]:
    factor = SIDE // _COARSE
    volume = fields.astype(jnp.float32) / 255
    volume = volume.reshape(*volume.shape[:-3], *(_COARSE, factor) * 3)
    return volume.mean(axis=(-5, -3, -1)).reshape(*volume.shape[:-6], -1)


@jax.jit
def _tried(
    fields: UInt8[Array, "b 16 16 16"], others: Float[Array, "b v"]
) -> Float[Array, "b r 24"]:
    """Returns the squared distances of i, turned by each residual and then by the cube's, to j."""
    back = pairs.group_tables()[1]

    def of_pair(arrays):
        field, other = arrays
        volumes = jnp.broadcast_to(
            field.astype(jnp.float32)[..., None], (_RESIDUALS, *field.shape, 1)
        )
        turned = _coarse(jax.vmap(resample.rotate)(volumes, jnp.asarray(residuals()))[..., 0])
        copies = resample.cube_copies(turned.reshape(_RESIDUALS, *(_COARSE,) * 3))
        copies = copies.reshape(_RESIDUALS, 24, -1)[:, back]
        return jnp.sum((copies - other) ** 2, axis=-1)

    return jax.lax.map(of_pair, (fields, others))


@jax.jit
def _descend(
    fields: UInt8[Array, "b 16 16 16"],
    others: UInt8[Array, "b 16 16 16"],
    turns: Float[Array, "b 3 3"],
) -> tuple[Float[Array, "b 3 3"], Float[Array, " b"]]:
    """Improves the turns of the first of each pair, and returns the squared distances left."""
    volumes = fields[..., None].astype(jnp.float32) / 255
    others = others.astype(jnp.float32) / 255
    axes = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3), -jnp.eye(3)])

    def improve(turns, step):
        small = so3.from_rotation_vector(axes * step)

        def distance(turn):
            tried = jnp.matmul(turn, turns, precision="highest")
            turned = jax.vmap(resample.rotate)(volumes, tried)[..., 0]
            return jnp.sum((turned - others) ** 2, axis=(1, 2, 3))

        values = jax.lax.map(distance, small)
        turns = jnp.matmul(small[jnp.argmin(values, axis=0)], turns, precision="highest")
        return turns, jnp.min(values, axis=0)

    steps = jnp.radians(jnp.asarray(_STEPS).repeat(2))
    turns, values = jax.lax.scan(improve, turns, steps)
    return turns, values[-1]
