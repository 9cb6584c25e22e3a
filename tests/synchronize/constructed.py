"""Shapes whose orientation is known: families of one kind, and one with a symmetry."""

import numpy as np


def corner(rng: np.random.Generator | None = None) -> np.ndarray:
    """An object without symmetry, three arms of different lengths; varied by `rng`."""
    low, lengths, thickness = 9, np.array([20, 15, 10]), np.array([6, 4, 8])
    if rng is not None:
        lengths = lengths + rng.integers(-1, 2, 3)
        thickness = thickness + rng.integers(-1, 2, 3)
    grid = np.zeros((32,) * 3, np.float32)
    for axis in range(3):
        part = [slice(low, low + thickness[axis])] * 3
        part[axis] = slice(low - 2, low - 2 + lengths[axis])
        grid[tuple(part)] = 1
    return grid


def step(sides: tuple[int, int, int]) -> np.ndarray:
    """A box without symmetry, a step in front and a recess at one side, of any proportions."""
    grid = np.zeros((32,) * 3, np.float32)
    box = grid[tuple(slice((32 - side) // 2, (32 + side) // 2) for side in sides)]
    width, depth, height = sides
    box[:] = 1
    box[width // 2 :, :, height // 3 :] = 0
    box[:, depth - depth // 4 :, : height // 2] = 0
    return grid


# Sides of steps of which a comparison of overlaps would lay the long ones along each other.
PROPORTIONS = (
    (24, 12, 12), (12, 24, 12), (12, 12, 24), (24, 24, 12), (12, 24, 24), (24, 12, 24),
)  # fmt: skip


def slab() -> np.ndarray:
    """A box of three different sides: half turns about all axes are its symmetries."""
    grid = np.zeros((32,) * 3, np.float32)
    grid[4:28, 9:23, 13:19] = 1
    return grid


def column() -> np.ndarray:
    """A square column, with eight symmetries."""
    grid = np.zeros((32,) * 3, np.float32)
    grid[12:20, 12:20, 4:28] = 1
    return grid


def angles(rotations: np.ndarray) -> np.ndarray:
    """Degrees between all pairs of different rotations."""
    first, second = np.triu_indices(len(rotations), 1)
    trace = np.einsum("nij,nij->n", rotations[first], rotations[second])
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
