"""Keeps XLA's CPU compiler from computing one array anew for everything that reads it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def materialize(arrays: PyTree[Array], source: Float[Array, "..."]) -> PyTree[Array]:
    """Returns the arrays, written to memory once on a CPU before anything reads them.

    Fusing an elementwise producer into each of its consumers saves memory traffic, but where a
    volume's samples fall takes longer to compute than to read, and the same for eight gathers.
    `jax.lax.optimization_barrier` is gone from the program by the time the CPU's compiler fuses. A
    loop stays, and what it starts from must be in memory. This one never makes a turn: it would if
    more entries of `source` were finite than there are, but the compiler does not know that.

    On other backends the arrays are returned as they are.

    Args:
        arrays: what is to be materialized.
        source: what the arrays were computed from, or any other array that is not constant.
    """
    return jax.lax.platform_dependent(
        arrays, source, cpu=_behind_loop, default=lambda arrays, source: arrays
    )


def _behind_loop(arrays: PyTree[Array], source: Float[Array, "..."]) -> PyTree[Array]:
    turns = (jnp.sum(jnp.isfinite(source)) > source.size).astype(jnp.int32)

    def change(carry):
        turns, arrays = carry
        return turns - 1, jax.tree.map(jnp.negative, arrays)

    return jax.lax.while_loop(lambda carry: carry[0] > 0, change, (turns, arrays))[1]
