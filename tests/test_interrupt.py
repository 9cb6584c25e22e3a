"""Laws of signals among processes; those of training and of the command line are tested there."""

import subprocess
import sys

from rotdis import interrupt

_ASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def _is_blocked_in_a_new_process():
    return subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True).stdout


def test_ctrl_c_does_not_reach_the_processes_that_are_started_inside():
    with interrupt.blocked_in_new_processes():
        assert _is_blocked_in_a_new_process() == "True\n"
    assert _is_blocked_in_a_new_process() == "False\n"
