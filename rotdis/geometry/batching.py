"""Functions that see the whole batch, however often they are vmapped."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def on_batches(function: Callable) -> Callable:
    """Makes `function` of arrays (B, ...) one of single examples that is called once for a batch.

    vmap turns a read at an index into one at a (batch, index) pair, which XLA's CPU compiler keeps
    in memory as an array of pairs; and it turns work that should go through the cache example by
    example into passes over the whole batch. What the result computes is the same either way.

    The result has no reverse-mode derivative: call it within a `jax.custom_vjp`.

    Args:
        function: takes and returns arrays whose first axis is the batch.
    """

    @jax.custom_batching.custom_vmap
    def merged(*arrays):
        return function(*arrays)

    @merged.def_vmap
    def merge_axes(size, batched, *arrays):
        # `merged` has a batch axis of its own already; the new one joins it. Sizes are written out,
        # since of no examples none could be inferred.
        inner = next(
            array.shape[1] if is_batched else array.shape[0]
            for array, is_batched in zip(arrays, batched, strict=True)
        )
        arrays = (
            array if is_batched else jnp.broadcast_to(array, (size, *array.shape))
            for array, is_batched in zip(arrays, batched, strict=True)
        )
        result = merged(*(array.reshape(size * inner, *array.shape[2:]) for array in arrays))
        return result.reshape(size, inner, *result.shape[1:]), True

    @functools.wraps(function)
    def on_example(*arrays):
        return merged(*(array[None] for array in arrays))[0]

    return on_example


def zeros_varying_as(array: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns float32 zeros that may differ between devices where `array` does.

    Under shard_map a loop's carry must start as what it becomes, so this zero is made of the data.
    """
    zero = 0.0 * (array.ravel()[0] != array.ravel()[0])
    return jnp.full(shape, zero, jnp.float32)


def largest_divisor(number: int, limit: int) -> int:
    """Returns the largest divisor of `number` up to `limit`; 1 where there is none."""
    return max(count for count in range(1, max(limit, 1) + 1) if number % count == 0)
