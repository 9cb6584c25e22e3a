"""Objects and parameters at which arithmetic is most likely to fail, for tests of numerics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def grids(size: int = 16) -> dict[str, np.ndarray]:
    """Returns eight grids of 0 and 1: with nothing, with everything, and with perfect symmetry."""
    points = np.stack(np.meshgrid(*(np.arange(size) - (size - 1) / 2,) * 3, indexing="ij"))
    one, corner, plane = np.zeros((3, size, size, size))
    one[size // 2, size // 2, size // 2] = corner[0, 0, 0] = plane[size // 2] = 1
    found = {
        "empty": np.zeros((size,) * 3),
        "full": np.ones((size,) * 3),
        "one voxel": one,
        "one in the corner": corner,
        "plane": plane,
        "ball": np.sum(points**2, axis=0) < (size / 3) ** 2,
        "cube": np.abs(points).max(axis=0) < size / 4,
        "checkerboard": np.indices((size,) * 3).sum(axis=0) % 2,
    }
    return {name: grid.astype(np.float32) for name, grid in found.items()}


def parameters(params: optax.Params) -> dict[str, optax.Params]:
    """Returns the parameters of a model with a pose network, and others that end in odd places.

    Of residuals written in six numbers, which are added to those of the identity.
    """
    zero = jax.tree.map(jnp.zeros_like, params)
    return {
        "as they are": params,
        "all zero, so that all scores are equal": zero,
        "residuals of zero vectors": _residual(params, [0, 0, 0, 0, 0, 0]),
        "residuals of one zero vector": _residual(params, [1, 0, 0, 0, 0, 0]),
        "residuals of parallel vectors": _residual(params, [1, 2, 3, 2, 4, 6]),
        "residuals of opposite vectors": _residual(params, [1, 0, 0, -1, 0, 0]),
    }


def _residual(params: optax.Params, columns: list[float]) -> optax.Params:
    """Lets every pose network say these numbers of everything, and the same score."""
    identity = np.eye(3)[:, :2].T.reshape(6)
    wanted = jnp.asarray([0, *(np.asarray(columns) - identity)], jnp.float32)

    def change(path, leaf):
        names = [key.key for key in path]
        if names[0] not in ("pose", "second") or leaf.shape[-1] != 7:
            return leaf
        return wanted if names[-1] == "bias" else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(change, params)


def bad(tree) -> list[str]:
    """Returns where a tree holds numbers that are not finite."""
    return [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if not np.isfinite(np.asarray(leaf, np.float32)).all()
    ]
