"""The plain 3-D VAE on objects at all orientations: what the rotation-aware model is to beat.

python -m rotdis.main --config=configs/baselines/vae_rotated.py --workdir=runs/vae_rotated
"""

import ml_collections

from rotdis.config import base_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration."""
    config = base_config()
    config.pose.method = "none"
    return config
