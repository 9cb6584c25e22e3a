"""The plain 3-D VAE on aligned objects: the upper reference, which needs the data's own alignment.

python -m rotdis.main --config=configs/baselines/vae_aligned.py --workdir=runs/vae_aligned
"""

import ml_collections

from configs.baselines.vae_rotated import get_config as vae_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration."""
    config = vae_config()
    config.data.rotations = "none"
    return config
