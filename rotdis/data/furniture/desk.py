"""Data, first stage: desks, with drawers at one side, hutches, returns and panels."""

import numpy as np

from rotdis.data.furniture.cabinet import Cell, Fronts, cabinet, draw_fronts, grid_cells
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, beam, box, leg, oval, prism, tube


def build(d: Draw) -> list[Part]:
    """Returns the parts of one desk; one sits at its -y side."""
    width, depth, height = d.between(0.9, 2.0), d.between(0.5, 0.95), d.between(0.65, 0.85)
    unit = np.sqrt(width**2 + depth**2 + height**2) / 28
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    slab = d.between(1.1, 2.2) * unit
    top = height - slab
    parts = [_top(d, x, y, (top, height))]
    style = draw_fronts(d, unit)

    main = d.side()  # the side with the drawers
    wide = width * d.between(0.22, 0.36)
    first = d.pick("drawers", "drawers", "drawers", "door", "shelves", "hung")
    second = d.pick("legs", "legs", "panel", "panel", "drawers", "frame", "shelves")
    for side, kind in ((main, first), (-main, second)):
        outer = x[1] if side > 0 else x[0]
        span = tuple(sorted((outer, outer - side * wide)))
        parts += _support(d, kind, span, outer, side, y, top, style, unit)

    if d.chance(0.55):  # a modesty panel behind the sitter's knees
        low = 0.0 if d.chance(0.5) else top * d.between(0.2, 0.6)
        parts.append(box(x, (y[1] - 1.4 * unit, y[1] - 0.1 * unit), (low, top + 0.01)))
    if d.chance(0.2):  # a flat drawer above the knees
        parts.append(
            box((x[0] * 0.5, x[1] * 0.5), (y[0] * 0.98, y[1] * 0.6), (top - 2.0 * unit, top + 0.01))
        )
    above = d.pick("none", "none", "none", "hutch", "hutch", "riser", "tower", "screen", "split")
    if above != "none":
        parts += _above(d, above, x, y, height, style, unit, main)
    if d.chance(0.22):
        parts += _return(d, -main if d.chance(0.7) else main, x, y, (top, height), style, unit)
    return parts


def _top(d: Draw, x: Interval, y: Interval, z: Interval) -> Part:
    kind = d.pick("plain", "plain", "plain", "round", "bay", "angled")
    if kind == "round":
        return prism(oval(x, y, d.between(4, 8)), z)
    if kind == "bay":  # the front edge curves in or out
        t = np.linspace(-1, 1, 11)
        bow = d.between(-0.16, 0.16)
        front = np.stack([x[1] * t, y[0] - bow * (1 - t**2)], 1)
        return prism(np.concatenate([front, [[x[1], y[1]], [x[0], y[1]]]]), z)
    if kind == "angled":  # deeper at one end
        cut = d.between(0.1, 0.3) * (y[1] - y[0])
        left, right = (cut, 0.0) if d.chance(0.5) else (0.0, cut)
        return prism(
            np.array([(x[0], y[0] + left), (x[1], y[0] + right), (x[1], y[1]), (x[0], y[1])]), z
        )
    return box(x, y, z)


def _support(
    d: Draw,
    kind: str,
    span: Interval,
    outer: float,
    side: int,
    y: Interval,
    top: float,
    style: Fronts,
    unit: float,
) -> list[Part]:
    """What carries one end of the desk."""
    front = y[0] + d.between(0.0, 0.1) * (y[1] - y[0])
    inner = (front, y[1])
    if kind in ("drawers", "door", "hung"):
        low = d.between(0.0, 2.5) * unit if kind != "hung" else top * d.between(0.35, 0.6)
        cells = grid_cells(d, d.whole(1, 2) if kind == "hung" else d.whole(2, 4), 1)
        if kind == "door":
            cut = d.between(0.6, 0.8)
            cells = [
                Cell((0, 1), (0, cut), d.pick("left", "right")),
                Cell((0, 1), (cut, 1), "drawer"),
            ]
        parts = cabinet(span, inner, (low, top + 0.01), cells, style)
        if low > 0.5 * unit:
            thick = 1.8 * unit
            for sx in (span[0] + thick / 2, span[1] - thick / 2):
                for sy in (inner[0] + thick / 2, inner[1] - thick / 2):
                    parts.append(leg((sx, sy, low + 0.01), (sx, sy, 0), thick, thick))
        return parts
    if kind == "shelves":
        count = d.whole(2, 3)
        cells = [Cell((0, 1), (i / count, (i + 1) / count), "open") for i in range(count)]
        return cabinet(span, inner, (0.0, top + 0.01), cells, style)
    thick = d.between(1.4, 2.6) * unit
    if kind == "panel":
        at = tuple(sorted((outer, outer - side * max(thick * 0.7, 1.2 * unit))))
        return [box(at, y, (0.0, top + 0.01))]
    at = outer - side * thick / 2
    ends = (y[0] + thick / 2, y[1] - thick / 2)
    if kind == "frame":
        path = [
            (at, ends[0], top),
            (at, ends[0], thick / 2),
            (at, ends[1], thick / 2),
            (at, ends[1], top),
        ]
        return [tube(path, thick * 0.6, 4)]
    lean, round_ = d.between(0.0, 0.08), d.chance(0.4)
    parts = [
        leg(
            (at, sy, top + 0.01), (at + side * lean, sy * (1 + lean), 0), thick, thick * 0.9, round_
        )
        for sy in ends
    ]
    if d.chance(0.3):
        level = top * d.between(0.15, 0.5)
        parts.append(beam((at, ends[0], level), (at, ends[1], level), 1.4 * unit))
    return parts


def _above(
    d: Draw, kind: str, x: Interval, y: Interval, low: float, style: Fronts, unit: float, main: int
) -> list[Part]:
    """What stands on the desk, along its back."""
    front = y[1] - (y[1] - y[0]) * d.between(0.28, 0.5)
    z = (low - 0.01, low + d.between(0.3, 0.8))
    if kind == "riser":
        board = (low + 4 * unit, low + 5.4 * unit)
        inset = x[1] * d.between(0.4, 0.95)
        return [box((-inset, inset), (front, y[1]), board)] + [
            box(
                tuple(sorted((s * inset, s * (inset - 1.4 * unit)))),
                (front, y[1]),
                (z[0], board[1]),
            )
            for s in (-1, 1)
        ]
    if kind == "screen":
        tall = low + d.between(0.2, 0.5)
        parts = [box(x, (y[1] - 1.5 * unit, y[1]), (low * 0.6, tall))]
        if d.chance(0.5):
            edge = x[1] if main > 0 else x[0]
            at = tuple(sorted((edge, edge - main * 1.5 * unit)))
            parts.append(box(at, (0.0, y[1]), (low * 0.6, tall)))
        return parts
    if kind == "tower":
        share = x[1] * d.between(0.5, 0.9)
        span = (x[1] - share, x[1]) if main > 0 else (x[0], x[0] + share)
        cells = [
            Cell((0, 1), (0, 0.5), "open"),
            Cell((0, 1), (0.5, 1), d.pick("open", "drawer", "left")),
        ]
        return cabinet(span, (front, y[1]), z, cells, style)
    a, b = d.between(0.2, 0.4), d.between(0.4, 0.65)
    if kind == "hutch":
        cells = [
            Cell((0, 1), (0, b), "open"),
            Cell((0, a), (b, 1), d.pick("open", "right")),
            Cell((a, 1), (b, 1), d.pick("open", "drawer")),
        ]
    else:
        cells = [
            Cell((0, a), (0, 1), d.pick("open", "drawer")),
            Cell((a, 1 - a), (b, 1), "open"),
            Cell((1 - a, 1), (0, 1), d.pick("open", "drawer")),
        ]
    return cabinet(x, (front, y[1]), z, cells, style)


def _return(
    d: Draw, side: int, x: Interval, y: Interval, slab: Interval, style: Fronts, unit: float
) -> list[Part]:
    """The short limb of an L-shaped desk, towards the sitter."""
    wide, reach = d.between(0.4, 0.6), d.between(0.4, 0.9)
    span = (x[1] - wide, x[1]) if side > 0 else (x[0], x[0] + wide)
    fore = (y[0] - reach, y[0] + 0.02)
    parts = [box(span, fore, slab)]
    if d.chance(0.5):
        low = (fore[0], fore[0] + 1.5 * unit)
        return [*parts, box(span, low, (0.0, slab[1] - 0.01))]
    thick = 2.1 * unit
    return parts + [
        leg((sx, fore[0] + thick, slab[0] + 0.01), (sx, fore[0] + thick, 0), thick, thick)
        for sx in (span[0] + thick, span[1] - thick)
    ]
