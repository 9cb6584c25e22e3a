"""How a report came about: command, date, versions, machine, checkpoint."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax

import rotdis
from rotdis import checkpoint, run_folder
from rotdis.errors import CheckpointError

_PACKAGES = ("jax", "flax", "optax", "numpy", "scikit-image")


def describe(workdir: Path) -> list[tuple[str, str]]:
    """Returns (what, value) of what wrote a report of this run, where, when and from what."""
    step = best_step(workdir)
    rows = [
        ("command", command()),
        ("date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("checkpoint", "" if step is None else f"step {step}, averaged parameters"),
        ("rotdis", " ".join(filter(None, [rotdis.__version__, commit()]))),
        ("versions", ", ".join(["Python " + platform.python_version(), *_versions()])),
        ("device", _device()),
        ("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"),
    ]
    return [(what, value) for what, value in rows if value]


def command() -> str:
    """Returns the command of this process, to be pasted into a shell."""
    program, *arguments = sys.argv
    path = Path(program)
    if path.name in ("main.py", "__main__.py") and path.parent.name == "rotdis":
        return shlex.join(["python", "-m", "rotdis.main", *arguments])
    return shlex.join([path.name, *arguments])


def commit() -> str:
    """Returns the commit of the checkout that runs, "" where it is none."""
    root = Path(rotdis.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = described.stdout.strip() if described.returncode == 0 else ""
    return f"(commit {found})" if found else ""


def best_step(workdir: Path) -> int | None:
    """Returns the step of the checkpoint that is evaluated, None where there is none."""
    if not run_folder.holds_checkpoint(workdir):
        return None
    try:
        checkpoints = checkpoint.Checkpoints(workdir, read_only=True)
        try:
            return checkpoints.best_step()
        finally:
            checkpoints.close()
    except (CheckpointError, OSError, ValueError):
        return None


def _versions() -> list[str]:
    return [f"{name} {metadata.version(name)}" for name in _PACKAGES]


def _device() -> str:
    devices = jax.devices()
    kind = devices[0].device_kind
    return f"{len(devices)} \N{MULTIPLICATION SIGN} {kind}" if len(devices) > 1 else kind
