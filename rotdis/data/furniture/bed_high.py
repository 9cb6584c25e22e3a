"""Data, first stage: beds on posts: bunk and loft beds, four-posters and cribs."""

import numpy as np

from rotdis.data.furniture.bedding import board, frame, mattress, measures
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, beam, box, leg, soft_box, spread


def _posts(x: Interval, y: Interval, height: float, thick: float, round_: bool) -> list[Part]:
    return [leg((sx, sy, height), (sx, sy, 0.0), thick, thick, round_) for sx in x for sy in y]


def poster(d: Draw) -> list[Part]:
    """Returns a bed with four tall posts, under a frame, a roof or nothing."""
    x, y, _ = measures(d)
    tall = d.between(1.2, 2.1)
    unit = np.sqrt((x[1] - x[0]) ** 2 + (y[1] - y[0]) ** 2 + tall**2) / 29
    parts, top = frame(d, x, y, unit)
    parts += mattress(d, x, y, top - 0.01, unit)
    thick = d.between(1.5, 2.3) * unit
    parts += _posts(x, y, tall, thick, d.chance(0.5))
    canopy = d.pick("frame", "frame", "roof", "none", "half")
    z = (tall - 1.4 * unit, tall)
    if canopy in ("frame", "none"):
        count = 4 if canopy == "frame" else 0
        ends = [
            ((x[0], y[0]), (x[1], y[0])),
            ((x[0], y[1]), (x[1], y[1])),
            ((x[0], y[0]), (x[0], y[1])),
            ((x[1], y[0]), (x[1], y[1])),
        ]
        parts += [beam((*a, z[0]), (*b, z[0]), 1.5 * unit) for a, b in ends[:count]]
    else:
        front = y[0] if canopy == "roof" else y[1] - 0.7
        parts.append(box(x, (front, y[1]), z))
    style = d.pick("solid", "arch", "slats", "rails")
    parts += board(
        d, style, x, (y[1] - 0.7 * unit, y[1] + 0.7 * unit), (0.0, top + d.between(0.4, 0.8)), unit
    )
    return parts


def bunk(d: Draw) -> list[Part]:
    """Returns two beds, one above the other, with a ladder or stairs."""
    x, y, _ = measures(d, narrow=True)
    tall = d.between(1.45, 1.9)
    unit = np.sqrt((x[1] - x[0]) ** 2 + (y[1] - y[0]) ** 2 + tall**2) / 30
    low, high, thick = (
        d.between(0.25, 0.45),
        tall - d.between(0.3, 0.45),
        d.between(1.5, 2.3) * unit,
    )
    parts = _posts(x, y, tall, thick, False)
    for level in (low, high):
        parts.append(box(x, y, (level - 1.6 * unit, level)))
        parts += mattress(
            d, (x[0] + 0.03, x[1] - 0.03), (y[0] + 0.03, y[1] - 0.03), level - 0.01, unit
        )[:2]
    return parts + _climbing(d, x, y, (high, tall), thick, unit)


def _climbing(
    d: Draw, x: Interval, y: Interval, z: Interval, thick: float, unit: float
) -> list[Part]:
    """Guard rails around an upper bed, and a ladder or stairs at one side."""
    high, tall = z
    side = d.side()
    rail = (tall - 1.6 * unit, tall)
    edge = side * x[1]
    parts = [box(x, (sy - thick / 2, sy + thick / 2), (high, tall)) for sy in y]
    parts.append(
        box((-edge - thick / 2, -edge + thick / 2), y, rail if d.chance(0.5) else (high, tall))
    )
    gap = y[0] + 0.5
    parts.append(box((edge - thick / 2, edge + thick / 2), (gap, y[1]), rail))
    if d.chance(0.25):  # stairs at the foot
        steps = 4
        for i in range(steps):
            at = (y[0] - 0.2 * (steps - i), y[0] - 0.2 * (steps - i - 1) + 0.01)
            parts.append(
                box(
                    (edge - side * 0.45, edge) if side > 0 else (edge, edge + 0.45),
                    at,
                    (0, high * (i + 1) / (steps + 1)),
                )
            )
        return parts
    foot = edge + side * d.between(0.05, 0.4)
    rails = (y[0] + thick * 0.6, gap - 0.02)
    parts += [beam((edge, sy, tall), (foot, sy, 0.0), 1.8 * unit) for sy in rails]
    for i in range(1, 4):
        cx = foot + (edge - foot) * i * high / 4 / tall
        parts.append(beam((cx, rails[0], i * high / 4), (cx, rails[1], i * high / 4), 1.7 * unit))
    return parts


def loft(d: Draw) -> list[Part]:
    """Returns a high bed over a desk, a wardrobe, a sofa or nothing."""
    x, y, _ = measures(d, narrow=True)
    tall = d.between(1.4, 1.9)
    unit = np.sqrt((x[1] - x[0]) ** 2 + (y[1] - y[0]) ** 2 + tall**2) / 30
    high, thick = tall - d.between(0.3, 0.45), d.between(1.5, 2.3) * unit
    parts = _posts(x, y, tall, thick, False) + [box(x, y, (high - 1.6 * unit, high))]
    parts += mattress(d, (x[0] + 0.03, x[1] - 0.03), (y[0] + 0.03, y[1] - 0.03), high - 0.01, unit)[
        :2
    ]
    under = d.pick("desk", "wardrobe", "sofa", "none")
    if under == "desk":
        parts.append(box((x[0], x[1] * 0.3), (y[0] * 0.5, y[1]), (0.7, 0.7 + 1.4 * unit)))
    elif under == "wardrobe":
        parts.append(box(x, (y[1] - d.between(0.4, 0.7), y[1]), (0.0, high)))
    elif under == "sofa":
        parts.append(box(x, (y[0] * 0.6, y[1]), (0.0, 0.4)))
    return parts + _climbing(d, x, y, (high, tall), thick, unit)


def crib(d: Draw) -> list[Part]:
    """Returns a cot with barred sides, one of them lower."""
    x, y = (-0.38, 0.38), (-d.between(0.6, 0.75), d.between(0.6, 0.75))
    tall, low = d.between(0.75, 1.1), d.between(0.3, 0.5)
    unit = np.sqrt(0.76**2 + (y[1] - y[0]) ** 2 + tall**2) / 30
    thick, side = 1.5 * unit, d.side()
    parts = _posts(x, y, tall, 2 * unit, d.chance(0.4))
    parts += [box(x, y, (low - 1.5 * unit, low)), soft_box(x, y, (low - 0.01, low + 2 * unit), 12)]
    pillow = soft_box(
        (x[0] * 0.7, x[1] * 0.7), (y[1] - 0.35, y[1] - 0.06), (low + unit, low + 3.5 * unit), 4, 0.5
    )
    parts.append(pillow)
    drop = d.between(0.0, 0.25)
    for s in (-1, 1):
        top = tall - (drop if s == side else 0.0)
        at = (s * x[1] - thick / 2, s * x[1] + thick / 2)
        parts.append(box(at, y, (top - thick, top)))
        bars = spread(y[0], y[1], 2 * d.whole(3, 4) + 1, 0.0)[1::2]
        parts += [box(at, ((a + b - thick) / 2, (a + b + thick) / 2), (low, top)) for a, b in bars]
    for sy, extra in zip(y, (0.0, d.between(0.0, 0.25)), strict=True):
        parts += board(
            d,
            d.pick("solid", "arch"),
            x,
            (sy - thick / 2, sy + thick / 2),
            (low - 0.1, tall + extra),
            unit,
        )
    return parts
