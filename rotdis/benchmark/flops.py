"""How much arithmetic a function is, and how much of a program's time goes into matrix products."""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def count(function: Callable, *arguments: Any) -> float:
    """Returns the floating-point operations of a function, by XLA's cost analysis.

    Those of its plain form, in which a GPU gets it: a loop, as some of our operations are on a
    CPU, would be counted as one of its turns. Products with the zeros around a volume do not count.
    """
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))
    return float(lowered.cost_analysis()["flops"])


def matrix_share(compiled: jax.stages.Compiled, run: Callable[[], Any]) -> float | None:
    """Returns the share of a program's time in matrix products and convolutions, by the profiler.

    Time is summed over the operations of the program, on all cores. On a CPU the result is a lower
    bound: of some products only the part on the calling thread is recorded.

    Args:
        compiled: the program.
        run: runs it.

    Returns:
        The share, or None where the profiler names no operation.
    """
    jax.block_until_ready(run())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        times = _operation_times(folder)
    matrix_operations = _matrix_operations(compiled.as_text())
    total = sum(times.values())
    return sum(times[name] for name in matrix_operations & times.keys()) / total if total else None


def _operation_times(folder: str) -> collections.Counter[str]:
    """Returns the nanoseconds of every operation of the traces in a folder, by its name in HLO."""
    times: collections.Counter[str] = collections.Counter()
    for path in Path(folder).rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in line.events:
                    name = dict(event.stats).get("hlo_op")
                    # A loop contains what it runs.
                    if name is not None and not name.startswith(("while", "conditional")):
                        times[name] += event.duration_ns
    return times


def _matrix_operations(hlo: str) -> set[str]:
    """Returns the names of the operations that are or contain a matrix product."""
    computation = ""
    containing = set()  # computations with a product
    calls = {}  # operation -> the computation that it calls
    found = set()
    for line in hlo.splitlines():
        if header := re.match(r"%(\S+) \(", line):
            computation = header[1]
        elif operation := re.match(r"\s+(?:ROOT )?%(\S+) = \S+ ([\w-]+)\(", line):
            name, kind = operation.groups()
            if kind in ("dot", "convolution") or "gemm" in line or "conv_general" in name:
                containing.add(computation)
                found.add(name)
            if called := re.search(r"calls=%([\w.-]+)", line):
                calls[name] = called[1]
    return found | {name for name, called in calls.items() if called in containing}
