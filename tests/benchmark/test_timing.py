"""Interleaved timing: every function equally often, and the slower one is the slower one."""

import time

from rotdis.benchmark import timing


def test_functions_take_turns_and_their_medians_are_told_apart():
    calls = []

    def call(name, seconds):
        calls.append(name)
        time.sleep(seconds)

    times = timing.interleave(
        {"quick": lambda: call("quick", 0.001), "slow": lambda: call("slow", 0.02)}, 0.0
    )
    assert calls[:4] == ["quick", "quick", "slow", "slow"]  # not timed
    assert calls[4:] == ["quick", "slow"] * 5
    assert 0.02 <= times["slow"] < 1 and times["quick"] < times["slow"]


def test_calls_before_the_timed_ones_are_not_counted():
    calls = []

    def slow_at_first():  # after another function, as with caches that are cold
        calls.append("this")
        time.sleep(0.05 if calls[-2:-1] == ["other"] else 0.001)

    functions = {"other": lambda: calls.append("other"), "this": slow_at_first}
    assert timing.interleave(functions, 0.0)["this"] > 0.04
    assert timing.interleave(functions, 0.0, untimed=1)["this"] < 0.04
