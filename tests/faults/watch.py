"""Watches, by Python's audit events, which files a part of a test changes and what it runs."""

import contextlib
import os
import sys
from collections.abc import Iterator

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
             "os.truncate", "os.chmod", "shutil.")  # fmt: skip
_RUNNING = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn",
            "os.fork")  # fmt: skip


class Watch:
    """Notes, while it is on, what Python's audit events tell of files changed and programs run."""

    def __init__(self):
        self.on, self.changed, self.run = False, [], []
        sys.addaudithook(self._note)  # there is no way to remove it

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self.changed.append(arguments[0])
        elif event.startswith(_CHANGING):
            self.changed.append((event, *arguments))
        elif event.startswith(_RUNNING):
            self.run.append((event, *arguments))

    @contextlib.contextmanager
    def __call__(self) -> Iterator["Watch"]:
        self.changed, self.run, self.on = [], [], True
        try:
            yield self
        finally:
            self.on = False
