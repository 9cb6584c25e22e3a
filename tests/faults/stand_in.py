"""Trains a stand-in for the model, so that a test can start and kill it often: `stand_in.py W`.

Loop, checkpoints and logs are the real ones; a step is a little arithmetic and a pause.
"""

import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np

from configs.smoke import get_config
from rotdis import train
from rotdis.step import TrainState


def _state(model=None, config=None) -> TrainState:
    def leaves(scale):
        return {f"layer_{n}": scale * jnp.arange(40_000.0).reshape(200, 200) for n in range(12)}

    return TrainState(jnp.zeros((), jnp.int32), leaves(1e-3), leaves(0), (leaves(2e-3), leaves(3)))


def _make_runner(model, config, mesh, data, start):
    @jax.jit
    def update(state):
        tree = (state.params, state.ema_params, state.opt_state)
        tree = jax.tree.map(lambda leaf: leaf * 0.999 + jnp.sin(leaf + state.step), tree)
        return TrainState(state.step + 1, *tree)

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


def main(workdir: str) -> None:
    """Trains 200 steps, or goes on from where the workdir stands."""
    config = get_config()
    config.train.steps, config.train.log_every = 200, 5
    config.train.checkpoint_every, config.train.eval_every = 5, 10
    train.rotation_vae.create = lambda config: None
    train.step.init_state = _state
    train.prepare.prepare = lambda config: types.SimpleNamespace(train=range(10))
    train._make_runner, train._Validator = _make_runner, _Validator
    train.train(config, workdir)


if __name__ == "__main__":
    main(sys.argv[1])
