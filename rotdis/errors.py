"""Errors whose message is written for the person at the command line, shared by every stage.

`rotdis.main` prints such a message on one line and exits with its `exit_status`; every other
exception is a defect of ours and keeps its traceback.
"""


def printable(text: str) -> str:
    """Returns a text on one line: what is no letter, sign or space is written as Python does.

    Names that come out of archives may hold line ends, or what a terminal obeys.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class RotdisError(Exception):
    """Something that the user can mend; the message says what is wrong, where, and what to do.

    It is one printable line.

    Attributes:
        exit_status: what the command line exits with.
        everywhere: whether all processes of a run raise it, at the same step.
    """

    exit_status = 1
    everywhere = False

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(RotdisError):
    """The command line is wrong: an option is unknown, missing, or not one of its values."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration names an unknown key, or holds a value of the wrong type or range."""


class DataError(RotdisError):
    """A data source or prepared dataset is missing, damaged, or not what it claims to be."""


class CheckpointError(RotdisError):
    """A workdir holds no usable checkpoint, or one of another model."""
