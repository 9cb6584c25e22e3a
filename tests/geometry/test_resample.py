"""Laws of the resampling: its conventions, exactness and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.scipy.ndimage import map_coordinates
from jax.sharding import AxisType, PartitionSpec

from rotdis.geometry import resample, so3

SIZES = [1, 2, 7, 8]
_rotate = jax.jit(resample.rotate)


def _volume(size, channels=2, seed=0):
    return jax.random.normal(jax.random.key(seed), (size, size, size, channels))


def _oracle(volume, rotation):
    size = volume.shape[0]
    axis = jnp.arange(size) - (size - 1) / 2
    points = jnp.stack(jnp.meshgrid(axis, axis, axis, indexing="ij"))
    samples = jnp.einsum("ij,i...->j...", rotation, points, precision="highest") + (size - 1) / 2
    read = [
        map_coordinates(volume[..., c], samples, order=1, mode="constant")
        for c in range(volume.shape[3])
    ]
    return jnp.stack(read, -1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_the_identity_is_exact(size, channels):
    volume = _volume(size, channels)
    assert np.array_equal(_rotate(volume, jnp.eye(3)), volume)


@pytest.mark.parametrize("size, channels", [(1, 2), (2, 1), (7, 2), (8, 1)])
def test_the_cube_rotations_are_exact_permutations_despite_rounding(size, channels):
    volume = _volume(size, channels)
    copies = resample.cube_copies(jnp.moveaxis(volume, -1, 0))
    noise = np.random.default_rng(0).uniform(-4e-7, 4e-7, (24, 3, 3))
    for index, rotation in enumerate(so3.cube_group()):
        turned = np.asarray(_rotate(volume, np.float32(rotation.T + noise[index])))
        assert np.array_equal(np.moveaxis(turned, -1, 0), copies[:, index])
        assert np.array_equal(np.sort(turned, axis=None), np.sort(volume, axis=None))


def test_a_quarter_turn_about_z_moves_plus_x_to_plus_y():
    volume = jnp.zeros((5, 5, 5, 1)).at[4, 2, 2, 0].set(1.0)
    quarter = so3.from_rotation_vector(jnp.array([0, 0, jnp.pi / 2]))
    turned = np.asarray(resample.rotate(volume, quarter))[..., 0]
    assert turned[2, 4, 2] == 1.0 and turned.sum() == 1.0


@pytest.mark.parametrize("size, channels", [(2, 2), (7, 1), (8, 3), (16, 1)])
def test_rotation_agrees_with_map_coordinates_at_the_border_too(size, channels):
    volume, oracle = _volume(size, channels), jax.jit(_oracle)
    for rotation in so3.random_uniform(jax.random.key(1), (4,)):
        assert np.abs(_rotate(volume, rotation) - oracle(volume, rotation)).max() < 1e-5


def _smooth_ball(size):
    axis = np.arange(size) - (size - 1) / 2
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    shape = np.exp(-((x - 2) ** 2 + 2 * (y + 1) ** 2 + 0.5 * z**2) / 20)
    return jnp.asarray(shape[..., None], jnp.float32)


def test_two_rotations_compose_up_to_interpolation():
    volume = _smooth_ball(24)
    first, second = so3.random_uniform(jax.random.key(2), (2,))
    twice = _rotate(_rotate(volume, first), second)
    assert np.abs(twice - _rotate(volume, second @ first)).max() < 0.06


def test_rotating_back_restores_the_volume():
    volume = _smooth_ball(24)
    rotation = so3.random_uniform(jax.random.key(3))
    back = _rotate(_rotate(volume, rotation), rotation.T)
    assert np.abs(back - volume).max() < 0.06
    assert np.abs(_rotate(volume, rotation) - volume).max() > 0.3


def _reference(volume, rotation):
    """Trilinear resampling in float64, by SciPy."""
    volume, rotation = np.asarray(volume, np.float64), np.asarray(rotation, np.float64)
    size = volume.shape[0]
    axis = np.arange(size) - (size - 1) / 2
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    samples = np.moveaxis(points @ rotation + (size - 1) / 2, -1, 0)
    read = [
        scipy.ndimage.map_coordinates(volume[..., c], samples, order=1, mode="grid-constant")
        for c in range(volume.shape[3])
    ]
    return np.stack(read, -1)


def test_a_large_grid_is_sampled_as_exactly_as_a_small_one():
    volume, rotation = _volume(48, channels=1), so3.random_uniform(jax.random.key(11))
    difference = np.abs(_rotate(volume, rotation) - _reference(volume, rotation))
    assert difference.max() < 2e-6


@pytest.mark.parametrize("size, channels", [(6, 1), (7, 3)])
def test_gradients_agree_with_float64_finite_differences(size, channels):
    volume, weight = _volume(size, channels), np.asarray(_volume(size, channels, seed=4))
    tangent = np.asarray(_volume(size, channels, seed=12), np.float64)
    turn = np.asarray(jax.random.normal(jax.random.key(13), (3, 3)), np.float64)
    exact, step = np.float64(volume), 1e-6
    by_both = jax.jit(jax.grad(lambda v, r: jnp.sum(resample.rotate(v, r) * weight), (0, 1)))
    for rotation in so3.random_uniform(jax.random.key(5), (3,)):
        gradients = by_both(volume, rotation)
        for gradient, direction, arguments in (
            (gradients[0], tangent, lambda t, r=rotation: (exact + t * tangent, r)),
            (gradients[1], turn, lambda t, r=rotation: (exact, np.float64(r) + t * turn)),
        ):
            ahead, behind = (np.sum(_reference(*arguments(t)) * weight) for t in (step, -step))
            expected = (ahead - behind) / (2 * step)
            scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
            assert abs(np.vdot(gradient, direction) - expected) < 2e-5 * scale


def test_gradients_agree_with_the_oracle():
    volume, weight = _volume(9), _volume(9, seed=4)
    both = [
        jax.jit(jax.grad(lambda v, r, f=f: jnp.sum(f(v, r) * weight), (0, 1)))
        for f in (resample.rotate, _oracle)
    ]
    for rotation in so3.random_uniform(jax.random.key(5), (3,)):
        ours, theirs = (gradients(volume, rotation) for gradients in both)
        assert np.allclose(ours[0], theirs[0], atol=1e-4)
        assert np.allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_second_derivatives_agree_with_the_oracle():
    volume, weight = _volume(5), _volume(5, seed=4)
    rotation = so3.random_uniform(jax.random.key(14))

    def slope(function, method):
        def value(volume, rotation):
            return jnp.sum(jnp.sin(function(volume, rotation)) * weight)

        def along(volume, rotation):
            by_volume, by_rotation = jax.grad(value, (0, 1))(volume, rotation)
            return jnp.sum(by_volume**2) + jnp.sum(by_rotation * jnp.arange(9.0).reshape(3, 3))

        return jax.jit(jax.grad(along, (0, 1)))(volume, rotation)

    theirs = slope(_oracle, None)
    for method in ("scatter", "gather"):
        ours = slope(lambda v, r, m=method: resample.rotate(v, r, m), method)
        for mine, expected in zip(ours, theirs, strict=True):
            assert np.allclose(mine, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_only_the_gradients_that_are_asked_for_are_computed_and_kept():
    volume, rotation = _volume(6), so3.random_uniform(jax.random.key(15))
    total = lambda v, r: jnp.sum(resample.rotate(v, r, "scatter"))  # noqa: E731
    assert "scatter" in str(jax.make_jaxpr(jax.grad(total, 0))(volume, rotation))
    assert "scatter" not in str(jax.make_jaxpr(jax.grad(total, 1))(volume, rotation))
    _, pullback = jax.vjp(lambda v: resample.rotate(v, rotation), volume)
    kept = sum(leaf.size for leaf in jax.tree.leaves(pullback))
    assert kept < volume.size


def test_repeated_backward_passes_are_equal_to_the_bit():
    volumes = jnp.stack([_volume(12, seed=seed) for seed in range(4)])
    weights = jnp.stack([_volume(12, seed=9 + seed) for seed in range(4)])
    rotations = so3.random_uniform(jax.random.key(16), (4,))

    @jax.jit
    def gradients(volumes, rotations):
        return jax.grad(
            lambda v, r: jnp.sum(jax.vmap(resample.rotate)(v, r) * weights), argnums=(0, 1)
        )(volumes, rotations)

    first = gradients(volumes, rotations)
    for _ in range(5):
        for again, expected in zip(gradients(volumes, rotations), first, strict=True):
            assert np.array_equal(again, expected)


def test_bfloat16_features_are_sampled_at_float32_coordinates():
    volume, rotation = _volume(16), so3.random_uniform(jax.random.key(8))
    half = volume.astype(jnp.bfloat16)
    turned = _rotate(half, rotation)
    assert turned.dtype == jnp.bfloat16
    exact = _rotate(half.astype(jnp.float32), rotation)
    assert np.allclose(turned.astype(jnp.float32), exact, rtol=2**-8, atol=2**-8)


@jax.jit
def _gradients(volume, rotation, weight):
    return jax.grad(lambda v, r: jnp.sum(jax.checkpoint(resample.rotate)(v, r) * weight), (0, 1))(
        volume, rotation
    )


def test_it_runs_under_vmap_jit_and_remat():
    volumes = jnp.stack([_volume(6, seed=seed) for seed in range(6)])
    weights = jnp.stack([_volume(6, seed=9 + seed) for seed in range(6)])
    rotations = so3.random_uniform(jax.random.key(9), (6,))
    batch = (volumes, rotations, weights)
    singles = [resample.rotate(v, r) for v, r, _ in zip(*batch, strict=True)]
    assert np.allclose(jax.jit(jax.vmap(resample.rotate))(volumes, rotations), singles, atol=1e-6)
    expected = [_gradients(*example) for example in zip(*batch, strict=True)]
    expected = [np.stack(of_one) for of_one in zip(*expected, strict=True)]
    nested = jax.tree.map(lambda array: array.reshape(2, 3, *array.shape[1:]), batch)
    twice = jax.jit(jax.vmap(jax.vmap(_gradients)))(*nested)
    for results in (jax.jit(jax.vmap(_gradients))(*batch), twice):
        for ours, theirs in zip(results, expected, strict=True):
            assert np.allclose(ours.reshape(theirs.shape), theirs, atol=1e-5)
    # One volume, many rotations: its gradient is their sum.
    shared = jax.jit(
        jax.grad(lambda v: jnp.sum(jax.vmap(resample.rotate, (None, 0))(v, rotations) * weights))
    )(volumes[0])
    parts = [_gradients(volumes[0], r, w)[0] for r, w in zip(rotations, weights, strict=True)]
    assert np.allclose(shared, sum(parts), atol=1e-5)


def test_it_runs_under_shard_map():
    volumes = jnp.stack([_volume(6, seed=seed) for seed in range(8)])
    rotations = so3.random_uniform(jax.random.key(9), (8,))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    on_devices = jax.shard_map(
        jax.vmap(_gradients),
        mesh=mesh,
        in_specs=PartitionSpec("data"),
        out_specs=PartitionSpec("data"),
    )
    results = jax.jit(on_devices)(volumes, rotations, volumes)
    for ours, theirs in zip(
        results, jax.vmap(_gradients)(volumes, rotations, volumes), strict=True
    ):
        assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_not_finite_stays_within_its_example(channels):
    volumes = jnp.stack([_volume(6, channels, seed) for seed in range(3)])
    rotations = so3.random_uniform(jax.random.key(17), (3,))
    turn_all = jax.jit(jax.vmap(resample.rotate))
    exact = turn_all(volumes, rotations)
    of_volume = turn_all(volumes.at[1].set(jnp.nan), rotations)
    of_rotation = turn_all(volumes, rotations.at[1].set(jnp.nan))
    for turned in (of_volume, of_rotation):
        assert np.array_equal(turned[::2], exact[::2])
    assert np.isnan(of_volume[1]).any()
    assert np.isnan(of_rotation[1]).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="scatter, gather, matrix"):
        resample.rotate(_volume(4), jnp.eye(3), "magic")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_a_volume_that_cannot_hold_what_lies_between_is_refused(dtype):
    with pytest.raises(ValueError, match=f"floats, not {dtype}"):
        resample.rotate(jnp.ones((4, 4, 4, 1), dtype), jnp.eye(3))


@pytest.mark.parametrize("channels", [1, 2])
def test_of_no_volumes_none_is_turned(channels):
    none = jnp.zeros((0, 4, 4, 4, channels)), jnp.zeros((0, 3, 3))
    turn = jax.vmap(resample.rotate)
    assert turn(*none).shape == none[0].shape
    gradient = jax.grad(lambda volumes: turn(volumes, none[1]).sum())(none[0])
    assert gradient.shape == none[0].shape


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 3, 1)])
def test_a_volume_that_is_not_one_cubic_grid_is_refused(shape):
    with pytest.raises(ValueError, match="vmap"):
        resample.rotate(jnp.zeros(shape), jnp.eye(3))
