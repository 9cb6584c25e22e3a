"""A configuration small enough for tests, shared by those that train or restore."""

import ml_collections

from configs.smoke import get_config


def tiny_config() -> ml_collections.ConfigDict:
    """Returns smoke's configuration, smaller still."""
    config = get_config()
    config.model.width = config.pose.width = config.pose.second_width = 8
    config.model.volume_channels = 2
    config.model.latent_size = 4
    # The steps of the base configuration, with fewer programs to compile.
    config.model.occupancy, config.loss.swap_codes = False, True
    config.optimizer.warmup_steps = 2
    config.frames.synchronize_at = ()
    config.eval.batch_size = 8  # as many as a preview shows: encoders of one size are compiled
    return config
