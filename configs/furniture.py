"""A laptop's first experiment: generated furniture at 16^3, minutes on two CPU cores.

python -m rotdis.main --config=configs/furniture.py --workdir=runs/furniture
"""

import ml_collections

from rotdis.config import base_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration."""
    config = base_config()
    config.data.source = "furniture"
    config.data.resolution = 16
    config.data.num_train = 4000
    config.data.num_test = 500
    config.model.latent_size = 16
    config.model.width = 32
    config.model.volume_size = 8
    config.model.volume_channels = 16
    config.model.occupancy = True
    config.pose.width, config.pose.frame_width = 48, 64
    # Of so few steps each view is reconstructed better from its own code (docs/results.md).
    config.loss.swap_codes = False
    config.loss.equivariance_weight, config.loss.tilt_weight = 200.0, 100.0
    config.eval.symmetries = ("table:C2",)
    config.train.steps = 1200
    # At so few voxels it tells when the networks learn on other blur than they meet in use.
    config.train.as_used = 0.25
    config.train.eval_every = 600
    config.train.checkpoint_every = 100
    return config
