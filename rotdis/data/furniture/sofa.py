"""Data, first stage: sofas, from love seats to corner sofas and chaises longues."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    arc_wall,
    arch,
    box,
    leg,
    prism,
    soft_box,
    spread,
    tube,
)  # fmt: skip


def build(d: Draw) -> list[Part]:
    """Returns the parts of one sofa; the sitters look towards -y."""
    if d.chance(0.1):
        return _curved(d)
    width, depth = d.between(1.25, 2.7), d.between(0.75, 1.1)
    seat, back = d.between(0.34, 0.50), d.between(0.26, 0.62)
    unit = np.sqrt(width**2 + depth**2 + (seat + back) ** 2) / 30
    foot = d.between(0.07, 0.18) if d.chance(0.5) else 0.0
    back_thick = d.between(1.8, 3.6) * unit
    arm = d.between(1.8, 3.8) * unit
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    cushion = d.between(0.10, 0.18)
    parts = [box(x, y, (foot, seat - cushion))]
    lean = d.between(0.0, 0.25)

    arms = d.pick("both", "both", "both", "both", "none", "left", "right")
    arm_kind = d.pick("box", "round", "slope", "soft", "low")
    arm_top = seat + d.between(0.1, 0.3)
    left = x[0] + (arm if arms in ("both", "left") else 0.0)
    right = x[1] - (arm if arms in ("both", "right") else 0.0)
    for present, at in ((left > x[0], (x[0], left)), (right < x[1], (right, x[1]))):
        if present:
            parts += _arm(d, arm_kind, at, y, foot, arm_top)

    corner = d.side() if d.chance(0.3) else 0
    reach = d.between(0.45, 1.0)
    chaise = d.between(0.6, 0.85)
    span = (left, right)
    if corner:
        parts += _corner(d, corner, span, y, (foot, seat), reach, chaise, back_thick, back)
    front = y[0] + d.between(0.0, 0.05)
    rear = y[1] - back_thick
    count = d.whole(1, 4) if width > 1.7 else d.whole(1, 2)
    gap = d.between(0.6, 1.5) * unit
    for at in spread(*span, count, gap):
        parts.append(
            soft_box(at, (front, rear), (seat - cushion - 0.02, seat), 9, d.between(0.1, 0.35))
        )
    parts += _back(d, x, span, y[1], (foot, seat, seat + back), back_thick, count, lean, unit)

    if foot:
        round_, thick = d.chance(0.5), d.between(1.3, 2.2) * unit
        for sx in x:
            for sy in y:
                at = (sx - np.sign(sx) * thick, sy - np.sign(sy) * thick)
                parts.append(leg((*at, foot + 0.05), (*at, 0.0), thick, thick * 0.8, round_))
    for _ in range(d.whole(-2, 2)):  # loose pillows
        size, at = d.between(0.32, 0.5), d.between(span[0] + 0.25, span[1] - 0.25)
        pillow = soft_box((-size / 2, size / 2), (-0.08, 0.08), (0.0, size), 4, 0.5)
        pillow = pillow.turned("x", -0.35).turned("z", d.between(-0.4, 0.4))
        parts.append(pillow.moved(at, rear - 0.15, seat - 0.02))
    return parts


def _arm(d: Draw, kind: str, x: Interval, y: Interval, low: float, top: float) -> list[Part]:
    middle, radius = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    if kind == "box":
        return [box(x, y, (low, top))]
    if kind == "low":
        return [box(x, y, (low, top - 0.1))]
    if kind == "soft":
        return [soft_box(x, y, (low, top), 8, 0.2)]
    if kind == "round":
        roll = tube([(middle, y[0], top - radius), (middle, y[1], top - radius)], radius * 1.25, 12)
        return [roll, box((x[0] + radius * 0.2, x[1] - radius * 0.2), y, (low, top - radius))]
    drop = 0.15
    outline = [
        (y[0], low),
        (y[1], low),
        (y[1], top + 0.12),
        (y[0] + 0.1, top - drop),
        (y[0], top - drop),
    ]
    return [prism(np.array(outline), x, "x")]


def _corner(
    d: Draw,
    side: int,
    span: Interval,
    y: Interval,
    z: Interval,
    reach: float,
    wide: float,
    back_thick: float,
    back: float,
) -> list[Part]:
    """The short limb of an L: a chaise without a back, or a second bench with one."""
    x = (span[1] - wide, span[1]) if side > 0 else (span[0], span[0] + wide)
    fore = (y[0] - reach, y[0] + 0.05)
    parts = [
        box(x, fore, (z[0], z[1] - 0.1)),
        soft_box(x, (fore[0], fore[1] + 0.1), (z[1] - 0.14, z[1]), 9, 0.2),
    ]
    if d.chance(0.5):  # a back along the outer side
        outer = (x[1] - back_thick, x[1]) if side > 0 else (x[0], x[0] + back_thick)
        parts.append(box(outer, (fore[0], y[1]), (z[0], z[1] + back * d.between(0.7, 1.0))))
    return parts


def _back(
    d: Draw,
    x: Interval,
    span: Interval,
    rear: float,
    levels: tuple[float, float, float],
    thick: float,
    count: int,
    lean: float,
    unit: float,
) -> list[Part]:
    low, seat, top = levels
    y = (rear - thick, rear)
    kind = d.pick("plain", "plain", "cushions", "cushions", "camel", "roll", "partial")
    about = (0.0, rear, seat)
    if kind == "plain":
        parts = [box(x, y, (low, top))]
    elif kind == "camel":
        parts = [prism(arch(x, (low, top + 0.05), d.between(0.12, 0.3)), y, "y")]
    elif kind == "roll":
        radius = thick * d.between(0.55, 0.75)
        at = (rear - thick / 2, top - radius)
        parts = [tube([(x[0], *at), (x[1], *at)], radius, 12), box(x, y, (low, top - radius))]
    elif kind == "partial":  # a chaise longue: the back covers one end only
        share = d.between(0.4, 0.75)
        end = (x[0], x[0] + share * (x[1] - x[0])) if d.side() > 0 else (
            x[1] - share * (x[1] - x[0]), x[1])  # fmt: skip
        parts = [box(end, y, (low, top))]
    else:
        frame = box(x, (rear - thick * 0.5, rear), (low, top - d.between(0.05, 0.2)))
        pads = [
            soft_box(at, (rear - thick * 1.5, rear - thick * 0.2), (seat - 0.03, top), 6, 0.3)
            for at in spread(*span, count, d.between(0.8, 1.6) * unit)
        ]
        parts = [frame, *pads]
    return [part.turned("x", -lean, about) for part in parts]


def _curved(d: Draw) -> list[Part]:
    """A sofa along an arc, open towards the front."""
    rx, ry = d.between(0.8, 1.3), d.between(0.7, 1.1)
    seat, back = d.between(0.34, 0.5), d.between(0.25, 0.5)
    unit = 2 * rx / 30
    open_ = d.between(-0.2, 0.6)
    bench = d.between(0.5, 0.65)
    angles = (open_, np.pi - open_)
    foot = d.between(0.06, 0.14) if d.chance(0.4) else 0.0
    end = seat + back * (d.between(0.1, 0.6) if d.chance(0.5) else 1.0)
    parts = [
        arc_wall((rx, ry), angles, bench, (foot, seat)),
        arc_wall((rx, ry), angles, d.between(2, 3.2) * unit, (foot, seat + back), 0.05, end),
    ]
    if foot:
        for angle in np.linspace(angles[0] + 0.1, angles[1] - 0.1, 4):
            for inward in (0.1, bench - 0.1):
                at = ((rx - inward) * np.cos(angle), (ry - inward) * np.sin(angle))
                parts.append(leg((*at, foot + 0.05), (*at, 0.0), 0.12, 0.12))
    return parts
