"""Data, first stage: bedsteads, boards and mattresses, shared by all kinds of beds."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    arch,
    box,
    leg,
    oval,
    prism,
    soft_box,
    spread,
    tube,
)


def measures(d: Draw, narrow: bool = False) -> tuple[Interval, Interval, float]:
    """Draws the lying area, as intervals of x and y, and the size of a voxel at 32^3."""
    width = d.between(0.85, 1.2) if narrow else d.between(0.9, 2.1)
    length = d.between(1.85, 2.25)
    unit = np.sqrt(width**2 + length**2 + 0.9**2) / 30
    return (-width / 2, width / 2), (-length / 2, length / 2), unit


def mattress(d: Draw, x: Interval, y: Interval, low: float, unit: float) -> list[Part]:
    """Returns a mattress, pillows at the head and perhaps a blanket, all above `low`."""
    top = low + d.between(2.0, 3.8) * unit
    parts = [soft_box(x, y, (low, top), 14, d.between(0.05, 0.25))]
    wide = x[1] - x[0]
    count = 1 if wide < 1.15 else d.whole(1, 3)
    size, deep, tall = d.between(0.6, 0.85), d.between(0.3, 0.5), d.between(1.4, 2.6) * unit
    for left, right in spread(x[0] + 0.04, x[1] - 0.04, count, 0.06):
        slack = (right - left) * (1 - size) / 2 if count == 1 else 0.0
        pillow = soft_box(
            (left + slack, right - slack), (-deep / 2, deep / 2), (-tall / 2, tall / 2), 4, 0.5
        )
        pillow = pillow.turned("x", d.between(0.0, 0.5))
        parts.append(pillow.moved(y=y[1] - deep * 0.55, z=top + tall * 0.35))
    if d.chance(0.45):  # a blanket that hangs over the sides
        head = y[0] + (y[1] - y[0]) * d.between(0.4, 0.75)
        hang = d.between(1.0, 3.0) * unit
        over = 1.0 * unit
        parts.append(
            soft_box(
                (x[0] - over, x[1] + over),
                (y[0] - over, head),
                (top - hang, top + 1.2 * unit),
                12,
                0.2,
            )
        )
        if d.chance(0.3):
            parts.append(
                tube([(x[0] * 0.95, head, top + unit), (x[1] * 0.95, head, top + unit)], 1.5 * unit)
            )
    elif d.chance(0.2):  # a bolster across the foot
        parts.append(
            tube(
                [(x[0] * 0.8, y[0] + 0.2, top + unit), (x[1] * 0.8, y[0] + 0.2, top + unit)],
                1.6 * unit,
            )
        )
    return parts


def board(d: Draw, kind: str, x: Interval, y: Interval, z: Interval, unit: float) -> list[Part]:
    """Returns a head- or footboard that fills the given intervals."""
    if kind == "solid":
        return [box(x, y, z)]
    if kind == "soft":
        return [soft_box(x, (y[0] - unit, y[1]), z, 8, 0.15)]
    if kind == "arch":
        return [prism(arch(x, z, d.between(0.15, 0.4) * (z[1] - z[0] + 0.2)), y, "y")]
    if kind == "crown":
        return [
            prism(oval(x, (z[0] - (z[1] - z[0]) * 0.6, z[1]), 2.5), y, "y"),
            box(x, y, (z[0], (z[0] + z[1]) / 2)),
        ]
    post = 1.6 * unit
    posts = [
        box(
            (s * x[1] - post / 2, s * x[1] + post / 2), y, (z[0], z[1] + d.between(0.0, 2.0) * unit)
        )
        for s in (-1, 1)
    ]
    rail = box(x, y, (z[1] - 1.8 * unit, z[1]))
    if kind == "slats":
        bars = spread(x[0], x[1], 2 * d.whole(2, 3) + 1, 0.0)[1::2]
        return [*posts, rail, *(box(bar, y, z) for bar in bars)]
    if kind == "rails":
        return [
            *posts,
            rail,
            box(x, y, (z[0] + (z[1] - z[0]) * 0.25, z[0] + (z[1] - z[0]) * 0.25 + 1.6 * unit)),
        ]
    wings = [
        box(
            tuple(sorted((s * x[1], s * (x[1] + 1.5 * unit)))),
            (y[0] - d.between(2, 4) * unit, y[1]),
            z,
        )
        for s in (-1, 1)
    ]
    return [box(x, y, z), *wings]


def frame(d: Draw, x: Interval, y: Interval, unit: float) -> tuple[list[Part], float]:
    """Returns a bedstead (on legs, on the floor, or with drawers at one side) and its height."""
    kind = d.pick("legs", "legs", "box", "drawers", "platform", "slab")
    top = d.between(0.22, 0.42)
    low = max(0.0, top - d.between(1.5, 2.8) * unit)
    if kind in ("box", "slab"):
        return [
            box(x, y, (0.0, top if kind == "box" else top * 0.6))
        ], top if kind == "box" else top * 0.6
    if kind == "drawers":
        side = d.side()
        parts = [box(x, y, (0.0, top))]
        edge = side * x[1]
        at = tuple(sorted((edge - side * 0.5 * unit, edge + side * 1.1 * unit)))
        parts += [
            box(at, span, (1.2 * unit, top - unit))
            for span in spread(y[0], y[1], d.whole(1, 3), 1.5 * unit)
        ]
        return parts, top
    over = d.between(1.0, 3.0) * unit if kind == "platform" else 0.0
    wide = ((x[0] - over, x[1] + over), (y[0] - over, y[1]))
    thick = d.between(1.6, 2.6) * unit
    parts = [box(*wide, (low, top))]
    for sx in wide[0]:
        for sy in wide[1]:
            at = (sx - np.sign(sx) * thick * 0.7, sy - np.sign(sy) * thick * 0.7)
            parts.append(
                leg(
                    (*at, low + 0.02), (*at, 0.0), thick, thick * d.between(0.7, 1.0), d.chance(0.4)
                )
            )
    return parts, top
