"""A seeded mutator of OFF files, and what has to come of each kind of damage."""

import dataclasses
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rotdis.data import furniture, meshes, voxelize
from rotdis.data.meshes import MeshError
from rotdis.data.off import OffError

NAME = "chair_0001.off"
SECONDS = 20  # of the processor's time, for one file of some hundred kilobytes
RESOLUTION = 16

Change = Callable[[np.random.Generator, "Text"], bytes]


@dataclasses.dataclass
class Text:
    """An OFF file in parts: the lines of vertices and faces, one object each."""

    vertices: list[bytes]
    faces: list[bytes]

    @classmethod
    def of(cls, data: bytes) -> "Text":
        lines = [line for line in data.splitlines() if line.strip()]
        start = 2 if lines[0].strip() == b"OFF" else 1
        count = int(re.sub(rb"^\s*OFF", b"", lines[start - 1]).split()[0])
        return cls(lines[start : start + count], lines[start + count :])

    def joined(self, counts: tuple[int, int] | None = None, newline: bytes = b"\n") -> bytes:
        numbers = counts or (len(self.vertices), len(self.faces))
        return newline.join([b"OFF", b"%d %d 0" % numbers, *self.vertices, *self.faces, b""])

    def coordinates(self) -> np.ndarray:
        return np.array([line.split()[:3] for line in self.vertices], np.float64)


def originals(folder: Path | None) -> list[bytes]:
    """Returns the real OFF files of a folder, or without one generated pieces of furniture."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.glob("*.off"))]
    return [
        furniture.make_object(name, 1).export(file_type="off").encode()
        for name in furniture.CLASSES
    ]


def _with_vertex(text: Text, random: np.random.Generator, value: bytes) -> bytes:
    index = random.integers(len(text.faces))
    # One that a face names.
    vertex = int(text.faces[index].split()[1 + random.integers(3)])
    words = text.vertices[vertex].split()
    words[random.integers(3)] = value
    text.vertices[vertex] = b" ".join(words)
    return text.joined()


def _with_index(text: Text, random: np.random.Generator, value: int) -> bytes:
    face = random.integers(len(text.faces))
    words = text.faces[face].split()
    words[1 + random.integers(int(words[0]))] = b"%d" % value
    text.faces[face] = b" ".join(words)
    return text.joined()


def _bytes(change: Callable[[np.random.Generator, bytearray], object]) -> Change:
    def apply(random: np.random.Generator, text: Text) -> bytes:
        data = bytearray(text.joined())
        for _ in range(random.integers(1, 5)):
            change(random, data)
        return bytes(data)

    return apply


def _flip(random: np.random.Generator, data: bytearray) -> None:
    place = random.integers(8 * len(data))
    data[place // 8] ^= 1 << place % 8


def _junk(random: np.random.Generator, data: bytearray) -> None:
    place = random.integers(len(data))
    data[place : place + random.integers(200)] = random.bytes(random.integers(1, 200))


def _drop(random: np.random.Generator, data: bytearray) -> None:
    place = random.integers(len(data))
    del data[place : place + random.integers(1, 500)]


def _repeat(random: np.random.Generator, data: bytearray) -> None:
    place = random.integers(len(data))
    data[place:place] = data[place : place + random.integers(1, 500)]


def _digit(random: np.random.Generator, data: bytearray) -> None:
    place = random.integers(len(data))
    data[place] = random.choice(list(b"0123456789-.e# \n\r\tnaif"))


def _polygon(random: np.random.Generator, text: Text) -> bytes:
    size = random.choice([100, 1000, 5000], p=[0.7, 0.2, 0.1])
    corners = random.integers(len(text.vertices), size=size)
    text.faces.append(b" ".join(b"%d" % number for number in [len(corners), *corners]))
    return text.joined()


def _claimed_polygon(random: np.random.Generator, text: Text) -> bytes:
    words = text.faces[random.integers(len(text.faces))].split()
    words[0] = b"%d" % 10 ** random.integers(6, 40)
    text.faces[random.integers(len(text.faces))] = b" ".join(words)
    return text.joined()


def _commented(random: np.random.Generator, text: Text) -> bytes:
    lines = text.joined().split(b"\n")
    for place in random.integers(len(lines), size=5):
        lines[place] += b" # " + random.bytes(9).replace(b"\n", b"").replace(b"\r", b"")
        lines.insert(place, b"# a comment")
    return b"\n".join(lines)


def _scaled(random: np.random.Generator, text: Text) -> bytes:
    for index, row in enumerate(1e6 * text.coordinates()):
        text.vertices[index] = b"%.17g %.17g %.17g" % tuple(row)
    return text.joined()


def _alike(random: np.random.Generator, text: Text) -> bytes:
    text.vertices[:] = [text.vertices[0]] * len(text.vertices)
    return text.joined()


def _claimed(random: np.random.Generator, text: Text) -> bytes:
    """A header whose file would have 2 GB, and more."""
    size = random.choice([2 * 10**9, 10**12, 10**30])
    vertices, faces = len(text.vertices), len(text.faces)
    claims = [(size // 60, size // 60), (vertices, size // 20), (size // 20, faces)]
    return text.joined(claims[random.integers(3)])


# Kind of damage -> how, and what has to come of it: "error"; "same" voxels, or but for rounding
# "alike" ones; or "either" voxels or an error, as it happens.
KINDS: dict[str, tuple[Change, str]] = {
    "cut short": (
        lambda random, text: (data := text.joined())[: random.integers(len(data))],
        "either",
    ),
    "a header that claims 2 GB or more": (_claimed, "error"),
    "counts off by a few": (
        lambda random, text: text.joined(
            tuple(np.add((len(text.vertices), len(text.faces)), random.integers(-3, 4, size=2)))
        ),
        "either",
    ),
    "NaN or infinite coordinates": (
        lambda random, text: _with_vertex(
            text, random, random.choice([b"nan", b"-inf", b"1e999", b"NaN", b"Infinity"])
        ),
        "error",
    ),
    "huge or tiny coordinates": (
        lambda random, text: _with_vertex(
            text, random, random.choice([b"1e300", b"-1.7e308", b"1e-320", b"1e20"])
        ),
        "either",
    ),
    "negative indices": (
        lambda random, text: _with_index(text, random, -random.integers(1, 10**9)),
        "error",
    ),
    "indices out of range": (
        lambda random, text: _with_index(
            text, random, len(text.vertices) + random.choice([0, 1, 2**31, 2**63 - 10**6])
        ),
        "error",
    ),
    "gigantic polygons": (_polygon, "either"),
    "polygons that claim to be gigantic": (_claimed_polygon, "error"),
    "CRLF": (lambda random, text: text.joined(newline=b"\r\n"), "same"),
    "CR": (lambda random, text: text.joined(newline=b"\r"), "same"),
    "comments": (_commented, "same"),
    "binary junk": (_bytes(_junk), "either"),
    "nothing but junk": (lambda random, text: random.bytes(random.integers(5000)), "error"),
    "flipped bits": (_bytes(_flip), "either"),
    "lost bytes": (_bytes(_drop), "either"),
    "repeated bytes": (_bytes(_repeat), "either"),
    "changed characters": (_bytes(_digit), "either"),
    "zero faces": (lambda random, text: text.joined((len(text.vertices), 0)), "error"),
    "all points equal": (_alike, "error"),
    "a million times the size": (_scaled, "alike"),
    "no damage": (lambda random, text: text.joined(), "same"),
}


def run(data: bytes) -> np.ndarray | MeshError:
    """Returns the voxels of a file or what was wrong with it, having checked the message.

    Raises:
        AssertionError: it took too long, or the message is not one for people.
    """

    def late(*_):
        raise AssertionError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    began = time.process_time()
    try:
        mesh = meshes.load_mesh(data, NAME).mesh
        return voxelize.voxelize(mesh, RESOLUTION)
    except MeshError as error:
        message = str(error)
        assert message.startswith(f"{NAME}: ") and len(message) < 300, message
        assert "\n" not in message and message.isprintable(), message
        if isinstance(error.__cause__, OffError):
            assert re.search(r"line \d+|the file is empty", message), message
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        assert time.process_time() - began < SECONDS


def bounded(folder: Path | None, numbers: range, memory: int) -> Counter[str]:
    """Runs cases in this process, which may take so many bytes more from here on."""
    mutator = Mutator(originals(folder))
    mutator.check_all(range(len(KINDS)))  # so that all that is needed is loaded
    status = Path("/proc/self/status").read_text()
    taken = 1024 * int(re.search(r"VmData:\s+(\d+) kB", status)[1])
    resource.setrlimit(resource.RLIMIT_DATA, (taken + memory, taken + memory))
    return mutator.check_all(numbers)


class Mutator:
    """Damages files by number: the same number is the same case, on every machine."""

    def __init__(self, files: list[bytes]):
        self._files = files
        self._voxels: dict[int, np.ndarray | MeshError] = {}

    def case(self, number: int) -> tuple[int, str, bytes]:
        """Returns which file a case is of, the kind of damage, and the damaged file."""
        random = np.random.default_rng([7, number])
        which = int(random.integers(len(self._files)))
        kind = list(KINDS)[number % len(KINDS)]
        return which, kind, KINDS[kind][0](random, Text.of(self._files[which]))

    def check_all(self, numbers: range) -> Counter[str]:
        """Runs cases, and counts how many gave "voxels" and how many an "error".

        Raises:
            AssertionError: something else came of some of them; all of these are told.
        """
        counts, wrong = Counter(), []
        for number in numbers:
            try:
                counts[self.check(number)] += 1
            except AssertionError as error:
                wrong.append(str(error))
        assert not wrong, "\n".join([f"{len(wrong)} cases:", *wrong[:50]])
        return counts

    def check(self, number: int) -> str:
        """Runs a case, and returns "voxels" or "error".

        Raises:
            AssertionError: something else came of it than must come of such damage.
        """
        which, kind, data = self.case(number)
        if which not in self._voxels:
            self._voxels[which] = run(Text.of(self._files[which]).joined())
        original, expected = self._voxels[which], KINDS[kind][1]
        try:
            found = run(data)
            if isinstance(found, MeshError):
                assert expected in ("error", "either"), found
                return "error"
            assert expected != "error"
            assert found.shape == (RESOLUTION,) * 3 and found.any()
            if expected in ("same", "alike"):
                assert np.mean(found != original) <= (0.001 if expected == "alike" else 0)
            return "voxels"
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise AssertionError(f"case {number} ({kind}): {what}") from error
