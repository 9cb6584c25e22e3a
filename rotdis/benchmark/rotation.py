"""Rotating volumes: our forms against `map_coordinates` and PyTorch's `grid_sample`."""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from rotdis.benchmark import timing
from rotdis.errors import RotdisError
from rotdis.geometry import adjoint, resample, so3

SHAPES = ((32, 32, 1), (16, 16, 16), (32, 8, 64), (8, 64, 1), (8, 32, 8))  # batch, side, channels

# What is computed, and how many times the volume's bytes are read or written at least: the volume,
# the turned one, and behind them the incoming gradient, the volume again, and its gradient.
PASSES = {"forward": 2, "forward+backward": 5, "forward+backward R": 4}

_MATRIX_LIMIT = 2**28  # elements of the matrix form's factors that are worth trying
# Relative to the norm. The other libraries' coordinates are plain float32; where a sample next to a
# voxel centre falls on its other side, the slope along the rotation jumps.
_TOLERANCE = 1e-5
_TOLERANCE_OF_ROTATION = 1e-2


class Disagreement(RotdisError):
    """Two ways to compute the same give different results: their times compare nothing."""


class Row(NamedTuple):
    """One shape and pass: seconds by path, "rotdis" the one that is taken by default."""

    batch: int
    size: int
    channels: int
    what: str
    seconds: dict[str, float]
    bytes_per_second: float


class Example(NamedTuple):
    volumes: Float[np.ndarray, "b d d d c"]
    rotations: Float[np.ndarray, "b 3 3"]
    cotangents: Float[np.ndarray, "b d d d c"]


def run(seconds: float) -> list[Row]:
    """Times every shape, pass and path.

    Args:
        seconds: at least so long for each shape and pass.

    Raises:
        Disagreement: a path's results differ from ours.
    """
    rows = []
    for batch, size, channels in SHAPES:
        example = make_example(batch, size, channels)
        moved = example.volumes.nbytes
        for what, passes in PASSES.items():
            functions = paths(example, what)
            try:
                check_agreement(functions)
            except Disagreement as error:
                shape = f"{batch}, {size}, {channels}"
                raise Disagreement(f"{what} of (batch, side, channels) {shape}: {error}") from error
            times = timing.interleave(functions, seconds)
            rows.append(Row(batch, size, channels, what, times, passes * moved / times["rotdis"]))
    return rows


def make_example(batch: int, size: int, channels: int) -> Example:
    """Returns random volumes, rotations, and gradients of the turned volumes."""
    random = np.random.default_rng(0)
    shape = (batch, size, size, size, channels)
    rotations = so3.random_uniform(jax.random.key(0), (batch,))
    volumes, cotangents = (random.normal(size=shape).astype(np.float32) for _ in range(2))
    return Example(volumes, np.asarray(rotations), cotangents)


def paths(example: Example, what: str) -> dict[str, Callable[[], Any]]:
    """Returns the ways to compute a pass of an example, each without arguments, ours first."""
    batch, size, _, _, channels = example.volumes.shape
    functions = {"rotdis": resample.rotate}
    if what == "forward+backward":
        functions |= {
            form: functools.partial(resample.rotate, method=form)
            for form in adjoint.METHODS
            if form != "matrix"
            or size**5 + size**4 * channels <= _MATRIX_LIMIT // len(example.volumes)
        }
    functions["map_coordinates"] = _map_coordinates
    arrays = Example(*map(jnp.asarray, example))
    result = {
        name: functools.partial(make_pass(function, what), *arrays)
        for name, function in functions.items()
    }
    if importlib.util.find_spec("torch"):
        result["torch"] = _torch_pass(example, what)
    return result


def check_agreement(functions: dict[str, Callable[[], Any]]) -> None:
    """Compares every path's results with ours.

    Raises:
        Disagreement: they differ by more than rounding explains.
    """
    results = {
        name: [_on_host(array) for array in jax.tree.leaves(function())]
        for name, function in functions.items()
    }
    for name, arrays in results.items():
        for ours, theirs in zip(results["rotdis"], arrays, strict=True):
            if ours.shape != theirs.shape:
                raise Disagreement(f"{name} has shape {theirs.shape}, not {ours.shape}")
            tolerance = _TOLERANCE_OF_ROTATION if ours.shape[1:] == (3, 3) else _TOLERANCE
            error = np.linalg.norm(theirs - ours) / np.linalg.norm(ours)
            if not error <= tolerance:  # NaN is not within it
                raise Disagreement(f"{name} differs from rotdis by {error:.1e} (relative)")


def make_pass(function: Callable, what: str) -> Callable:
    """Returns one of `PASSES` of a rotation of single volumes, compiled for a batch.

    The result takes volumes (B, D, D, D, C), rotations (B, 3, 3) and gradients of the turned
    volumes, and returns the turned volumes and the gradients of what the pass differentiates.
    """
    turn = jax.vmap(function)

    def forward(volumes, rotations, cotangents):
        return (turn(volumes, rotations),)

    def both(volumes, rotations, cotangents):
        turned, pullback = jax.vjp(turn, volumes, rotations)
        return turned, *pullback(cotangents)

    def of_rotation(volumes, rotations, cotangents):
        turned, pullback = jax.vjp(functools.partial(turn, volumes), rotations)
        return turned, *pullback(cotangents)

    passes = (forward, both, of_rotation)
    return jax.jit(dict(zip(PASSES, passes, strict=True))[what])


def _map_coordinates(
    volume: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    """The naive rotation in JAX, by its own resampling and its automatic derivative."""
    size = volume.shape[0]
    axis = jnp.arange(size) - (size - 1) / 2
    points = jnp.stack(jnp.meshgrid(axis, axis, axis, indexing="ij"), -1)
    samples = jnp.matmul(points, rotation, precision="highest") + (size - 1) / 2
    samples = list(jnp.moveaxis(samples, -1, 0))
    read = functools.partial(map_coordinates, order=1, mode="constant")
    return jax.vmap(read, in_axes=(3, None), out_axes=3)(volume, samples)


def _torch_pass(example: Example, what: str) -> Callable[[], Any]:
    """PyTorch's `grid_sample` at the same samples, channels first as it wants them."""
    import torch

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    volumes, rotations, cotangents = (
        torch.tensor(np.ascontiguousarray(array), device=device)
        for array in (
            np.moveaxis(example.volumes, -1, 1),
            example.rotations,
            np.moveaxis(example.cotangents, -1, 1),
        )
    )
    size = volumes.shape[2]
    axis = torch.arange(size, device=device) * (2 / (size - 1)) - 1
    # R^T p as rows p^T R; the grid's last axis is (z, y, x).
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    volumes.requires_grad_(what == "forward+backward")
    rotations.requires_grad_(what != "forward")
    inputs = [array for array in (volumes, rotations) if array.requires_grad]

    def run():
        grid = (points @ rotations).flip(-1).reshape(-1, size, size, size, 3)
        turned = torch.nn.functional.grid_sample(
            volumes, grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        gradients = torch.autograd.grad(turned, inputs, cotangents) if inputs else ()
        if device == "cuda":
            torch.cuda.synchronize()
        return turned, *gradients

    return run


def _on_host(array: Any) -> np.ndarray:
    """Returns a JAX array, or a PyTorch tensor in our order of axes, as a NumPy array."""
    if isinstance(array, jax.Array):
        return np.asarray(array)
    array = array.detach().cpu().numpy()
    return np.moveaxis(array, 1, -1) if array.ndim == 5 else array
