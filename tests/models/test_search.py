"""Laws of the search: it finds what is there to find, from the object and its key alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from rotdis.config import base_config
from rotdis.geometry import resample, so3
from rotdis.models import rotation_vae, search
from rotdis.models.search import SearchSettings

SO3 = SearchSettings("so3")
FEW = SearchSettings("so3", restarts=6, refined=2, steps=3)


def _distance(a, b):
    """The squared chordal distance, smooth with a single minimum."""
    return jnp.sum((a - b) ** 2, axis=(-2, -1))


@functools.partial(jax.jit, static_argnums=0)
def _planted(count):
    return so3.random_uniform(jax.random.key(1), (count,))


def _keys(count):
    return jax.random.split(jax.random.key(2), count)


_search_so3 = jax.jit(search.search_so3, static_argnums=(0, 3))


def test_of_the_cubes_rotations_the_one_planted_is_found():
    planted = jnp.asarray(so3.cube_group())
    found = search.search_cube(_distance, planted)
    assert np.array_equal(found, planted)


def test_of_the_cubes_rotations_the_nearest_to_the_minimum_is_found():
    planted = _planted(10)
    found = search.search_cube(_distance, planted)
    every = so3.geodesic_distance(planted[:, None], jnp.asarray(so3.cube_group()))
    assert np.allclose(so3.geodesic_distance(planted, found), every.min(1), atol=1e-5)


def test_the_minimum_of_a_smooth_landscape_is_found_within_a_degree():
    planted = _planted(10)
    found = _search_so3(_distance, planted, _keys(10), SO3)
    assert float(so3.geodesic_distance(found, planted).max()) < np.deg2rad(1)


def test_of_two_minima_a_half_turn_apart_the_lower_is_found():
    planted = _planted(10)
    half_turn = jnp.diag(jnp.array([1.0, -1.0, -1.0]))

    def landscape(planted, rotation):
        lower = _distance(planted, rotation)
        higher = _distance(planted @ half_turn, rotation) + 0.1
        return -jnp.logaddexp(-4 * lower, -4 * higher)

    found = _search_so3(landscape, planted, _keys(10), SO3)
    assert float(so3.geodesic_distance(found, planted).max()) < np.deg2rad(3)


def test_it_is_never_worse_than_its_best_restart():
    """Even where the landscape is rugged, and the steps as long as to lead anywhere."""

    def rugged(planted, rotation):
        return _distance(planted, rotation) + jnp.sum(jnp.sin(20 * rotation), axis=(-2, -1))

    planted, keys = _planted(10), _keys(10)
    settings = FEW._replace(learning_rate=3.0)
    found = _search_so3(rugged, planted, keys, settings)
    restarts = jax.vmap(lambda key: so3.random_uniform(key, (settings.restarts,)))(keys)
    tried = jax.vmap(rugged, in_axes=(None, 1), out_axes=1)(planted, restarts)
    assert (rugged(planted, found) <= tried.min(1) + 1e-5).all()


def test_the_last_step_counts_and_a_step_too_far_does_not():
    planted = _planted(10)
    start = planted @ so3.from_rotation_vector(jnp.full((10, 3), 0.2))
    for rate, better in ((0.1, True), (3.0, False)):
        found, value = search.refine(_distance, planted, start, 1, rate)
        assert np.allclose(value, _distance(planted, found), atol=1e-6)
        assert ((value < _distance(planted, start) - 0.01) == better).all()


def test_what_is_searched_is_the_reconstruction_and_the_kl_of_the_code():
    x = (jax.random.uniform(jax.random.key(3), (2, 4, 4, 4)) > 0.5).astype(jnp.float32)
    logits = jax.random.normal(jax.random.key(4), x.shape)
    mean, logvar = jnp.array([[0.0, 2.0], [1.0, 0.0]]), jnp.array([[0.0, 0.0], [-1.0, 0.5]])
    negative_elbo = search.make_negative_elbo(
        (), lambda x, *_: x, lambda *_: (mean, logvar), lambda *_: logits, kl_weight=3.0
    )
    found = negative_elbo((x, None), jnp.tile(jnp.eye(3), (2, 1, 1)))
    likely = jnp.where(x == 1, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits))
    kl = 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - 1 - logvar, axis=1)
    assert np.allclose(found, -jnp.sum(jnp.log(likely), axis=(1, 2, 3)) + 3 * kl, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_where_the_loss_is_not_finite_the_result_is_still_a_rotation(value):
    found = _search_so3(lambda x, r: r[:, 0, 0] * value, _planted(10), _keys(10), FEW)
    assert np.allclose(np.linalg.det(found), 1, atol=1e-5)


def _mismatch(objects, rotation):
    """How far an object turned back is from the canonical form of all of them, a lopsided blob."""
    x, _ = objects
    canonical = rotation_vae.canonicalize(x, rotation)
    return jnp.sum((canonical - _blob()) ** 2, axis=(1, 2, 3))


def _blob():
    x, y, z = np.meshgrid(*(np.arange(8) - 3.5,) * 3, indexing="ij")
    return np.exp(-((x - 1) ** 2 / 6 + y**2 / 2 + (z + 0.5 * x) ** 2 / 3)).astype(np.float32)


@jax.jit
def _turned_blobs(rotations):
    return jax.vmap(resample.rotate, in_axes=(None, 0))(_blob()[..., None], rotations)[..., 0]


def _on_devices(count, function):
    mesh = jax.make_mesh(
        (count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )
    divided = PartitionSpec("data")
    return jax.jit(
        jax.shard_map(
            function, mesh=mesh, in_specs=(PartitionSpec(), divided, divided), out_specs=divided
        )
    )


def test_neither_the_division_of_the_batch_nor_the_chunk_matters():
    x, keys = _turned_blobs(_planted(4)), _keys(4)
    whole = _search_so3(_mismatch, (x, None), keys, FEW)

    def per_device(_, x, keys):
        return search.search(_mismatch, (x, None), keys, FEW._replace(chunk=3))

    assert np.allclose(_on_devices(2, per_device)(0.0, x, keys), whole, atol=1e-4)


def test_equal_objects_of_equal_keys_have_equal_poses():
    x = _turned_blobs(jnp.repeat(_planted(1), 4, 0))
    keys = jnp.broadcast_to(jax.random.key(5), (4,))
    found = _search_so3(_mismatch, (x, None), keys, FEW)
    assert np.allclose(found[1:], found[0], atol=1e-5)
    assert np.array_equal(found, _search_so3(_mismatch, (x, None), keys, FEW))


SETTINGS = pytest.mark.parametrize(
    "settings, loops", [(SearchSettings("cube", chunk=16), 1), (FEW, 2)], ids=["cube", "so3"]
)


@functools.cache
def _vae():
    """A model at its smallest, with parameters of random size, and a view of two objects."""
    config = base_config()
    config.data.resolution = 16
    config.model.grid = config.model.volume_size = config.model.width = 4
    config.model.volume_channels = 2
    config.model.latent_size = 3
    config.pose.width = 4
    model = rotation_vae.create(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 16)))["params"]
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)
    x = (random.random((2, 16, 16, 16)) > 0.8).astype(np.float32)
    return model, params, x


def _negative_elbo(params):
    model = _vae()[0]
    return search.make_negative_elbo(
        params,
        rotation_vae.canonicalize,
        lambda params, x: model.apply({"params": params}, x, method=lambda m, x: m.encoder(x)),
        lambda params, *args: model.apply({"params": params}, *args, method="decode"),
    )


def _search_vae(params, objects, keys, settings):
    return search.search(_negative_elbo(params), objects, keys, settings)


@SETTINGS
def test_the_models_loss_is_lowest_where_it_was_found_of_all_that_was_tried(settings, loops):
    _, params, x = _vae()
    objects = (x, (x, np.asarray(so3.cube_group()[[5, 9]])))
    found = np.asarray(jax.jit(_search_vae, static_argnums=3)(params, objects, _keys(2), settings))
    assert np.allclose(found @ found.swapaxes(1, 2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(found), 1, atol=1e-5)
    if settings.rotations == "cube":
        tried = np.broadcast_to(so3.cube_group()[:, None], (24, 2, 3, 3))
    else:
        tried = np.stack(
            [so3.random_uniform(key, (settings.restarts,)) for key in _keys(2)], axis=1
        )
    loss, *others = _losses(params, objects, np.concatenate([found[None], tried]))
    assert np.ptp(others, axis=0).min() > 1
    assert (loss <= np.min(others, axis=0) + 1e-2).all()


@jax.jit
def _losses(params, objects, rotations):
    return jax.lax.map(functools.partial(_negative_elbo(params), objects), rotations)


def test_the_models_parameters_may_be_those_of_the_divided_training_step():
    """Traced, not run: every loop must keep the type that says which devices may differ."""

    def per_device(params, x, keys):
        params = jax.lax.pcast(params, "data", to="varying")
        return _search_vae(params, (x, None), keys, FEW)

    _, params, x = _vae()
    assert jax.eval_shape(_on_devices(2, per_device), params, x, _keys(2)).shape == (2, 3, 3)


@SETTINGS
def test_no_gradient_reaches_the_parameters_and_none_is_computed(settings, loops):
    _, params, x = _vae()

    def objective(params):
        return jnp.sum(_search_vae(params, (x, None), _keys(2), settings) ** 3)

    program = jax.make_jaxpr(jax.grad(objective))(params).jaxpr
    scans = [equation for equation in program.eqns if equation.primitive.name == "scan"]
    # None runs backwards, and what is returned does not come from any.
    assert [scan.params["reverse"] for scan in scans] == [False] * loops
    assert not {v for scan in scans for v in scan.outvars} & set(program.outvars)
