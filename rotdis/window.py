"""What the training loop logs: averages over the steps since the last line, all of them finite."""

import math
import time
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from rotdis.errors import RotdisError
from rotdis.objective import TERMS, Metrics


class TrainingError(RotdisError):
    """Training met a loss that is not a finite number."""

    everywhere = True


class Window:
    """Metrics of the steps since the last log line, left on the device until they are read.

    Args:
        views_per_step: how many views a step has.
        earlier: metrics of the first steps of the window, which another process did.
    """

    def __init__(self, views_per_step: int, earlier: Sequence[Mapping[str, float]] = ()):
        self._views_per_step = views_per_step
        self._steps = [dict(each) for each in earlier]
        self._earlier = len(self._steps)
        self._entries: list[tuple[int, int, Metrics]] = []
        self._waited = 0.0
        self.restart_clock()

    def add(self, done: int, count: int, metrics: Metrics, waited: float) -> None:
        """Notes the `count` steps after the first `done`.

        Args:
            done: steps before these.
            count: of steps.
            metrics: one entry a step in each; what lies behind `count` is not read.
            waited: seconds for which they waited for data.
        """
        self._entries.append((done, count, metrics))
        self._waited += waited

    def restart_clock(self) -> None:
        """Leaves what passed since the last reading (evaluation, saving) out of the speed."""
        self._since = time.perf_counter()

    def read(self) -> list[dict[str, float]]:
        """Returns the metrics of each step of the window.

        Raises:
            TrainingError: a metric is not finite; the message names the step and the terms
                of the loss, or where these are finite what else is not.
        """
        for done, count, metrics in self._entries:
            metrics = jax.device_get(metrics)
            for index in range(count):
                step = {name: float(values[index]) for name, values in metrics.items()}
                _check_finite(done + index + 1, step)
                self._steps.append(step)
        self._entries = []
        return self._steps

    def close(self) -> dict[str, float]:
        """Returns the averages, and starts the next window.

        Raises:
            TrainingError: see `read`.
        """
        steps = self.read()
        seconds = time.perf_counter() - self._since
        averages = {
            f"train/{name}": float(np.mean([metrics[name] for metrics in steps]))
            for name in steps[0]
        }
        averages["speed/views_per_second"] = (
            self._views_per_step * (len(steps) - self._earlier) / seconds
        )
        averages["speed/data_wait_share"] = self._waited / seconds
        self._steps, self._earlier, self._waited = [], 0, 0.0
        self.restart_clock()
        return averages


def _check_finite(step: int, metrics: dict[str, float]) -> None:
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        # The gradient and the loss follow from the terms, which are the news.
        terms = [name for name in TERMS if name in wrong] or wrong
        found = ", ".join(f"{name} is {metrics[name]}" for name in terms)
        raise TrainingError(
            f"step {step}: {found}; stopped. The checkpoints before it are kept; "
            "try a lower optimizer.learning_rate or optimizer.clip_norm"
        )
