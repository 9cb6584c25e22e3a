"""No NaN, in value or gradient, on odd objects, of any method and latent size, in either dtype."""

import degenerate
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis import evaluate, objective, step
from rotdis.config import base_config
from rotdis.data.voxelset import VoxelSet, pack
from rotdis.inference import Model
from rotdis.models import rotation_vae

GRIDS = degenerate.grids()

# Method, how residuals are written, latent size, other fields.
CASES = [
    ("mixture", "6d", 8, {}),
    ("mixture", "svd", 8, {}),
    ("mixture", "6d", 1, {}),
    ("mixture", "6d", 512, {}),
    ("mixture", "6d", 8, {"data.rotations": "cube", "pose.second_width": 0}),
    ("search", "6d", 8, {}),
    ("search", "6d", 8, {"data.rotations": "cube"}),
    ("none", "6d", 1, {"data.rotations": "none"}),
]


def _config(dtype, method="mixture", residual="6d", latent_size=8, **more):
    config = base_config()
    config.data.resolution = 16
    config.data.partial = False
    config.model.width = config.pose.width = config.pose.second_width = config.pose.frame_width = 8
    config.model.volume_size, config.model.volume_channels = 8, 2
    config.model.latent_size, config.model.dtype = latent_size, dtype
    config.pose.method, config.pose.residual = method, residual
    config.search.restarts, config.search.refined, config.search.steps = 4, 2, 3
    config.update_from_flattened_dict(more)
    return config


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method, residual, latent_size, more", CASES)
def test_a_step_on_odd_objects_is_finite(dtype, method, residual, latent_size, more, record_fault):
    config = _config(dtype, method, residual, latent_size, **more)
    model = rotation_vae.create(config)
    state = step.init_state(model, config)
    x = jnp.asarray(np.stack(list(GRIDS.values())))
    keys = jax.random.split(jax.random.key(1), len(x))

    @jax.jit
    def run(params):
        gradient, metrics = jax.grad(objective.loss_and_metrics, has_aux=True)(
            params, model, config, x, keys
        )
        after, more = step.apply_gradients(state.replace(params=params), gradient, config)
        return gradient, metrics | more, after.params

    whole = {"as they are": state.params, "zero": jax.tree.map(jnp.zeros_like, state.params)}
    if (method, residual) == ("mixture", "6d"):
        whole = degenerate.parameters(state.params)
    for name, params in whole.items():
        assert not degenerate.bad(run(params)), name
    record_fault(
        f"eight odd grids, a step in {dtype}: {method} ({residual}), latent size {latent_size}",
        len(whole) * len(x),
        "loss, gradient and the parameters after it are finite",
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("latent_size", [1, 8])
def test_an_evaluation_of_odd_objects_is_finite(dtype, latent_size, record_fault):
    config = _config(dtype, latent_size=latent_size, **{"pose.refine_steps": 2})
    params = step.init_state(rotation_vae.create(config), config).params
    split = VoxelSet(
        packed=pack(np.stack(list(GRIDS.values())), partial=False),
        label=np.arange(len(GRIDS)) % 2,
        source_id=tuple(GRIDS),
        class_names=("even", "odd"),
        resolution=16,
        partial=False,
        aligned=True,
    )
    train = split.select(np.zeros(len(split), bool))
    for name, odd in degenerate.parameters(params).items():
        model = Model(config, odd)
        metrics, predictions = evaluate.evaluate(
            model, split, train, seed=0, batch_size=8, max_train=10, thorough=True
        )
        assert len(predictions) == len(GRIDS), name
        assert not [key for key, value in metrics.items() if not np.isfinite(value)], name
        assert not degenerate.bad(model.canonicalize(np.stack(list(GRIDS.values())))), name
    record_fault(
        f"eight odd grids, a thorough evaluation in {dtype}, latent size {latent_size}",
        len(degenerate.parameters(params)) * len(GRIDS),
        "every metric is finite or left out",
    )
