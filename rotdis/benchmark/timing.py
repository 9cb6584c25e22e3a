"""Times functions against each other: interleaved repetitions, so that a busy machine is fair."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_WARM_UP = 2  # calls that are not timed: compilation, then caches
_MAX_ROUNDS = 200
_PAUSE = 0.01  # before a call: until another library's worker threads have stopped spinning


def interleave(
    functions: Mapping[str, Callable[[], Any]],
    seconds: float,
    min_rounds: int = 5,
    untimed: int = 0,
) -> dict[str, float]:
    """Returns the median seconds that every function takes.

    Every round calls each function once, in order, until `seconds` have passed and at least
    `min_rounds` rounds are done. JAX arrays in the result are waited for. Where some take a hundred
    times as long as others, `untimed` calls before each timed one are due: straight after a search
    of the pose, encoding by the plain VAE took twice its time.
    """
    for function in functions.values():
        for _ in range(_WARM_UP):
            jax.block_until_ready(function())
    times: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    for done in range(_MAX_ROUNDS):
        if done >= min_rounds and time.perf_counter() > end:
            break
        for name, function in functions.items():
            time.sleep(_PAUSE)
            for _ in range(untimed):
                jax.block_until_ready(function())
            start = time.perf_counter()
            jax.block_until_ready(function())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}
