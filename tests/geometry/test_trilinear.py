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
    inside = ((np.floor(exact) >= -1) & (np.floor(exact) < size)).all(0)
    for sample, row, upper in zip(exact, rows, samples.upper, strict=True):
        assert np.abs(row - 1 + np.float64(upper) - sample)[inside].max() < 2e-7


def test_samples_beyond_the_shell_have_zeros_for_neighbours():
    for size in (1, 2, 7):
        stretch = jnp.eye(3) * 3.1  # no rotation: most samples are far outside
        samples = jax.jit(trilinear.locate, static_argnums=1)(stretch, size)
        table = trilinear.pad(jnp.ones((size,) * 3))
        offsets = np.ravel(np.add.outer(np.add.outer((0, (size + 2) ** 2), (0, size + 2)), (0, 1)))
        take = jax.jit(trilinear.take)
        total = sum(np.asarray(take(table, samples.row + offset)) for offset in offsets)
        outside = np.abs(3.1 * trilinear.axis_points(size)) >= (size + 1) / 2
        beyond = outside[:, None, None] | outside[:, None] | outside
        assert (total[beyond] == 0).all()
        assert (total[~beyond] > 0).all()


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
