"""Keeps XLA's CPU compiler from computing one array anew for everything that reads it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def materialize(arrays: PyTree[Array], guard: Float[Array, "..."]) -> PyTree[Array]:
    """Returns the arrays, written to memory once on a CPU before anything reads them.

    Fusing an elementwise producer into each of its consumers saves memory traffic, but where a
    volume's samples fall takes longer to compute than to read, and the same for eight gathers.
    `jax.lax.optimization_barrier` is gone from the program by the time the CPU's compiler fuses. A
    loop stays, and what it starts from must be in memory; this one makes no turn: it would only for
    a `guard` that is not finite, and then gives NaN (integers: -1).

    On other backends the arrays are returned as they are.

    Args:
        arrays: what is to be materialized.
        guard: what the arrays were computed from.
    """
    return jax.lax.platform_dependent(
        arrays, guard, cpu=_behind_loop, default=lambda arrays, guard: arrays
    )


def _behind_loop(arrays: PyTree[Array], guard: Float[Array, "..."]) -> PyTree[Array]:
    turns = (~jnp.isfinite(jnp.sum(guard))).astype(jnp.int32)

    def spoil(carry):
        turns, arrays = carry
        return turns - 1, jax.tree.map(_spoilt, arrays)

    return jax.lax.while_loop(lambda carry: carry[0] > 0, spoil, (turns, arrays))[1]


def _spoilt(array: Array) -> Array:
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return jnp.full_like(array, jnp.nan if floating else -1)
