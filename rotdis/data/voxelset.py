"""The datum of the flow's first stage: one split's objects, packed, in host memory."""

import dataclasses
import hashlib

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclasses.dataclass(frozen=True)
class VoxelSet:
    """One split of a prepared dataset.

    Attributes:
        packed: voxels, one object a row: bit-packed (D^3 / 8 bytes, C order, most significant bit
            first, as `np.packbits`) or, where `partial`, one byte a voxel (255 = full).
        label: index into `class_names`.
        source_id: where each object came from (file name, or row of an array), unique in a split.
        class_names: the classes, in the order of `label`.
        resolution: D, the grid's side in voxels.
        partial: whether voxels hold anti-aliased occupancy rather than bits.
        aligned: whether the objects of a class share one frame in the source.
    """

    packed: UInt8[np.ndarray, "n bytes"]
    label: Int[np.ndarray, " n"]
    source_id: tuple[str, ...]
    class_names: tuple[str, ...]
    resolution: int
    partial: bool
    aligned: bool

    def __len__(self) -> int:
        return len(self.packed)

    def voxels(self, index: slice | Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d d"]:
        """Returns the occupancy in [0, 1] of the chosen objects, in the source's orientation."""
        return unpack(self.packed[index], self.resolution, self.partial)

    def select(self, index: np.ndarray) -> "VoxelSet":
        """Returns the objects that `index` (integers, or one boolean per object) chooses."""
        index = np.arange(len(self))[index]
        return dataclasses.replace(
            self,
            packed=self.packed[index],
            label=self.label[index],
            source_id=tuple(self.source_id[i] for i in index),
        )


def pack(voxels: Float[np.ndarray, "n d d d"], partial: bool) -> UInt8[np.ndarray, "n bytes"]:
    """Packs occupancy in [0, 1]: to bits (occupied above 0.5) or, where `partial`, to bytes."""
    flat = np.asarray(voxels).reshape(len(voxels), -1)
    if partial:
        return np.rint(np.clip(flat, 0.0, 1.0) * 255).astype(np.uint8)
    return np.packbits(flat > 0.5, axis=1)


def unpack(
    packed: UInt8[np.ndarray, "n bytes"], resolution: int, partial: bool
) -> Float[np.ndarray, "n d d d"]:
    """Inverts `pack`, up to its rounding."""
    flat = packed.astype(np.float32) / 255 if partial else np.unpackbits(packed, axis=1)
    return flat[:, : resolution**3].reshape(-1, *(resolution,) * 3).astype(np.float32)


def duplicates(queries: VoxelSet, references: VoxelSet) -> np.ndarray:
    """Returns one boolean per query: whether the same voxels occur among the references."""
    known = set(digests(references))
    return np.array([digest in known for digest in digests(queries)], dtype=bool)


def digests(objects: VoxelSet) -> list[bytes]:
    """Returns 16 bytes for each object, the same where the voxels are (BLAKE2b)."""
    return [hashlib.blake2b(row, digest_size=16).digest() for row in objects.packed]
