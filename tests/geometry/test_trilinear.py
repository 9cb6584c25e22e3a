"""Where samples fall: exactly, on large grids too, and within the table whatever is read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry import so3, trilinear


@pytest.mark.parametrize("size", [7, 32, 128])
def test_weights_are_exact_however_large_the_grid(size):
    rotation = so3.random_uniform(jax.random.key(1))
    samples = jax.jit(trilinear.locate, static_argnums=1)(rotation, size)
    points = trilinear.axis_points(size).astype(np.float64)
    axes = np.stack(np.meshgrid(points, points, points, indexing="ij"))
    exact = np.einsum("ia,ixyz->axyz", np.float64(rotation), axes) + (size - 1) / 2
    rows = np.unravel_index(np.asarray(samples.row), (size + 2,) * 3)
    for sample, row, upper, inside in zip(exact, rows, samples.upper, samples.inside, strict=True):
        error = np.abs(row - 1 + np.float64(upper) - sample)
        assert error[np.asarray(inside)].max() < 2e-7
        assert np.array_equal(inside, (np.floor(sample) >= -1) & (np.floor(sample) < size))


def test_the_table_of_a_batch_is_read_as_that_of_each_example():
    tables = jax.random.normal(jax.random.key(2), (3, 20, 2))
    rows = jax.random.randint(jax.random.key(3), (3, 2, 2, 2), 0, 20)
    read = jax.vmap(trilinear.read)(tables, rows)
    assert np.array_equal(read, jnp.stack([t[r] for t, r in zip(tables, rows, strict=True)]))


def test_tables_too_large_for_an_index_of_the_whole_batch_are_read_one_by_one():
    """Shapes alone: two billion rows are not allocated."""
    tables = jax.ShapeDtypeStruct((1000, 130**3), jnp.float32)
    rows = jax.ShapeDtypeStruct((1000, 4, 4, 4), jnp.int32)
    program = jax.make_jaxpr(jax.vmap(trilinear.read))(tables, rows)
    flat = 1000 * 130**3
    assert f"f32[{flat}]" not in str(program)
