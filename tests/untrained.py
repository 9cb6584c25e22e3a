"""Objects and a model to evaluate and show, for tests that need no training."""

from typing import NamedTuple

import numpy as np

from rotdis.data.voxelset import VoxelSet, pack

SIZE = 16
CLASSES = ("bar <&>", "slab", "absent")


def objects(count: int = 6) -> VoxelSet:
    """Returns bars and slabs, in turn."""
    voxels = np.zeros((count, SIZE, SIZE, SIZE), np.float32)
    for n in range(count):
        voxels[n, 6:10, 6:10, 3 : 12 - n % 3] = 1
        if n % 2:
            voxels[n, 3 : 12 + n % 2, 5:11, 3:6] = 1
    return VoxelSet(
        packed=pack(voxels, partial=False),
        label=np.arange(count) % 2,
        source_id=tuple(f"object {n}" for n in range(count)),
        class_names=CLASSES,
        resolution=SIZE,
        partial=False,
        aligned=True,
    )


class Code(NamedTuple):
    z_mean: np.ndarray
    z_logvar: np.ndarray
    rotation: np.ndarray


class Untrained:
    """Calls every pose canonical, and reconstructs one ball."""

    def encode(self, voxels):
        z = np.asarray(voxels).reshape(len(voxels), 64, -1).mean(-1)
        return Code(z, np.zeros_like(z), np.tile(np.eye(3, dtype=np.float32), (len(z), 1, 1)))

    def decode(self, z_mean, rotation):
        points = np.stack(np.meshgrid(*(np.arange(SIZE) - 7.5,) * 3, indexing="ij"))
        ball = (np.linalg.norm(points, axis=0) < 5).astype(np.float32)
        return np.tile(ball, (len(z_mean), 1, 1, 1))
