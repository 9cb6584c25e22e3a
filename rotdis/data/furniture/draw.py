"""Data, first stage: the random choices of which the embedded furniture is made."""

import numpy as np


class Draw:
    """Draws an object's structure and measures from a seeded generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def between(self, lo: float, hi: float) -> float:
        """Returns a number uniform in [lo, hi)."""
        return lo + (hi - lo) * self._rng.random()

    def whole(self, lo: int, hi: int) -> int:
        """Returns an integer from lo to hi, both included."""
        return lo + int(self._rng.random() * (hi - lo + 1))

    def chance(self, probability: float) -> bool:
        """Returns True with the given probability."""
        return self._rng.random() < probability

    def side(self) -> int:
        """Returns -1 (left) or 1 (right)."""
        return 1 if self.chance(0.5) else -1

    def pick(self, *options: str) -> str:
        """Returns one of the options, each as likely as the others; repeat one to favour it."""
        return options[int(self._rng.random() * len(options))]

    def shares(self, count: int, unevenness: float) -> np.ndarray:
        """Returns the (count + 1,) borders of a random division of [0, 1]."""
        sizes = 1 + unevenness * (self._rng.random(count) - 0.5)
        return np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])
