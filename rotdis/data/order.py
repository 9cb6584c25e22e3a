"""The order in which a training run sees the objects: a pure function of seed and step.

Both loaders draw their batches by it, so they feed the same objects for the same seed, and a run
that resumes at any step goes on with the very batch that comes next.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

# The square of an object's place in the split must fit in int32.
MAX_OBJECTS = 46_340


@functools.partial(jax.jit, static_argnames=("num_objects", "batch_size"))
def batch_indices(
    seed: int | Int[Array, ""], step: int | Int[Array, ""], num_objects: int, batch_size: int
) -> Int[Array, " b"]:
    """Returns which objects form the global batch of a step.

    The stream is one seeded permutation of all objects after another (an epoch each), cut into
    batches; a batch may straddle two epochs, so that no object is ever dropped.

    Args:
        seed: chooses the permutations.
        step: the training step, from 0.
        num_objects: size of the split, from 1 to `MAX_OBJECTS`.
        batch_size: B.
    """
    if not 1 <= num_objects <= MAX_OBJECTS:
        raise ValueError(f"a split must hold from 1 to {MAX_OBJECTS:,} objects, not {num_objects}")
    key = jax.random.key(seed)
    # step * batch_size would overflow int32 in a very long run: count whole epochs by remainders.
    per_epoch, rest = divmod(batch_size, num_objects)
    carried = _mod_product(jnp.asarray(step), rest, num_objects)
    epoch = per_epoch * step + carried[0]
    position = carried[1] + jnp.arange(batch_size)
    num_epochs = (num_objects - 1 + batch_size - 1) // num_objects + 1
    orders = jax.vmap(
        lambda e: jax.random.permutation(jax.random.fold_in(key, epoch + e), num_objects)
    )(jnp.arange(num_epochs))
    return orders[position // num_objects, position % num_objects]


def frame_stride(num_objects: int, capacity: int) -> int:
    """Returns of how many objects one has a place in a table of `capacity` rows.

    Object i has row i // stride where i % stride is 0. In a split that is sorted by class, as most
    are, every class gets its share.
    """
    return -(-num_objects // capacity)


def _mod_product(step: Int[Array, ""], factor: int, modulus: int) -> tuple[Array, Array]:
    """Returns divmod(step * factor, modulus) without forming the product."""
    high, low = jnp.divmod(step, modulus)
    quotient, remainder = jnp.divmod(low * factor, modulus)
    return high * factor + quotient, remainder
