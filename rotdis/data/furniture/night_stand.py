"""Data, first stage: night stands: small, near-cubic, with a drawer, a shelf or legs."""

import numpy as np

from rotdis.data.furniture.cabinet import Cell, cabinet, draw_fronts, grid_cells, support
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    arc_wall,
    box,
    cylinder,
    leg,
    oval,
    prism,
    revolve,
)


def build(d: Draw) -> list[Part]:
    """Returns the parts of one night stand; its drawer opens towards -y."""
    width, depth, height = d.between(0.36, 0.70), d.between(0.34, 0.58), d.between(0.42, 0.85)
    unit = np.sqrt(width**2 + depth**2 + height**2) / 30
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    slab = d.between(1.2, 2.2) * unit
    kind = d.pick(
        "cabinet", "cabinet", "cabinet", "table", "table", "table", "tower", "round", "step"
    )
    parts = _KINDS[kind](d, x, y, height - slab, unit)
    over = d.between(0.0, 1.8) * unit
    if kind == "round":
        parts.append(prism(oval(x, y), (height - slab, height)))
    else:
        parts.append(box((x[0] - over, x[1] + over), (y[0] - over, y[1]), (height - slab, height)))
    extra = d.pick("none", "none", "none", "rim", "back", "lamp", "books")
    top = (height - 0.01, height + d.between(1.5, 3.5) * unit)
    if extra == "rim" and kind != "round":
        wall = 1.3 * unit
        parts += [
            box(x, (y[1] - wall, y[1]), top),
            box((x[0], x[0] + wall), (y[0] / 2, y[1]), top),
            box((x[1] - wall, x[1]), (y[0] / 2, y[1]), top),
        ]
    elif extra == "back" and kind != "round":
        parts.append(
            box(x, (y[1] - 1.4 * unit, y[1]), (0.3 * height, height + d.between(2, 6) * unit))
        )
    elif extra == "lamp":
        at = (d.between(-0.25, 0.25) * width, d.between(0.05, 0.25) * depth)
        stem, shade = d.between(3, 6) * unit, d.between(2.5, 4.5) * unit
        profile = [
            (2 * unit, -0.1 * unit),
            (2 * unit, unit),
            (0.8 * unit, 1.5 * unit),
            (0.8 * unit, stem),
            (shade, stem),
            (shade * d.between(0.5, 1), stem + d.between(3, 5) * unit),
        ]
        parts.append(revolve([(r, height + z) for r, z in profile], at))
    elif extra == "books":
        side = d.side()
        parts.append(
            box(
                tuple(sorted((side * x[1] * 0.2, side * x[1] * 0.85))),
                (y[0] * 0.5, y[1] * 0.6),
                top,
            )
        )
    return parts


def _cells(d: Draw) -> list[Cell]:
    kind = d.pick("drawers", "drawers", "shelf_low", "shelf_high", "door", "mixed", "open")
    cut = d.between(0.35, 0.65)
    if kind == "drawers":
        return grid_cells(d, d.whole(1, 3), 1)
    if kind == "shelf_low":
        return [*grid_cells(d, d.whole(1, 2), 1, z=(cut, 1)), Cell((0, 1), (0, cut), "open")]
    if kind == "shelf_high":
        return [
            *grid_cells(d, d.whole(1, 2), 1, z=(0, 1 - cut)),
            Cell((0, 1), (1 - cut, 1), "open"),
        ]
    if kind == "door":
        door = Cell((0, 1), (0, cut + 0.1), d.pick("left", "right"))
        return [door, Cell((0, 1), (cut + 0.1, 1), d.pick("drawer", "open"))]
    if kind == "mixed":
        left = d.chance(0.5)
        spans = ((0, cut), (cut, 1)) if left else ((cut, 1), (0, cut))
        return [Cell(spans[0], (0, 1), "open"), *grid_cells(d, d.whole(1, 3), 1, spans[1])]
    return [Cell((0, 1), (0, cut), "open"), Cell((0, 1), (cut, 1), "open")]


def _cabinet(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    foot = d.between(1.0, 6.0) * unit if d.chance(0.7) else 0.0
    return cabinet(x, y, (foot, top), _cells(d), draw_fronts(d, unit)) + support(
        d, x, y, foot, unit
    )


def _table(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    """A drawer on four long legs, often with a shelf between them."""
    low = top * d.between(0.45, 0.75)
    parts = cabinet(x, y, (low, top), grid_cells(d, d.whole(1, 2), 1), draw_fronts(d, unit))
    thick, splay = d.between(1.7, 2.9) * unit, d.between(1.0, 1.2)
    taper, round_ = d.between(0.8, 1.0), d.chance(0.4)
    for sx in (x[0] + thick / 2, x[1] - thick / 2):
        for sy in (y[0] + thick / 2, y[1] - thick / 2):
            parts.append(
                leg((sx, sy, top), (sx * splay, sy * splay, 0), thick, thick * taper, round_)
            )
    shelf = d.pick("none", "plate", "plate", "back")
    level = low * d.between(0.1, 0.6)
    if shelf == "plate":
        out = 1 + (splay - 1) * (1 - level / top) - 0.02  # where splayed legs are at that level
        wide, deep = ((lo * out, hi * out) for lo, hi in (x, y))
        parts.append(box(wide, deep, (level, level + 1.4 * unit)))
    elif shelf == "back":
        parts.append(box(x, (y[1] - 1.4 * unit, y[1]), (level, low)))
    return parts


def _tower(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    """Boards on a spine: C- or Z-shaped, open to the front and one side."""
    wall = d.between(1.3, 2.5) * unit
    side = d.side()
    at = (x[0], x[0] + wall) if side < 0 else (x[1] - wall, x[1])
    parts = [box(at, y, (0, top)), box(x, y, (0, d.between(1.3, 3) * unit))]
    if d.chance(0.6):
        level = top * d.between(0.35, 0.65)
        parts.append(box(x, y, (level, level + 1.4 * unit)))
    if d.chance(0.5):
        low = top * d.between(0.5, 0.8)
        parts += cabinet(x, y, (low, top), grid_cells(d, 1, 1), draw_fronts(d, unit))
    elif d.chance(0.5):
        parts.append(box(x, (y[1] - wall, y[1]), (0, top)))
    return parts


def _round(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    """A drum with a compartment open to the front, or a disc on a column."""
    foot = d.between(0.0, 6.0) * unit
    shelf = foot + (top - foot) * d.between(0.3, 0.7)
    opening = d.between(0.5, 1.0)
    angles = (-np.pi / 2 + opening, 3 * np.pi / 2 - opening)
    thick = d.between(1.3, 2.2) * unit
    parts = [
        arc_wall((x[1], y[1]), angles, thick, (foot, top), steps=20),
        prism(oval(x, y), (foot, foot + 1.5 * unit)),
        prism(oval(x, y), ((shelf, top) if d.chance(0.6) else (shelf, shelf + 1.4 * unit))),
        box((-unit, unit), (y[0] - 1.2 * unit, y[0] + unit), (shelf, shelf + 2.2 * unit)),
    ]
    if foot > unit:
        if d.chance(0.4):
            parts.append(cylinder(x[1] * d.between(0.3, 0.8), (0, foot + 0.01)))
        else:
            for i in range(4):
                at = (0.65 * x[1] * (-1) ** i, 0.65 * y[1] * (-1) ** (i // 2))
                parts.append(leg((*at, foot + 0.01), (*at, 0.0), 2.2 * unit, 1.8 * unit, True))
    return parts


def _step(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    """A full cabinet at one side, a lower or open half at the other."""
    cut = d.between(-0.2, 0.2) * x[1]
    closed, other = ((x[0], cut), (cut, x[1])) if d.chance(0.5) else ((cut, x[1]), (x[0], cut))
    style = draw_fronts(d, unit)
    parts = cabinet(closed, y, (0, top), grid_cells(d, d.whole(1, 3), 1), style)
    parts.append(box(other, (y[1] - 1.4 * unit, y[1]), (0, top)))
    level = top * d.between(0.0, 0.55)
    parts.append(box(other, y, (level, level + d.between(1.3, 4) * unit)))
    edge = (
        (other[1] - 1.5 * unit, other[1])
        if other[1] > closed[1]
        else (other[0], other[0] + 1.5 * unit)
    )
    if d.chance(0.7):
        parts.append(box(edge, y, (0, top)))
    return parts


_KINDS = {"cabinet": _cabinet, "table": _table, "tower": _tower, "round": _round, "step": _step}
