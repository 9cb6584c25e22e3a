"""What the machine can do at best: the matrix products and copies that other speeds relate to."""

import os
import platform
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rotdis.benchmark import timing

_SIDE = {"cpu": 2048}  # of the matrices, by backend
_BYTES = {"cpu": 2**28}  # of the array that is copied, larger than caches


class Machine(NamedTuple):
    """Where a benchmark ran.

    Attributes:
        backend: "cpu", "gpu" or "tpu".
        device: its name, and on a CPU the number of cores.
        software: versions.
        matmul_flops: float32 operations per second of a large matrix product, at the precision
            that the model's layers use by default on this backend.
        copy_bytes: bytes per second, read and written, of a large copy.
    """

    backend: str
    device: str
    software: str
    matmul_flops: float
    copy_bytes: float


def measure(seconds: float) -> Machine:
    """Measures the machine that JAX runs on."""
    backend = jax.default_backend()
    side, size = _SIDE.get(backend, 8192), _BYTES.get(backend, 2**30)
    left, right = jax.random.normal(jax.random.key(0), (2, side, side))
    source = jnp.ones(size // 4)
    multiply, copy = jax.jit(jnp.matmul), jax.jit(lambda array: array + 1)
    times = timing.interleave(
        {"matmul": lambda: multiply(left, right), "copy": lambda: copy(source)}, seconds
    )
    device = jax.devices()[0].device_kind
    if backend == "cpu":
        # Those that this process may use, where the system tells.
        available = getattr(os, "sched_getaffinity", None)
        device = f"{_cpu_name()}, {len(available(0)) if available else os.cpu_count()} cores"
    return Machine(
        backend=backend,
        device=device,
        software=f"Python {platform.python_version()}, jax {jax.__version__}",
        matmul_flops=2 * side**3 / times["matmul"],
        copy_bytes=2 * source.nbytes / times["copy"],
    )


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = {line.split(":", 1)[1].strip() for line in lines if "model name" in line}
        return ", ".join(sorted(names)) or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()
