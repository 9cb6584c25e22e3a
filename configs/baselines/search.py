"""The affine VAE: the pose is searched on the VAE's own loss, in training and in inference.

    python -m rotdis.main --config=configs/baselines/search.py --workdir=runs/search

With `--config.data.rotations=cube` all 24 rotations of the cube are tried; otherwise 32 random
ones, and 20 steps of Adam on the best 8.
"""

import ml_collections

from rotdis.config import base_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration."""
    config = base_config()
    config.pose.method = "search"
    return config
