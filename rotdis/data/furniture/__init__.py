"""Data, first stage: furniture, the embedded default source of aligned, seeded, varied objects.

Ten classes (those of ModelNet10), each a parametric family with many structural variants. Objects
stand upright (z up) and face -y by construction; units are metres, more or less, and do not matter
since voxelization scales an object to its grid.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rotdis.data.furniture import (
    bathtub,
    bed,
    chair,
    desk,
    dresser,
    monitor,
    night_stand,
    sofa,
    table,
    toilet,
)
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Part
from rotdis.errors import DataError

if TYPE_CHECKING:
    import trimesh

_BUILDERS: dict[str, Callable[[Draw], list[Part]]] = {
    "bathtub": bathtub.build,
    "bed": bed.build,
    "chair": chair.build,
    "desk": desk.build,
    "dresser": dresser.build,
    "monitor": monitor.build,
    "night_stand": night_stand.build,
    "sofa": sofa.build,
    "table": table.build,
    "toilet": toilet.build,
}
CLASSES: tuple[str, ...] = tuple(_BUILDERS)
SPLITS: tuple[str, ...] = ("train", "test")

_MAX_INDEX = 2**32
# Parts are pushed apart by this, so that no vertices coincide and welding cannot fuse two parts.
_NUDGE = 1e-4


def object_seed(split: str, class_name: str, index: int, seed: int) -> int:
    """Returns the seed of one object; different arguments never give the same seed.

    Args:
        split: "train" or "test".
        class_name: one of `CLASSES`.
        index: the object's number within its split and class, below 2^32.
        seed: the dataset's seed, not negative.

    Raises:
        DataError: an unknown split or class, or a number out of range.
    """
    if split not in SPLITS:
        raise DataError(f"furniture has no split {split!r}: use one of {', '.join(SPLITS)}")
    if not 0 <= index < _MAX_INDEX:
        raise DataError(f"furniture object number {index} is not in 0..{_MAX_INDEX - 1}")
    if seed < 0:
        raise DataError(f"furniture needs a seed that is not negative, not {seed}")
    stream = (seed * len(SPLITS) + SPLITS.index(split)) * len(CLASSES) + _class_index(class_name)
    return stream * _MAX_INDEX + index


def make_parts(class_name: str, seed: int) -> list[Part]:
    """Returns one object's parts, each closed and wound outwards; they may overlap.

    Raises:
        DataError: an unknown class.
    """
    rng = np.random.default_rng([_class_index(class_name), seed])
    parts = _BUILDERS[class_name](Draw(rng))
    nudges = rng.uniform(-_NUDGE, _NUDGE, (len(parts), 3))
    return [part.moved(*nudge) for part, nudge in zip(parts, nudges, strict=True)]


def make_object(class_name: str, seed: int) -> "trimesh.Trimesh":
    """Returns one aligned object (z up, front towards -y), the same for the same arguments.

    The parts are not united: a point is inside where the winding number exceeds one half.

    Raises:
        DataError: an unknown class.
    """
    import trimesh  # here, so that importing rotdis does not need it

    parts = make_parts(class_name, seed)
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return trimesh.Trimesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=True)]),
        process=False,
    )


def _class_index(class_name: str) -> int:
    if class_name not in _BUILDERS:
        raise DataError(f"furniture has no class {class_name!r}: choose from {', '.join(CLASSES)}")
    return CLASSES.index(class_name)
