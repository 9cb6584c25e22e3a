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
