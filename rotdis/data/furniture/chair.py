"""Data, first stage: chairs, from stools with a back to wing chairs and office chairs."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    arc_wall,
    arch,
    beam,
    box,
    cylinder,
    leg,
    oval,
    prism,
    soft_box,
    spread,
    tube,
)  # fmt: skip


def build(d: Draw) -> list[Part]:
    """Returns the parts of one chair; the sitter looks towards -y."""
    if d.chance(0.16):
        return _tub(d)
    width, depth = d.between(0.42, 0.70), d.between(0.42, 0.64)
    height, back = d.between(0.32, 0.58), d.between(0.28, 0.80)
    unit = np.sqrt(width**2 + depth**2 + (height + back) ** 2) / 28
    thick = d.between(1.5, 2.7) * unit
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    seat = (height - d.between(1.5, 3.5) * unit, height)
    parts = _seat(d, x, y, seat)
    parts += _base(d, x, y, seat[0], thick)
    tilt = d.between(-0.02, 0.30)
    rear = (0.0, y[1], height)
    shape = _back(d, x, y[1], (seat[0], height + back), thick, depth)
    parts += [part.turned("x", -tilt, rear) for part in shape]
    if d.chance(0.45):
        parts += _arms(d, x, y, seat[0], height, thick)
    return parts


def _seat(d: Draw, x: Interval, y: Interval, z: Interval) -> list[Part]:
    kind = d.pick("plain", "plain", "soft", "soft", "taper", "round")
    if kind == "plain":
        seat = box(x, y, z)
    elif kind == "soft":
        seat = soft_box(x, y, (z[0], z[1] + 0.03), d.between(4, 9))
    elif kind == "round":
        seat = prism(oval(x, y, d.between(2, 3.5)), z)
    else:
        narrow = d.between(0.6, 0.9)
        outline = [(x[0], y[0]), (x[1], y[0]), (x[1] * narrow, y[1]), (x[0] * narrow, y[1])]
        seat = prism(np.array(outline), z)
    parts = [seat]
    if d.chance(0.2):  # a loose cushion
        top = z[1] + d.between(0.04, 0.09)
        parts.append(soft_box((x[0] * 0.9, x[1] * 0.9), (y[0] * 0.95, y[1] * 0.8), (z[1], top)))
    return parts


def _base(d: Draw, x: Interval, y: Interval, top: float, thick: float) -> list[Part]:
    kind = d.pick("legs", "legs", "legs", "legs", "star", "pedestal", "sled", "cantilever",
                  "block", "rocker")  # fmt: skip
    inset = thick / 2
    corners = [
        (sx, sy) for sx in (x[0] + inset, x[1] - inset) for sy in (y[0] + inset, y[1] - inset)
    ]
    if kind in ("legs", "rocker"):
        splay = d.between(0.0, 0.22) if d.chance(0.5) else 0.0
        foot = thick * d.between(0.75, 1.0)
        round_ = d.chance(0.4)
        low = thick if kind == "rocker" else 0.0
        parts = [
            leg(
                (cx, cy, top + 0.01), (cx * (1 + splay), cy * (1 + splay), low), thick, foot, round_
            )
            for cx, cy in corners
        ]
        level = top * d.between(0.25, 0.6)
        if kind == "rocker":
            t = np.linspace(-1, 1, 9)
            bend = d.between(0.08, 0.16)
            for cx in (corners[0][0], corners[-1][0]):
                path = np.stack(
                    [0 * t + cx * (1 + splay), t * y[1] * 1.45, bend * t**2 + thick / 2], 1
                )
                parts.append(tube(path, thick * 0.65))
        elif d.chance(0.4):  # stretchers
            out = 1 + splay * (1 - level / top)  # where splayed legs are at that level
            xs = (corners[0][0] * out, corners[-1][0] * out)
            ys = (corners[0][1] * out, corners[1][1] * out)
            if d.chance(0.6):
                parts += [beam((cx, ys[0], level), (cx, ys[1], level), thick * 0.8) for cx in xs]
            at = ys[1] if d.chance(0.5) else 0.0
            parts.append(beam((xs[0], at, level), (xs[1], at, level), thick * 0.8))
        if d.chance(0.3):  # an apron under the seat
            parts.append(box((x[0] * 0.92, x[1] * 0.92), (y[0] * 0.92, y[1] * 0.92),
                             (top - thick * d.between(0.5, 1.5), top)))  # fmt: skip
        return parts
    if kind == "star":  # office chair
        arms, reach = d.whole(4, 6), d.between(0.75, 1.05) * x[1]
        parts = [cylinder(thick * d.between(0.5, 0.9), (thick * 0.5, top))]
        for i in range(arms):
            angle = 2 * np.pi * (i + 0.5) / arms
            end = (reach * np.cos(angle), reach * np.sin(angle), thick * 0.6)
            parts.append(beam((0, 0, thick * d.between(0.9, 1.2)), end, thick * 0.9))
            if reach > 0.2:
                parts.append(cylinder(thick * 0.6, (0.0, thick * 0.9), end[:2]))
        return parts
    if kind == "pedestal":
        foot = d.between(0.55, 1.0) * min(x[1], y[1])
        plate = prism(oval((-foot, foot), (-foot, foot), d.pick(2, 2, 9)), (0.0, thick * 0.8))
        return [plate, cylinder(thick * d.between(0.6, 1.6), (thick * 0.5, top))]
    if kind == "sled":
        parts = []
        for cx in (x[0] + inset, x[1] - inset):
            front, rear = y[0] + inset, y[1] - inset
            path = [(cx, front, top), (cx, front * 1.05, thick / 2), (cx, rear * 1.05, thick / 2),
                    (cx, rear, top)]  # fmt: skip
            parts.append(tube(path, thick * 0.62, 6))
        return parts
    if kind == "cantilever":  # one bent tube on each side, open towards the back
        parts = []
        low, rear = thick / 2, y[1] - inset
        for cx in (x[0] + inset, x[1] - inset):
            path = [(cx, rear * 0.8, top), (cx, y[0] + inset, top), (cx, y[0] + inset, low),
                    (cx, rear, low)]  # fmt: skip
            parts.append(tube(path, thick * 0.6, 6))
        parts.append(beam((x[0] + inset, rear, low), (x[1] - inset, rear, low), thick))
        return parts
    shrink = d.between(0.7, 1.0)
    foot = d.between(0.0, 0.1)
    return [box((x[0] * shrink, x[1] * shrink), (y[0] * shrink, y[1] * shrink), (foot, top))] + (
        [leg((cx, cy, top), (cx, cy, 0.0), thick, thick) for cx, cy in corners]
        if foot > 0.03
        else []
    )


def _back(d: Draw, x: Interval, rear: float, z: Interval, thick: float, depth: float) -> list[Part]:
    kind = d.pick("solid", "solid", "arched", "oval", "slats", "ladder", "frame", "soft", "winged",
                  "curved", "splat")  # fmt: skip
    y = (rear - thick, rear)
    narrow = d.between(0.75, 1.0)
    x = (x[0] * narrow, x[1] * narrow)
    height = z[1] - z[0]
    posts = [box((x[0], x[0] + thick), y, z), box((x[1] - thick, x[1]), y, z)]
    rail = box(x, y, (z[1] - thick * d.between(1.0, 2.2), z[1]))
    if kind == "solid":
        lift = d.between(0.0, 0.4) * height if d.chance(0.4) else 0.0
        return [box(x, y, (z[0] + lift, z[1]))] + (posts if lift else [])
    if kind == "arched":
        return [prism(arch(x, z, d.between(0.15, 0.45) * (x[1] - x[0])), y, "y")]
    if kind == "oval":
        pad = prism(oval(x, (z[0] + height * 0.3, z[1]), d.between(2, 4)), y, "y")
        return [pad, box((-thick, thick), y, (z[0], z[0] + height * 0.6))]
    if kind == "slats":
        count = d.whole(1, 3)
        inner = spread(x[0] + thick, x[1] - thick, 2 * count + 1, 0.0)[1::2]
        return [*posts, rail, *(box(at, y, z) for at in inner)]
    if kind == "ladder":
        count = d.whole(2, 3)
        gap = min(d.between(1.4, 2.5) * thick, 0.65 * height * 0.55 / (count - 1))
        rungs = spread(z[0] + height * 0.35, z[1], count, gap)
        return [*posts, *(box(x, y, rung) for rung in rungs)]
    if kind == "frame":
        low = z[0] + height * d.between(0.3, 0.5)
        return [*posts, rail, box(x, y, (low, low + thick))]
    if kind == "splat":
        half = (x[1] - x[0]) * d.between(0.14, 0.25)
        return [*posts, rail, prism(oval((-half, half), z, 3), y, "y")]
    if kind == "curved":
        radii = (x[1] * 1.1, thick + depth * d.between(0.15, 0.5))
        open_ = d.between(0.1, 0.5)
        wall = arc_wall(radii, (open_, np.pi - open_), thick, z, d.between(0, 0.1))
        return [wall.moved(y=rear - radii[1])]
    pad = soft_box(x, (rear - thick * d.between(1.2, 1.8), rear + thick * 0.2), z, 6, 0.2)
    if kind == "soft":
        parts = [pad]
        if d.chance(0.35):
            head = d.between(0.5, 0.8)
            parts.append(soft_box((x[0] * head, x[1] * head), (rear - thick * 2, rear),
                                  (z[1] - thick, z[1] + thick * d.between(0.6, 2))))  # fmt: skip
        return parts
    reach = depth * d.between(0.3, 0.6)  # wings
    low = z[0] + height * d.between(0.3, 0.5)
    side = np.array([(rear, low), (rear - reach, low + 0.05), (rear - reach * 0.8, z[1] - 0.03),
                     (rear, z[1])])  # fmt: skip
    return [pad] + [prism(side, (cx - thick / 2, cx + thick / 2), "x") for cx in x]


def _arms(d: Draw, x: Interval, y: Interval, low: float, seat: float, thick: float) -> list[Part]:
    kind = d.pick("post", "post", "solid", "loop", "pad")
    top = seat + d.between(0.13, 0.26)
    front = y[0] + d.between(0.0, 0.35) * (y[1] - y[0])
    wide = thick * d.between(0.9, 1.5)
    parts = []
    for cx in (x[0], x[1]):
        if kind == "solid":
            parts.append(box((cx - wide / 2, cx + wide / 2), (front, y[1]), (low, top)))
        elif kind == "loop":
            path = [(cx, front, low), (cx, front, top), (cx, y[1] + 0.02, top)]
            parts.append(tube(path, thick * 0.62, 6))
        else:
            parts.append(
                box((cx - wide / 2, cx + wide / 2), (front, y[1] + 0.02), (top - thick, top))
            )
            at = front + thick if kind == "post" else (front + y[1]) / 2
            parts.append(leg((cx, at, top - thick / 2), (cx, at, low), thick, thick))
    return parts


def _tub(d: Draw) -> list[Part]:
    """A chair whose back runs around the seat into the arms."""
    rx, ry = d.between(0.28, 0.42), d.between(0.27, 0.40)
    seat, back = d.between(0.30, 0.48), d.between(0.25, 0.55)
    unit = np.sqrt(4 * rx**2 + 4 * ry**2 + (seat + back) ** 2) / 30
    thick = d.between(1.5, 3.2) * unit
    wrap = d.between(-0.6, 0.5)
    foot = d.between(0.0, 0.25) if d.chance(0.7) else 0.0
    low = min(foot, seat - 0.12)
    end = seat + back * (d.between(0.3, 0.6) if d.chance(0.6) else 1.0)
    wall = arc_wall(
        (rx, ry), (wrap, np.pi - wrap), thick, (low, seat + back), d.between(0, 0.12), end
    )
    power = d.between(2, 3)
    seat_pad = prism(oval((-rx * 0.97, rx * 0.97), (-ry * 1.05, ry * 0.95), power), (low, seat))
    parts = [wall, seat_pad]
    if low > 0.02:
        if d.chance(0.3):
            parts += [cylinder(thick, (0, low + 0.01)), cylinder(rx * 0.7, (0, thick * 0.7))]
        else:
            splay = d.between(1.0, 1.25)
            for sx, sy in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                at = (sx * rx * 0.62, sy * ry * 0.62)
                parts.append(
                    leg((*at, low + 0.02), (at[0] * splay, at[1] * splay, 0), thick, thick * 0.8)
                )
    return parts
