"""Laws of several processes that train together, on two small ones over loopback."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rotdis import distributed
from rotdis.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
START = """
import json, os, sys
from rotdis import distributed
from rotdis.errors import DataError
me = int(sys.argv[2])
try:
    distributed.initialize(None, 0, None)
except distributed.DistributedError as error:
    unknown = str(error)
distributed.initialize(sys.argv[1], 2, me)
distributed.silence_others()
"""


def _start(code, process_id, port):
    return subprocess.Popen(
        [sys.executable, "-c", START + code, f"127.0.0.1:{port}", str(process_id)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _run_two(code):
    """Runs the code in two processes; returns exit status, output and errors of both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [_start(code, process_id, port) for process_id in (0, 1)]
    try:
        return [(process.returncode, *said) for process in processes
                for said in [process.communicate(timeout=120)]]  # fmt: skip
    finally:
        for process in processes:
            process.kill()


def test_two_processes_agree_on_what_one_of_them_knows():
    code = """
import tempfile
votes = distributed.Votes()
print("printed", flush=True)
result = {
    "first": distributed.on_first(lambda: {"iou": 0.5, "by": me}),
    "same": distributed.agrees(b"configuration"),
    "other": distributed.agrees(b"configuration %d" % me),
    # A signal comes to process 1 alone, before the third vote.
    "votes": [votes(15 if me == 1 and turn >= 2 else 0) for turn in range(5)],
    "order": distributed.first_before_others(lambda: me),
    "alone": distributed.is_alone(),
    "unknown": unknown,
}
print("result " + json.dumps(result), file=sys.__stdout__, flush=True)
"""
    one, two = _run_two(code)
    assert one[0] == two[0] == 0, one[2] + two[2]
    results = [
        json.loads(line.removeprefix("result "))
        for said in (one[1], two[1])
        for line in said.splitlines()
        if line.startswith("result ")
    ]
    for me, result in enumerate(results):
        # No cluster says who they are.
        unknown = result.pop("unknown")
        assert "--processes=0: the processes did not find each other" in unknown
        assert result == {
            "first": {"iou": 0.5, "by": 0},
            "same": True,
            "other": False,
            # Both know at the same turn, the one after.
            "votes": [0, 0, 0, 15, 15],
            "order": me,
            "alone": False,
        }
    assert "printed" in one[1] and "printed" not in two[1]


def test_when_one_process_fails_both_stop_and_say_why():
    code = """
with distributed.leaving_on_errors():
    distributed.meet()
    if me == 1:
        raise DataError("the disk is gone")
    distributed.meet()
print("not reached", file=sys.__stdout__, flush=True)
"""
    one, two = _run_two(code)
    assert two[0] == 1 and two[2].endswith("rotdis: process 1 of 2: the disk is gone\n")
    assert one[0] == 1 and "rotdis: process 0 of 2: lost another process (" in one[2]
    assert "they go on from the last checkpoint" in one[2]
    assert "not reached" not in one[1] + two[1]


@pytest.mark.parametrize("process_id", [0, 1])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_process_whose_partner_does_not_come_says_so(process_id, stopped):
    """Where JAX aborts the process, with a trace of its own, and serves no signal until then."""
    code = f"""
import sys
from rotdis import distributed
distributed._START = {60 if stopped else 3}
print("here", flush=True)
distributed.initialize(sys.argv[1], 2, {process_id})
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-c", code, f"127.0.0.1:{port}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "here\n"
        if stopped:
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    if stopped:
        assert process.returncode == -signal.SIGTERM
    else:
        assert process.returncode == 1
        assert said.splitlines()[-1].startswith(
            f"rotdis: --coordinator=127.0.0.1:{port}: the processes did not find each other"
        )


def test_an_address_that_is_taken_or_none_is_named():
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(distributed.DistributedError, match="cannot listen there .Address alre"):
            distributed.initialize(address, 2, 0)
    with pytest.raises(distributed.DistributedError, match="there is no such host"):
        distributed.initialize("no.such.host.invalid:1234", 2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 2, None), "--processes=2: say where process 0 listens"),
        (("host:1", 2, None), "--processes=2: say where process 0 listens"),
        (("host:1", 2, 2), "--process_id: is 2, but must be from 0 to 1"),
        (("host", 2, 0), "--coordinator: is 'host', but must be HOST:PORT"),
        (("host:99999", 2, 0), "--coordinator: is 'host:99999', but must be HOST:PORT, the port"),
        (("host:1", 1, 0), "go with --processes=N"),
        ((None, 0, 1), "go with --processes=N"),
    ],
)
def test_what_does_not_fit_together_is_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        distributed.initialize(*arguments)
