"""What is logged is an average of finite numbers, or the run stops and says which are not."""

import math

import numpy as np
import pytest

from rotdis.window import TrainingError, Window


def _add(window, done, **metrics):
    count = len(metrics["loss"])
    padded = {name: np.array([*values, math.nan]) for name, values in metrics.items()}
    window.add(done, count, padded, 0.0)


def test_the_steps_that_were_done_are_averaged_and_forgotten():
    window = Window(views_per_step=2)
    _add(window, 0, loss=[1.0, 2.0])
    _add(window, 2, loss=[6.0])
    assert window.close()["train/loss"] == 3.0
    _add(window, 3, loss=[5.0])
    assert window.close()["train/loss"] == 5.0


def test_speeds_are_of_this_processs_steps_since_the_last_reading(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("rotdis.window.time.perf_counter", lambda: now[0])
    window = Window(views_per_step=2, earlier=[{"loss": 1.0}] * 3)
    window.add(3, 4, {"loss": np.ones(4)}, 0.5)
    now[0] = 102.0
    first = window.close()
    assert first["speed/views_per_second"] == 2 * 4 / 2.0
    assert first["speed/data_wait_share"] == 0.5 / 2.0
    now[0] = 110.0
    window.restart_clock()
    window.add(7, 1, {"loss": np.ones(1)}, 0.1)
    now[0] = 111.0
    second = window.close()
    assert second["speed/views_per_second"] == 2.0
    assert second["speed/data_wait_share"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "metrics, message",
    [
        # What follows from a term that is not finite is no news.
        ({"gradient_norm": math.nan, "kl": math.inf, "loss": math.nan, "tilt": 1.0},
         "step 12: kl is inf; stopped"),
        ({"gradient_norm": math.nan, "kl": 1.0, "loss": 1.0}, "step 12: gradient_norm is nan;"),
        ({"tilt": math.nan, "kl": math.nan, "loss": math.nan}, "kl is nan, tilt is nan; stopped"),
    ],
)  # fmt: skip
def test_the_first_step_and_the_terms_that_are_not_finite_are_named(metrics, message):
    window = Window(views_per_step=2)
    values = {name: [1.0, value, math.nan] for name, value in metrics.items()}
    _add(window, 10, **values)
    with pytest.raises(TrainingError, match=message):
        window.close()
