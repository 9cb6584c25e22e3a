"""One run of the sweep over latent sizes: the mixture beside the search and the plain VAEs.

    python -m rotdis.main --config=configs/latent_sweep.py:so3,mixture,16,0 --workdir=W

is the cell of full rotations, the mixture, latent size 16, seed 0; `launch/latent_sweep.sh` runs
all cells and collects them. Rotations are `so3`, `cube` (90 degrees) or `none`; methods `mixture`,
`search` and `vae`. `none,vae` is the VAE on aligned data, the others' upper reference.

All cells have the same data (ModelNet10, ten classes, 16^3), encoder, decoder, steps and batch. The
VAE is as wide, and the pose network as narrow, as it takes for the mixture to encode an object in
less than twice the plain VAE's time.
"""

import ml_collections

from configs.furniture import get_config as furniture_config
from rotdis.errors import ConfigError

_METHODS = {"mixture": "mixture", "search": "search", "vae": "none"}


def get_config(cell: str = "so3,mixture,16,0") -> ml_collections.ConfigDict:
    """Returns the configuration of a cell "ROTATIONS,METHOD,LATENT_SIZE,SEED".

    Raises:
        ConfigError: the cell is none.
    """
    try:
        rotations, method, latent_size, seed = cell.split(",")
        config = furniture_config()
        config.data.source = ""
        config.data.rotations = rotations
        config.pose.method = _METHODS[method]
        config.model.latent_size, config.seed = int(latent_size), int(seed)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{cell!r}: a cell is ROTATIONS,METHOD,LATENT_SIZE,SEED, such as "
            f"so3,mixture,16,0, with methods {', '.join(_METHODS)}"
        ) from error
    config.eval.symmetries = ("dresser:D2", "night_stand:C2", "table:C2")
    config.model.width = 64
    config.pose.width, config.pose.second_width = 32, 16
    config.train.steps = 2000
    config.train.batch_size = 32
    config.train.eval_every = 500
    if rotations != "so3":
        # By 90 degrees it is no gain to reconstruct each view from its own code, with poses tied
        # ten times as hard (docs/latent_sweep.md); frames were not tried.
        config.loss.swap_codes, config.loss.equivariance_weight = True, 20.0
        config.frames.synchronize_at, config.pose.frame_width = (), 0
    return config
