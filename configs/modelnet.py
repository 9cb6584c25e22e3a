"""The mission: ModelNet10 at 32^3, all orientations, no labels.

    python -m rotdis.main --config=configs/modelnet.py --workdir=runs/modelnet10

downloads ModelNet10; `--config.data.source=PATH` takes a zip, a folder or a VoxNet-style .npz
instead. What it reaches, and in what time, is in the README.
"""

import ml_collections

from rotdis.config import base_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration; its fields are explained in `rotdis/config.py`."""
    config = base_config()
    # Of some 400 objects of a class, stretched ones are many more; alike codes tell classes better.
    config.frames.stretch, config.loss.alike_weight = 0.2, 100.0
    return config
