"""What the command lines of the benchmarks share: one line for what the user can mend."""

import sys
from collections.abc import Callable

from absl import app, flags

from rotdis import config_file, extras
from rotdis.errors import RotdisError, UsageError

FLAGS = flags.FLAGS


def run(name: str, main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; exits with a line where a message says what is wrong.

    Args:
        name: of the program, which begins that line.
        main: raises RotdisError or OSError for what the user can mend.
    """
    if "config" in FLAGS:
        FLAGS["config"].parser = config_file.Parser(FLAGS["config"].parser)

    def without_arguments(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"what is {arguments[1]!r}? options are written --name=value")
        main()

    def parsed(arguments: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage(arguments)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = config_file.unknown_field(FLAGS, arguments[1:]) if "config" in FLAGS else None
            raise UsageError(message or f"{' '.join(str(error).split())} (see --help)") from error

    try:
        app.run(without_arguments, flags_parser=parsed)
    except (RotdisError, OSError, ImportError) as error:
        error = extras.missing(error) if isinstance(error, ImportError) else error
        if isinstance(error, ImportError):
            raise
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_status", 1))
