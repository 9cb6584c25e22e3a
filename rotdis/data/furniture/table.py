"""Data, first stage: tables, from coffee and console tables to bar and conference tables."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    beam,
    box,
    cylinder,
    leg,
    oval,
    prism,
    revolve,
    soft_box,
)


def build(d: Draw) -> list[Part]:
    """Returns the parts of one table; its drawers, where it has some, open towards -y."""
    height = d.between(0.28, 0.5) if d.chance(0.3) else d.between(0.6, 1.1)
    width = min(d.between(0.55, 2.3), 3.6 * height)
    depth = width * d.between(0.4, 1.0)
    shape = d.pick(
        "rect", "rect", "rect", "rect", "soft", "soft", "round", "oval", "half", "polygon"
    )
    if shape in ("round", "polygon"):
        depth = width = min(width, 1.4)
    unit = np.sqrt(width**2 + depth**2 + height**2) / 30
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    top = (height - d.between(1.3, 2.8) * unit, height)
    parts = [_top(d, shape, x, y, top)]
    hold = 1.0 if shape in ("rect", "soft") else 0.64  # keeps corner legs under a round top
    hx, hy = (x[0] * hold, x[1] * hold), (y[0] * hold, y[1] * hold)
    if shape == "half":
        hy = (y[0] + 0.27 * depth, y[1])
    thick = d.between(1.5, 3.2) * unit
    kind = d.pick(
        "legs", "legs", "legs", "pedestal", "twin", "trestle", "slabs", "cross", "three", "drum"
    )
    parts += _SUPPORTS[kind](d, hx, hy, top[0] + 0.005, thick, unit)
    if shape in ("rect", "soft") and d.chance(0.25):  # a drawer box under the top
        half = width * d.between(0.15, 0.4)
        at = d.between(-1, 1) * (width / 2 - half) * 0.9
        low = top[0] - min(d.between(2, 4) * unit, height * 0.4)
        parts.append(
            box((at - half, at + half), (y[0] * 0.95, y[1] * d.between(0.1, 0.8)), (low, height))
        )
        parts.append(
            box((at - unit, at + unit), (y[0] - unit, y[0] * 0.9), (low, low + 1.5 * unit))
        )
    if shape in ("rect", "soft", "half") and d.chance(0.12):  # a raised rim along the back
        parts.append(box(x, (y[1] - 1.3 * unit, y[1]), (top[0], height + d.between(2, 5) * unit)))
    if d.chance(0.12):  # something stands on it
        radius = d.between(1.5, 3.0) * unit
        at = (d.between(-0.3, 0.3) * width, d.between(-0.2, 0.2) * depth)
        profile = [
            (radius * s, height - 0.01 + radius * h)
            for s, h in ((0.6, 0), (1, 0.8), (0.8, 1.8), (0.5, 2.4))
        ]
        parts.append(revolve(profile, at))
    return parts


def _top(d: Draw, shape: str, x: Interval, y: Interval, z: Interval) -> Part:
    if shape == "rect":
        return box(x, y, z)
    if shape == "soft":
        return soft_box(x, y, z, d.between(4, 9), 0.1)
    if shape == "polygon":
        return prism(oval(x, y, 2, d.pick(6, 6, 8)), z)
    if shape == "half":  # a console table: straight along the wall, round in front
        t = np.linspace(0, np.pi, 15)
        outline = np.stack([x[1] * np.cos(t), y[1] - (y[1] - y[0]) * np.sin(t)], 1)
        return prism(outline, z)
    return prism(oval(x, y, d.between(2, 2.6)), z)


def _legs(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    inset = thick / 2 + (d.between(0.0, 0.15) * (x[1] - x[0]) if d.chance(0.4) else 0.0)
    inset_y = min(inset, 0.3 * (y[1] - y[0]))
    xs, ys = (x[0] + inset, x[1] - inset), (y[0] + inset_y, y[1] - inset_y)
    splay = d.between(0.0, 0.2) if d.chance(0.35) else 0.0
    foot, round_ = thick * d.between(0.75, 1.1), d.chance(0.4)
    parts = [
        leg((cx, cy, top), (cx * (1 + splay), cy * (1 + splay), 0.0), thick, foot, round_)
        for cx in xs
        for cy in ys
    ]
    extra = d.pick("none", "none", "apron", "shelf", "shelf", "h", "rails", "middle")
    level = top * d.between(0.12, 0.45)
    out = 1 + splay * (1 - level / top)  # where splayed legs are at that level
    low_xs, low_ys = tuple(at * out for at in xs), tuple(at * out for at in ys)
    if extra == "apron":
        low = top - min(d.between(1.5, 3.0) * unit, 0.35 * top)
        parts += [box(xs, (cy - thick / 3, cy + thick / 3), (low, top)) for cy in ys]
        parts += [box((cx - thick / 3, cx + thick / 3), ys, (low, top)) for cx in xs]
    elif extra == "shelf":
        parts.append(box(low_xs, low_ys, (level, level + d.between(1.1, 1.8) * unit)))
    elif extra == "h":
        parts += [beam((cx, low_ys[0], level), (cx, low_ys[1], level), 1.4 * unit) for cx in low_xs]
        parts.append(beam((low_xs[0], 0, level), (low_xs[1], 0, level), 1.4 * unit))
    elif extra == "rails":
        parts += [beam((low_xs[0], cy, level), (low_xs[1], cy, level), 1.4 * unit) for cy in low_ys]
        parts += [beam((cx, low_ys[0], level), (cx, low_ys[1], level), 1.4 * unit) for cx in low_xs]
    elif extra == "middle":
        parts += [leg((0, cy, top), (0, cy, 0), thick, foot, round_) for cy in ys]
    return parts


def _pedestal(
    d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float
) -> list[Part]:
    reach = d.between(0.5, 0.95) * min(x[1], y[1])
    neck = thick * d.between(0.6, 1.1)
    kind = d.pick("turned", "plate", "claws", "square")
    if kind == "turned":
        belly = thick * d.between(0.8, 1.6)
        profile = [
            (reach, 0),
            (reach, 1.2 * unit),
            (neck, 0.2 * top + unit),
            (belly, 0.5 * top),
            (neck, 0.8 * top),
            (belly, top),
        ]
        return [revolve(profile)]
    if kind == "claws":
        count = d.whole(3, 5)
        parts = [cylinder(neck, (1.5 * unit, top))]
        for i in range(count):
            angle = 2 * np.pi * i / count + np.pi / 2
            end = (reach * np.cos(angle), reach * np.sin(angle), 0.8 * unit)
            parts.append(beam((0, 0, min(0.35 * top, 6 * unit)), end, 1.7 * unit))
        return parts
    power = 2 if kind == "plate" else 12
    plate = prism(oval((-reach, reach), (-reach, reach), power), (0.0, d.between(1.1, 2.2) * unit))
    return [plate, prism(oval((-neck, neck), (-neck, neck), power), (0.5 * unit, top))]


def _twin(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    at = x[1] * d.between(0.45, 0.75)
    foot = y[1] * d.between(0.5, 0.9)
    parts = []
    for cx in (-at, at):
        parts.append(cylinder(thick * 0.7, (unit, top), (cx, 0.0)))
        parts.append(box((cx - thick * 0.8, cx + thick * 0.8), (-foot, foot), (0.0, 1.5 * unit)))
    if d.chance(0.5):
        parts.append(beam((-at, 0, 0.3 * top), (at, 0, 0.3 * top), 1.4 * unit))
    return parts


def _trestle(
    d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float
) -> list[Part]:
    at, cross = x[1] * d.between(0.6, 0.9), d.chance(0.5)
    wide = y[1] * d.between(0.7, 0.95)
    parts = []
    for cx in (-at, at):
        for side in (-1, 1):  # an X or an A
            upper = -side * wide if cross else side * 0.15 * wide
            parts.append(beam((cx, upper, top), (cx, side * wide, thick / 2), thick))
    if d.chance(0.7):
        level = top * (0.5 if cross else d.between(0.3, 0.6))
        parts.append(beam((-at, 0, level), (at, 0, level), 1.5 * unit))
        if not cross:  # rungs that carry it
            parts += [
                beam((cx, -wide * 0.7, level), (cx, wide * 0.7, level), 1.5 * unit)
                for cx in (-at, at)
            ]
    return parts


def _slabs(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    inset, narrow = d.between(0.0, 0.2) * x[1], d.between(0.6, 1.0)
    wide = max(1.2 * unit, thick * 0.7)
    ys = (y[0] * narrow, y[1] * narrow)
    parts = [
        box((x[0] + inset, x[0] + inset + wide), ys, (0.0, top)),
        box((x[1] - inset - wide, x[1] - inset), ys, (0.0, top)),
    ]
    if d.chance(0.5):
        level = top * d.between(0.0, 0.5)
        parts.append(box((x[0] + inset, x[1] - inset), ys, (level, level + 1.3 * unit)))
    if d.chance(0.3):
        parts.append(box((x[0] + inset, x[1] - inset), (ys[1] - 1.3 * unit, ys[1]), (0.0, top)))
    return parts


def _cross(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    rx, ry, wide = (
        x[1] * d.between(0.5, 0.9),
        y[1] * d.between(0.5, 0.9),
        max(1.4 * unit, thick * 0.6),
    )
    return [
        box((-rx, rx), (-wide / 2, wide / 2), (0, top)),
        box((-wide / 2, wide / 2), (-ry, ry), (0, top)),
    ]


def _three(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    splay, round_ = d.between(1.0, 1.35), d.chance(0.7)
    parts = []
    for i in range(3):
        angle = np.pi / 2 + 2 * np.pi * i / 3
        at = np.array(
            [x[1] * 0.75 * np.cos(angle), (y[0] + y[1]) / 2 + y[1] * 0.75 * np.sin(angle)]
        )
        parts.append(
            leg((*at, top), (*(at * splay), 0.0), thick, thick * d.between(0.7, 1.0), round_)
        )
    return parts


def _drum(d: Draw, x: Interval, y: Interval, top: float, thick: float, unit: float) -> list[Part]:
    rx, ry = x[1] * d.between(0.4, 0.85), y[1] * d.between(0.4, 0.85)
    waist, power = d.between(0.5, 1.0), d.pick(2, 2, 12)
    ring = oval((-rx, rx), (-ry, ry), power)
    return (
        [prism(ring, (0.0, top))]
        if waist > 0.85
        else [prism(ring * waist, (0.0, top)), prism(ring, (0.0, d.between(1.2, 2.5) * unit))]
    )


_SUPPORTS = {
    "legs": _legs,
    "pedestal": _pedestal,
    "twin": _twin,
    "trestle": _trestle,
    "slabs": _slabs,
    "cross": _cross,
    "three": _three,
    "drum": _drum,
}
