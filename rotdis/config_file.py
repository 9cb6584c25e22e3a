"""Runs a configuration file for `rotdis.main`, and says in one line what is wrong with it.

The file is Python, and whatever Python raises in it is its author's to mend: no traceback through
the libraries that ran it.
"""

import difflib
import traceback

import ml_collections
from absl import flags

from rotdis.errors import RotdisError, UsageError


class Parser(flags.ArgumentParser):
    """Makes a configuration of the value of --config, a path and perhaps :ARGUMENT.

    Args:
        loader: the parser of ml_collections, which runs the file.

    Attributes:
        config: what was parsed last, before any field was set on the command line.
    """

    config: ml_collections.ConfigDict | None = None

    def __init__(self, loader: flags.ArgumentParser):
        super().__init__()
        self._loader = loader

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        """Runs the file, and returns what its get_config() returns.

        Raises:
            UsageError: there is no such file, it is no Python, it raises anything, or it gives no
                configuration; the message names the line where there is one.
        """
        path = argument.split(":", 1)[0]
        try:
            config = self._loader.parse(argument)
            getattr(config, "lock", None)  # one that was not loaded raises at its first use
        except (Exception, SystemExit) as error:
            raise UsageError(_fault(error, path)) from error
        if not isinstance(config, ml_collections.ConfigDict):
            raise UsageError(
                f"--config={path}: get_config() returned {type(config).__name__}, not a "
                "ConfigDict: start from rotdis.config.base_config()"
            )
        self.config = config
        return config


def unknown_field(options: flags.FlagValues, arguments: list[str]) -> str | None:
    """Returns what to say of the first --config.FIELD that the configuration does not have.

    Args:
        options: those of the command line, whose `config` is parsed by `Parser`.
        arguments: the command line, without the program.
    """
    for argument in arguments:
        option, *parts = argument.lstrip("-").split("=")[0].split(".")
        place = options["config"].parser.config if option == "config" else None
        if option == "config" and parts and place is None:
            return (
                f"--config.{'.'.join(parts)}: needs a --config=FILE before it, such as "
                "--config=configs/modelnet.py"
            )
        for part in parts if place is not None else ():
            known = list(place) if isinstance(place, ml_collections.ConfigDict) else []
            if part not in known:
                alike = difflib.get_close_matches(part, known, 1)
                hint = f"did you mean {alike[0]}? " if alike else ""
                path = ".".join([option, *parts])
                return f"--{path}: there is no such field; {hint}see rotdis/config.py"
            place = place[part]
    return None


def _fault(error: BaseException, path: str) -> str:
    """Returns what went wrong, of all that was raised on the way what tells the most."""
    for raised in _chain(error):
        if isinstance(raised, RotdisError):  # the file itself says what is wrong
            return _line(path, str(raised))
    for raised in reversed(_chain(error)):
        frames = traceback.extract_tb(raised.__traceback__)
        inside = [frame for frame in frames if frame.filename == path]
        if isinstance(raised, SyntaxError) and raised.filename == path:
            return _line(f"{path}, line {raised.lineno}", f"{raised.msg} (it is run as Python)")
        if inside:
            place = f"{path}, line {inside[-1].lineno}"
            return _line(place, f"{type(raised).__name__}: {_said(raised)}")
        if isinstance(raised, AttributeError) and raised.name == "get_config":
            return _line(path, "has no function get_config()")
    first = _chain(error)[-1]
    return _line(path, (str(first).strip().splitlines() or [type(first).__name__])[-1])


def _said(error: BaseException) -> str:
    """Returns an error's message; a field that there is none of is told by a quoted KeyError."""
    chain = _chain(error)
    if isinstance(error, AttributeError) and len(chain) > 1 and isinstance(chain[1], KeyError):
        return "there is no field " + str(chain[1].args[0]).replace("\n", "; ")
    return str(error)


def _line(place: str, reason: str) -> str:
    return f"--config={place}: {' '.join(reason.split())[:300]}"


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
