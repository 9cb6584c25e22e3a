"""The whole flow in two to three minutes on two slow cores: not good, but everything runs.

python -m rotdis.main --config=configs/smoke.py --workdir=runs/smoke
"""

import ml_collections

from configs.furniture import get_config as furniture_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration."""
    config = furniture_config()
    config.data.num_train = 200
    config.data.num_test = 40
    config.data.partial = False
    config.model.width = 16
    config.model.latent_size = 8
    config.pose.width = 16
    # Forty steps make no canonical forms to compare, nor to learn frames of.
    config.frames.synchronize_at, config.pose.frame_width = (), 0
    config.optimizer.warmup_steps = 5
    config.train.steps = 40
    config.train.batch_size = 8
    config.train.log_every = 10
    config.train.checkpoint_every = 20
    config.train.eval_every = 20
    config.eval.max_train = 100
    return config
