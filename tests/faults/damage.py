"""What is done to the bytes of any file: bits flipped, the end cut off, parts lost or replaced."""

from collections.abc import Iterator

import numpy as np


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    """Returns a file with one bit changed."""
    place = int(random.integers(8 * len(data)))
    damaged = bytearray(data)
    damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def truncated(data: bytes, random: np.random.Generator) -> bytes:
    """Returns the beginning of a file."""
    return data[: random.integers(len(data))]


def scrambled(data: bytes, random: np.random.Generator) -> bytes:
    """Returns a file with a few bytes replaced, a part lost, repeated, or made zero."""
    damaged = bytearray(data)
    start = int(random.integers(len(data)))
    end = start + int(random.integers(1, 64))
    match random.integers(4):
        case 0:
            for place in random.integers(len(data), size=3):
                damaged[place] = random.integers(256)
        case 1:
            del damaged[start:end]
        case 2:
            damaged[start:start] = damaged[start:end]
        case 3:
            damaged[start:end] = bytes(end - start)
    return bytes(damaged)


def each(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yields (kind of damage, damaged file), the kinds in turn; never the file as it was."""
    random = np.random.default_rng(seed)
    kinds = (flipped, truncated, scrambled)
    for number in range(count):
        damage = kinds[number % len(kinds)]
        while (damaged := damage(data, random)) == data:
            pass
        yield damage.__name__, damaged
