"""The command line on a stand-in for the model, so that a test can start and kill it often.

Loop, checkpoints and logs are the real ones; a step is a little arithmetic and a pause.
"""

import time
import types
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from rotdis import main as command_line
from rotdis import train
from rotdis.data.voxelset import VoxelSet
from rotdis.step import TrainState


def state(model=None, config=None) -> TrainState:
    """Returns the state before the first step."""

    def leaves(seed):  # noise, so that every checkpoint takes 7 MB
        noise = jax.random.normal(jax.random.key(seed), (12, 200, 200))
        return {f"layer_{n}": leaf for n, leaf in enumerate(noise)}

    start, frames = jnp.zeros((), jnp.int32), jnp.eye(3)[None]
    return TrainState(start, leaves(0), leaves(1), (leaves(2), leaves(3)), frames)


def _make_runner(model, config, mesh, data, start):
    @jax.jit
    def update(state):
        tree = (state.params, state.ema_params, state.opt_state)
        tree = jax.tree.map(lambda leaf: leaf * 0.999 + 0.01 * jnp.sin(leaf * state.step), tree)
        return TrainState(state.step + 1, *tree, state.frames)

    def run(state, count):
        losses = np.zeros(config.train.steps_per_call)
        for index in range(count):
            state = update(state)
            losses[index] = state.params["layer_3"][7, 7]
            time.sleep(0.02)
        return state, {"loss": losses}, 0.0

    return run


class _Validator:
    def __init__(self, config, data, writer):
        self._writer = writer

    def __call__(self, done, state):
        scores = {"reconstruction/iou": float(np.sin(done))}  # the best comes and goes
        self._writer.write_scalars(done, {f"validation/{k}": v for k, v in scores.items()})
        picture = np.full((40, 40, 3), done % 256, np.uint8)
        self._writer.write_images(done, {"objects": picture})
        return scores


def main() -> None:
    """Runs the command line, whose options follow, on the stand-in."""
    objects = VoxelSet(
        np.zeros((10, 1), np.uint8), np.zeros(10, int), tuple("abcdefghij"), ("a",), 2, False, True
    )
    data = types.SimpleNamespace(train=objects, test=())
    with (
        mock.patch.object(train.rotation_vae, "create"),
        mock.patch.object(train.step, "init_state", state),
        mock.patch.object(train.prepare, "prepare", return_value=data),
        mock.patch.object(train.runner, "make_runner", _make_runner),
        mock.patch.object(train, "Validator", _Validator),
    ):
        command_line.main()


if __name__ == "__main__":
    main()
