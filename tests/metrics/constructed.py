"""Representations with known scores: every factor told by one unit, none told, all told by all."""

import numpy as np
from scipy.spatial.transform import Rotation

from rotdis.metrics import factors

LABEL = np.repeat(np.arange(3), 8)  # of 24 objects
OBJECT, TURN, TURNS = factors.design(LABEL, seed=0)
CLASS = LABEL[OBJECT]
NOISE = np.random.default_rng(0).normal(size=(len(OBJECT), 3))
PLACE = np.repeat(np.tile(np.arange(factors.INSTANCES), 3), 24)  # which of its class


def perfect() -> list[factors.Factor]:
    """One dimension tells the class, one the object of its class, the block the rotation."""
    codes = np.stack([CLASS, PLACE], axis=1) + 0.01 * NOISE[:, :2]
    frame = Rotation.random(rng=np.random.default_rng(1)).as_matrix()
    return factors.arrange(codes, TURNS @ frame, CLASS, OBJECT, TURN)


def useless() -> list[factors.Factor]:
    """Noise, and a rotation that has to do with nothing."""
    rotations = Rotation.random(len(OBJECT), rng=np.random.default_rng(2)).as_matrix()
    return factors.arrange(NOISE, rotations, CLASS, OBJECT, TURN)


def constant() -> list[factors.Factor]:
    """The same of everything."""
    rotations = np.broadcast_to(np.eye(3), TURNS.shape)
    return factors.arrange(np.ones_like(NOISE), rotations, CLASS, OBJECT, TURN)


def noise(classes: int, size: int, seed: int) -> list[factors.Factor]:
    """Noise of another length, of another number of classes, and such rotations."""
    label = np.repeat(np.arange(classes), factors.INSTANCES)
    index, turn, turns = factors.design(label, seed)
    rng = np.random.default_rng((seed, 1))
    rotations = Rotation.random(len(index), rng=rng).as_matrix()
    codes = rng.normal(size=(len(index), size))
    return factors.arrange(codes, rotations, label[index], index, turn)


def object_alone() -> list[factors.Factor]:
    """A random code of each object of ten classes, which says nothing of the class."""
    label = np.repeat(np.arange(10), factors.INSTANCES)
    index, turn, turns = factors.design(label, 0)
    rng = np.random.default_rng(4)
    codes = rng.normal(size=(len(label), 4))[index] + 0.01 * rng.normal(size=(len(index), 4))
    return factors.arrange(codes, turns, label[index], index, turn)


def entangled() -> list[factors.Factor]:
    """Class, object and rotation mixed over all dimensions of z; the rotation says nothing."""
    rng = np.random.default_rng(3)
    known = np.concatenate(
        [
            rng.normal(size=(3, 4))[CLASS],
            rng.normal(size=(24, 4))[OBJECT],
            2 * TURNS.reshape(-1, 9),
        ],
        axis=1,
    )
    mixing = np.linalg.qr(rng.normal(size=(17, 17)))[0]
    rotations = np.broadcast_to(np.eye(3), TURNS.shape)
    return factors.arrange(known @ mixing, rotations, CLASS, OBJECT, TURN)
