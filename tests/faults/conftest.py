"""What the fault tests share: a record of what was done to the program and what came of it."""

import json
import os
from collections.abc import Callable

import pytest

Record = Callable[[str, int, str], None]


@pytest.fixture
def record_fault() -> Record:
    """A function (fault, tries, outcome) that a test calls at its end, its assertions passed.

    `bash launch/faults.sh` makes a table of the records; elsewhere they are dropped.
    """
    path = os.environ.get("ROTDIS_FAULT_LOG")

    def record(fault: str, tries: int, outcome: str) -> None:
        if path:
            with open(path, "a") as log:
                log.write(json.dumps({"fault": fault, "tries": tries, "outcome": outcome}) + "\n")

    return record
