"""A tiny untrained model and a few objects to explore it on, shared by the tests of the page."""

import numpy as np
from tiny import tiny_config
from tiny_data import box_grids

from rotdis import step
from rotdis.data import normalize
from rotdis.data.voxelset import VoxelSet, pack
from rotdis.inference import Model
from rotdis.models import rotation_vae


def tiny_model() -> Model:
    """Returns a model whose pose inference is equivariant, as any, and whose shapes are noise."""
    config = tiny_config()
    return Model(config, step.init_state(rotation_vae.create(config), config).params)


def box_set(count: int = 6) -> VoxelSet:
    """Returns a bracket and boxes, `box_0000` and so on, of two classes in turn."""
    bracket = np.zeros((12, 10, 14), np.uint8)  # no rotation leaves it as it is
    bracket[1:5, 2:8, 1:13] = bracket[5:11, 2:5, 1:4] = 1
    grids = [normalize.normalize(grid, 16) for grid in (bracket, *box_grids(count - 1))]
    return VoxelSet(
        packed=pack(np.stack(grids), partial=True),
        label=np.arange(count, dtype=np.int32) % 2,
        source_id=tuple(f"folder/box_{index:04d}.off" for index in range(count)),
        class_names=("bed", "chair"),
        resolution=16,
        partial=True,
        aligned=True,
    )
