"""Data, first stage: beds, from cribs and day beds to bunk and four-poster beds."""

import numpy as np

from rotdis.data.furniture.bed_high import bunk, crib, loft, poster
from rotdis.data.furniture.bedding import board, frame, mattress, measures
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Part, arc_wall, box, oval, prism, soft_box, spread, tube


def build(d: Draw) -> list[Part]:
    """Returns the parts of one bed; its head is at +y, its foot at -y."""
    kind = d.pick(
        "plain",
        "plain",
        "plain",
        "plain",
        "plain",
        "bunk",
        "poster",
        "sleigh",
        "day",
        "crib",
        "loft",
        "round",
    )
    return _KINDS[kind](d)


def _plain(d: Draw) -> list[Part]:
    x, y, unit = measures(d)
    parts, top = frame(d, x, y, unit)
    parts += mattress(d, x, y, top - 0.01, unit)
    thick = d.between(1.6, 2.8) * unit
    style = d.pick("solid", "solid", "soft", "arch", "crown", "slats", "rails", "wings")
    wide = d.between(1.0, 1.35) if d.chance(0.3) and style not in ("wings",) else 1.0
    head = top + d.between(0.35, 1.0)
    headboard = board(
        d, style, (x[0] * wide, x[1] * wide), (y[1] - 0.01, y[1] + thick), (0.0, head), unit
    )
    lean = d.between(0.0, 0.15) if d.chance(0.3) else 0.0
    parts += (
        [part.turned("x", -lean, (0, y[1], top)) for part in headboard] if d.chance(0.93) else []
    )
    if d.chance(0.4):
        foot = top + d.between(0.12, 0.45)
        parts += board(
            d,
            style if d.chance(0.7) else "solid",
            x,
            (y[0] - thick, y[0] + 0.01),
            (0.0, foot),
            unit,
        )
    if d.chance(0.2):  # shelves beside the head
        sides = (-1, 1) if d.chance(0.6) else (d.side(),)
        deep, high = d.between(0.35, 0.5), d.between(0.4, 0.6)
        for s in sides:
            span = tuple(sorted((s * (x[1] + 0.05), s * (x[1] + d.between(0.4, 0.5)))))
            parts.append(
                box(
                    span, (y[1] - deep, y[1] + thick), (0.0 if d.chance(0.5) else high - 0.15, high)
                )
            )
    if d.chance(0.12):  # a bench at the foot
        parts.append(
            box((x[0] * 0.85, x[1] * 0.85), (y[0] - 0.55, y[0] - 0.12), (0.0, d.between(0.35, 0.5)))
        )
    return parts


def _sleigh(d: Draw) -> list[Part]:
    """Head and foot roll outwards."""
    x, y, unit = measures(d)
    parts, top = frame(d, x, y, unit)
    parts += mattress(d, x, y, top - 0.01, unit)
    thick = d.between(1.6, 2.3) * unit
    for end, tall in ((1, top + d.between(0.5, 0.9)), (-1, top + d.between(0.15, 0.45))):
        bend = d.between(0.5, 1.1)
        radius = tall / np.sin(bend) if bend < np.pi / 2 else tall
        wall = arc_wall((radius, radius), (0.0, bend), thick, x, steps=10)
        # The wall was built upright along x: lay it so that its arc rises from the floor.
        vertices = np.stack(
            [wall.vertices[:, 2], end * (radius - wall.vertices[:, 0]), wall.vertices[:, 1]], 1
        )
        faces = wall.faces[:, ::-1] if end > 0 else wall.faces  # the axes swap handedness
        parts.append(Part(vertices, faces).moved(y=end * y[1]))
        roll = end * (y[1] + radius * (1 - np.cos(bend)))
        parts.append(tube([(x[0], roll, tall), (x[1], roll, tall)], thick * d.between(0.8, 1.2)))
    return parts


def _day(d: Draw) -> list[Part]:
    """A day bed: boards at both ends and along one long side."""
    x, y, unit = measures(d, narrow=True)
    parts, top = frame(d, x, y, unit)
    parts += mattress(d, x, y, top - 0.01, unit)
    thick, style, side = d.between(1.3, 2.2) * unit, d.pick("solid", "soft", "slats"), d.side()
    tall = top + d.between(0.3, 0.65)
    parts += board(d, style, x, (y[1] - 0.01, y[1] + thick), (0.0, tall), unit)
    if d.chance(0.6):
        parts += board(
            d, style, x, (y[0] - thick, y[0] + 0.01), (0.0, tall * d.between(0.6, 1.0)), unit
        )
    edge = side * x[1]
    at = tuple(sorted((edge - side * 0.01, edge + side * thick)))
    parts.append(box(at, y, (0.0, tall + d.between(-0.1, 0.15))))
    if d.chance(0.5):
        for span in spread(y[0] + 0.1, y[1] - 0.1, d.whole(2, 3), 0.08):
            parts.append(
                soft_box(
                    (edge - side * 0.28, edge) if side > 0 else (edge, edge + 0.28),
                    span,
                    (top + 0.12, tall),
                    4,
                    0.3,
                )
            )
    return parts


def _round(d: Draw) -> list[Part]:
    """A round bed with a curved back around its head."""
    radius = d.between(0.9, 1.15)
    unit = 2.2 * radius / 30
    top = d.between(0.25, 0.4)
    r = radius * d.between(0.95, 1.1)
    reach = d.between(0.3, 0.9)
    parts = [prism(oval((-r, r), (-r, r)), (0.0, top))]
    parts += mattress(d, (-radius, radius), (-radius, radius), top - 0.01, unit)[1:3]
    parts.append(prism(oval((-radius, radius), (-radius, radius)), (top - 0.01, top + 2.5 * unit)))
    wall = d.between(1.5, 2.5) * unit
    tall = top + d.between(0.4, 0.8)
    parts.append(
        arc_wall(
            (r + wall, r + wall),
            (reach, np.pi - reach),
            wall,
            (0.0, tall),
            0.0,
            tall * d.between(0.6, 1.0),
        )
    )
    return parts


_KINDS = {
    "plain": _plain,
    "bunk": bunk,
    "poster": poster,
    "sleigh": _sleigh,
    "day": _day,
    "crib": crib,
    "loft": loft,
    "round": _round,
}
