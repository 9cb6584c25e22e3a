"""Whether codes and rotations follow as an object turns: part of evaluate, on the host.

Falorsi et al., "Explorations in Homeomorphic Variational Auto-Encoding" (2018), follow an encoder
along paths of rotations and look for steps that are far too large: an encoder to a space of another
topology than SO(3) must jump somewhere. What counts as a jump is stated here in absolute terms, so
that an encoder that jumps at every step is not called smooth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis.metrics import symmetry

STEP = 5.0  # degrees
STEPS = 72  # a full turn


class Continuity(NamedTuple):
    """What is seen along each path.

    Attributes:
        largest_step: of z from one view to the next, over the mean distance between objects.
        largest_slip: of the inferred rotation's step from the step that the object was turned by,
            in degrees, up to the object's symmetries.
    """

    largest_step: Float[np.ndarray, " n"]
    largest_slip: Float[np.ndarray, " n"]

    @property
    def code_is_continuous(self) -> np.ndarray:
        """Whether z never goes half the mean distance between objects in one step."""
        return self.largest_step < 0.5

    @property
    def rotation_is_continuous(self) -> np.ndarray:
        """Whether the rotation is never off by 30 degrees in one step."""
        return self.largest_slip < 30


def paths(count: int, seed: int) -> Float[np.ndarray, "n 72 3 3"]:
    """Returns closed paths of rotations: full turns about random axes from random rotations."""
    rng = np.random.default_rng(seed)
    start = Rotation.random(count, rng=rng).as_matrix()
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turns = axes[:, None] * (STEP * np.arange(STEPS))[None, :, None]
    turned = Rotation.from_rotvec(turns.reshape(-1, 3), degrees=True).as_matrix()
    return (turned.reshape(count, STEPS, 3, 3) @ start[:, None]).astype(np.float32)


def follow(
    turns: Float[np.ndarray, "n t 3 3"],
    codes: Float[np.ndarray, "n t l"],
    rotations: Float[np.ndarray, "n t 3 3"],
    between: float,
    symmetries: Sequence[Float[np.ndarray, "_ 3 3"]] | None = None,
) -> Continuity:
    """Returns the largest steps along each closed path.

    Args:
        turns: how the object was turned.
        codes: z there.
        rotations: R there.
        between: the mean distance between different objects' codes; a code that is the same for
            all of them makes steps of zero.
        symmetries: each path's object's, in the source's orientation: of the poses that are right
            a model may choose another one at any step; none by default.
    """
    steps = np.linalg.norm(codes - np.roll(codes, 1, axis=1), axis=-1).max(axis=1)
    symmetries = [symmetry.IDENTITY] * len(turns) if symmetries is None else symmetries
    slips = [
        symmetry.pair_error(_pairs(turned), _pairs(inferred), group).max()
        for turned, inferred, group in zip(turns, rotations, symmetries, strict=True)
    ]
    return Continuity(steps / between if between > 0 else 0 * steps, np.array(slips))


def _pairs(rotations: Float[np.ndarray, "t 3 3"]) -> Float[np.ndarray, "t 2 3 3"]:
    """Returns each rotation with the one before it."""
    return np.stack([np.roll(rotations, 1, axis=0), rotations], axis=1)
