"""Laws of the training step: the same gradients whatever the devices, and what the loss sees."""

import collections
import functools

import degenerate
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from rotdis import objective, step
from rotdis.config import base_config
from rotdis.data import resident
from rotdis.geometry import so3
from rotdis.models import rotation_vae

BATCH = 8


@pytest.fixture(scope="module")
def config():
    config = base_config()
    config.data.resolution = 16
    config.data.partial = False
    config.model.width = config.pose.width = config.pose.second_width = config.pose.frame_width = 8
    config.model.latent_size = 4
    config.model.volume_size, config.model.volume_channels = 8, 2
    config.train.batch_size = BATCH
    config.optimizer.warmup_steps = 1
    config.loss.alike_weight = 10.0
    return config


@pytest.fixture(scope="module")
def model(config):
    return rotation_vae.create(config)


@pytest.fixture(scope="module")
def state(model, config):
    """A state away from the start, where residual rotations are near the identity.

    There the samples lie next to voxel centres, where the gradient with respect to the rotation
    jumps: a rounding of the rotation, which the number of devices may change, can move it.
    """
    state = step.init_state(model, config)
    keys = iter(jax.random.split(jax.random.key(7), len(jax.tree.leaves(state.params))))
    params = jax.tree.map(
        lambda leaf: leaf + 0.03 * jax.random.normal(next(keys), leaf.shape), state.params
    )
    return state.replace(params=params, ema_params=params)


@pytest.fixture(scope="module")
def packed():
    voxels = np.random.default_rng(0).uniform(size=(BATCH, 16**3)) > 0.8
    return np.packbits(voxels, axis=1)


@pytest.fixture(scope="module")
def alike():
    """What tells how alike the objects are, of all but one."""
    return np.random.default_rng(1).normal(size=(BATCH, 5)).astype(np.float32).round(1) * (
        np.arange(BATCH)[:, None] != 2
    )


def _gradients(style, count, model, config, params, packed, alike):
    per_device = functools.partial(step.device_gradients, model=model, config=config)
    if style == "pmap":
        shards, alike = (rows.reshape(count, BATCH // count, -1) for rows in (packed, alike))
        run = jax.pmap(
            per_device,
            axis_name=step.AXIS,
            in_axes=(None, 0, None, None, 0),
            devices=jax.devices()[:count],
        )
        results = run(params, shards, jnp.asarray(3), None, alike)
        return jax.tree.map(lambda leaf: np.asarray(leaf[0]), results)
    run = _on_mesh(count, model, config)
    return jax.tree.map(np.asarray, run(params, packed, jnp.asarray(3), None, alike))


def _on_mesh(count, model, config):
    mesh = jax.make_mesh(
        (count,), (step.AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )
    everywhere, divided = PartitionSpec(), PartitionSpec(step.AXIS)
    return jax.jit(
        jax.shard_map(
            functools.partial(step.device_gradients, model=model, config=config),
            mesh=mesh,
            in_specs=(everywhere, divided, everywhere, everywhere, divided),
            out_specs=everywhere,
        )
    )


@pytest.fixture(scope="module")
def on_one(model, config):
    return _on_mesh(1, model, config)


@pytest.fixture(scope="module")
def single(on_one, state, packed, alike):
    return jax.tree.map(np.asarray, on_one(state.params, packed, jnp.asarray(3), None, alike))


def _relative_difference(gradients, expected):
    """The Euclidean norm of the difference, over all parameters, by that of what is expected."""
    difference = jax.tree.map(lambda ours, theirs: np.asarray(ours - theirs), gradients, expected)
    assert float(optax.global_norm(expected)) > 1
    return float(optax.global_norm(difference) / optax.global_norm(expected))


@pytest.mark.parametrize(
    "style, count",
    [("shard_map", 8), *(pytest.param("pmap", n, marks=pytest.mark.slow) for n in (2, 8))],
)
def test_gradients_are_the_same_on_any_number_of_devices(
    style, count, single, model, config, state, packed, alike
):
    gradients, metrics = _gradients(style, count, model, config, state.params, packed, alike)
    # Only the order of the sums differs.
    assert _relative_difference(gradients, single[0]) < 1e-5
    for name, value in metrics.items():
        assert np.isclose(value, single[1][name], rtol=1e-4, atol=1e-5), name


@pytest.mark.slow
def test_the_gradient_is_that_of_the_mean_loss_over_the_batch(
    single, model, config, state, packed, alike
):
    """Against the plain gradient of the loss, without any mapped axis or averaging."""
    x = resident.unpack(jnp.asarray(packed), config.data.resolution, config.data.partial)
    key = jax.random.fold_in(jax.random.key(config.seed + 1), 3)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(BATCH))

    @jax.jit
    @jax.grad
    def gradient(params):
        return objective.loss_and_metrics(params, model, config, x, keys, None, alike)[0]

    assert _relative_difference(single[0], gradient(state.params)) < 1e-5


def test_odd_objects_and_odd_parameters_have_finite_losses_and_gradients(on_one, state, alike):
    """More of both, and bfloat16, are in tests/faults/test_numerics.py."""
    voxels = np.stack(list(degenerate.grids().values()))
    odd = np.packbits(voxels.reshape(BATCH, -1).astype(np.uint8), axis=1)
    for name, params in degenerate.parameters(state.params).items():
        gradients, metrics = on_one(params, odd, jnp.asarray(3), None, alike)
        assert not degenerate.bad((gradients, metrics)), name


@pytest.fixture(scope="module")
def compiled_step(model, config, state, packed):
    mesh = jax.make_mesh((1,), (step.AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    return jax.jit(step.make_train_step(model, config, mesh)).lower(state, packed).compile()


def test_a_step_moves_parameters_and_their_average_and_counts(compiled_step, state, packed):
    after, metrics = compiled_step(compiled_step(state, packed)[0], packed)
    assert int(after.step) == 2
    assert float(metrics["learning_rate"]) > 0

    def moved(a, b):
        difference = jax.tree.map(lambda x, y: x - y, a, b)
        return float(optax.global_norm(difference))

    # The first rate is zero. After two steps the average has a memory of 2/11.
    change = moved(after.params, state.params)
    assert np.isclose(moved(after.ema_params, state.params), (1 - 2 / 11) * change, rtol=1e-3)


def test_late_in_a_run_the_average_has_the_memory_that_is_configured(config, state):
    config = config.copy_and_resolve_references()
    config.optimizer.warmup_steps, config.train.ema_decay = 0, 0.75
    gradients = jax.tree.map(jnp.ones_like, state.params)
    late = state.replace(step=jnp.asarray(1000))
    after, _ = jax.jit(functools.partial(step.apply_gradients, config=config))(late, gradients)
    for before, new, average in zip(
        *(jax.tree.leaves(tree) for tree in (late.params, after.params, after.ema_params)),
        strict=True,
    ):
        assert np.abs(new - before).max() > 0
        assert np.allclose(average - before, 0.25 * (new - before), rtol=1e-2, atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the CPU's compiler")
def test_samples_are_located_once_for_their_eight_neighbours(compiled_step):
    """Left to itself, XLA located them anew for each neighbour: a tenth of the step's time."""
    gathers, floors = collections.Counter(), collections.Counter()
    operation = None
    for line in compiled_step.as_text().splitlines():
        if line.startswith("%"):
            operation = line.split()[0]
        gathers[operation] += " gather(" in line
        floors[operation] += " floor(" in line
    locating = [gathers[name] for name in gathers if gathers[name] and floors[name]]
    # Two views, their small forms that are seen upright, twice, and the canonical forms.
    assert locating == [8, 8, 8, 8, 8]


def test_weights_decay_and_biases_and_norms_do_not(config):
    params = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}
    optimizer = step.make_optimizer(config)
    opt_state, nothing = optimizer.init(params), jax.tree.map(jnp.zeros_like, params)
    for _ in range(2):  # the rate of the first step is 0
        updates, opt_state = optimizer.update(nothing, opt_state, params)
    assert (updates["kernel"] < 0).all() and (updates["bias"] == 0).all()


def test_a_large_gradient_counts_by_its_direction_alone(config):
    params = {"kernel": jnp.ones((3, 2))}
    optimizer = step.make_optimizer(config)
    direction = jax.random.normal(jax.random.key(0), (3, 2))
    direction *= 10 * config.optimizer.clip_norm / jnp.linalg.norm(direction)
    one, other = (
        optimizer.update({"kernel": scale * direction}, optimizer.init(params), params)[1]
        for scale in (1, 100)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, other)
    small = optimizer.update({"kernel": 0.01 * direction}, optimizer.init(params), params)[1]
    assert not np.allclose(jax.tree.leaves(small)[1], jax.tree.leaves(one)[1], rtol=0.5)


@pytest.mark.parametrize("share, first", [(0.0, None), (0.25, 15), (1.0, 0)])
def test_the_networks_see_views_as_in_use_in_the_last_share_of_the_steps(
    share, first, model, config, state, packed, monkeypatch
):
    def objective(params, *arguments):
        nothing = sum(0 * jnp.sum(leaf) for leaf in jax.tree.leaves(params))
        as_used = arguments[-1]
        return nothing, {"as_used": nothing - 1 if as_used is None else nothing + as_used}

    monkeypatch.setattr(step, "loss_and_metrics", objective)
    config = config.copy_and_resolve_references()
    config.train.as_used, config.train.steps = share, 20
    take = _on_mesh(1, model, config)
    found = [
        float(take(state.params, packed, jnp.asarray(at), None, None)[1]["as_used"])
        for at in range(20)
    ]
    assert found == [-1 if first is None else at >= first for at in range(20)]


def test_a_form_that_the_trained_decoder_lacks_adds_nothing_at_first_and_learns(
    model, config, state
):
    config = config.copy_and_resolve_references()
    config.model.occupancy = True
    grown = rotation_vae.create(config)
    begun = step.start_from(step.init_state(grown, config), state.params)
    z = jax.random.normal(jax.random.key(0), (3, config.model.latent_size))
    turns = so3.random_uniform(jax.random.key(1), (3,))
    trained = model.apply({"params": state.params}, z, turns, method="decode")

    def decode(params):
        return grown.apply({"params": params}, z, turns, method="decode")

    centres = np.arange(16) - 7.5
    inside = sum(np.meshgrid(*3 * (centres**2,), indexing="ij")) < 7.5**2  # whatever the turn
    for params in (begun.params, begun.ema_params):
        np.testing.assert_allclose(decode(params)[:, inside], trained[:, inside], atol=1e-4)
    gradient = jax.grad(lambda params: jnp.sum(decode(params) ** 2))(begun.params)
    assert np.abs(gradient["decoder"]["form"]["kernel"]).max() > 0


def test_what_is_held_stays_and_the_rest_learns(model, config, state, packed):
    config = config.copy_and_resolve_references()
    config.train.hold_pose = True
    # As from a trained model that has no network that decides by surfaces.
    trained = {name: part for name, part in state.params.items() if name != "frame"}
    state = step.start_from(step.init_state(model, config), trained)

    @jax.jit
    def update(state):
        x = resident.unpack(jnp.asarray(packed[:2]), config.data.resolution, config.data.partial)
        keys = jax.random.split(jax.random.key(0), 2)
        gradients, _ = jax.grad(objective.loss_and_metrics, has_aux=True)(
            state.params, model, config, x, keys
        )
        return step.apply_gradients(state, gradients, config)[0]

    after = state
    for _ in range(8):  # the first step's learning rate is zero; averages drift by rounding
        after = update(after)
    for kind in ("params", "ema_params"):
        for name, part in getattr(after, kind).items():
            same = jax.tree.map(np.array_equal, part, getattr(state, kind)[name])
            held = name in ("pose", "second")
            assert all(leaf == held for leaf in jax.tree.leaves(same)), (kind, name)


def test_the_learning_rate_warms_up_and_decays_to_zero(config):
    config = config.copy_and_resolve_references()
    config.optimizer.warmup_steps = 10
    schedule = step.learning_rate_schedule(config)
    assert schedule(0) == 0
    assert np.isclose(schedule(10), config.optimizer.learning_rate)
    assert np.isclose(schedule(config.train.steps), 0, atol=1e-9)


def test_every_object_has_the_frame_of_its_own_row_or_none():
    frames = jnp.arange(1.0, 5)[:, None, None] * jnp.eye(3)
    index = jnp.array([6, 0, 3, 4, 7])
    found = step.rows_of(index, frames, num_objects=8)  # every second one has a row
    assert found[:, 0, 0].tolist() == [4, 1, 0, 3, 0]
    assert step.rows_of(index[2:4], jnp.tile(frames, (2, 1, 1)), 8)[:, 0, 0].tolist() == [4, 1]
