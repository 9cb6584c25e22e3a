"""What the storage below Orbax says when something fails, made short, and said once."""

import errno
import functools
import logging
import os
import sys


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the log is not Orbax's: what it has to say is raised."""
    return "orbax" not in record.pathname


def reason(error: Exception) -> str:
    """Returns what an error says, in short: of a full disk the end of a long story matters."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
        if os.strerror(code) in str(error):
            return os.strerror(code)
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()[:200]


@functools.cache
def silence_stragglers() -> None:
    """Keeps reads and writes that end after one has failed from printing that none waits for them.

    They come from threads of the storage layer, whose errors nobody can catch.
    """
    previous = sys.unraisablehook

    def without_stragglers(unraisable):
        closed = str(unraisable.exc_value) == "Event loop is closed"
        if not (closed and unraisable.exc_type is RuntimeError):
            previous(unraisable)

    sys.unraisablehook = without_stragglers
