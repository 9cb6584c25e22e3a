"""Data, first stage: carcasses with drawers, doors and open compartments, shared by classes."""

import dataclasses

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, box, leg, prism, soft_box


@dataclasses.dataclass(frozen=True)
class Fronts:
    """How a cabinet's face looks, in the object's units.

    Attributes:
        gap: width of the groove between two fronts.
        relief: how far fronts stand out of the carcass.
        panel: thickness of the boards around open compartments.
        handle: "knob", "pair", "bar", "edge" (a lip along the top) or "none".
        size: a handle's thickness and how far it stands out.
        length: a bar's length as a share of its front's width.
    """

    gap: float
    relief: float
    panel: float
    handle: str
    size: float
    length: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One compartment: its borders as shares of the cabinet's width and height, and its kind.

    `kind` is "drawer", "left" or "right" (a door, named after the side of its handle) or "open".
    """

    x: Interval
    z: Interval
    kind: str


def draw_fronts(d: Draw, unit: float) -> Fronts:
    """Draws a face's style; `unit` is one voxel of a 32^3 grid, so that all of it stays visible."""
    return Fronts(
        gap=d.between(1.0, 1.9) * unit,
        relief=d.between(0.8, 2.0) * unit,
        panel=d.between(1.1, 1.8) * unit,
        handle=d.pick("knob", "pair", "bar", "bar", "edge", "none"),
        size=d.between(1.1, 2.2) * unit,
        length=d.between(0.25, 0.7),
    )


def cabinet(x: Interval, y: Interval, z: Interval, cells: list[Cell], style: Fronts) -> list[Part]:
    """Returns a cabinet that fills three intervals, handles standing out towards -y."""
    width, height, board = x[1] - x[0], z[1] - z[0], style.panel
    face = y[0] + style.relief
    parts = []
    for cell in cells:
        cx = tuple(x[0] + width * share for share in cell.x)
        cz = tuple(z[0] + height * share for share in cell.z)
        if cell.kind == "open":
            parts += [
                box(cx, (y[1] - board, y[1]), cz),
                box((cx[0], cx[0] + board), (y[0], y[1]), cz),
                box((cx[1] - board, cx[1]), (y[0], y[1]), cz),
                box(cx, (y[0], y[1]), (cz[0], cz[0] + board)),
                box(cx, (y[0], y[1]), (cz[1] - board, cz[1])),
            ]
        else:
            parts.append(box(cx, (face, y[1]), cz))
            half = min(style.gap / 2, 0.15 * min(cx[1] - cx[0], cz[1] - cz[0]))
            front_x, front_z = (cx[0] + half, cx[1] - half), (cz[0] + half, cz[1] - half)
            parts.append(box(front_x, (y[0], face + board), front_z))
            parts += _handles(front_x, y[0], front_z, cell.kind, style)
    return parts


def _handles(x: Interval, face: float, z: Interval, kind: str, style: Fronts) -> list[Part]:
    size, middle = min(style.size, 0.7 * (z[1] - z[0])), (x[0] + x[1]) / 2
    out = (face - size, face + 0.5 * size)
    if style.handle == "none":
        return []
    if kind in ("left", "right"):
        at = x[0] + 1.2 * size if kind == "left" else x[1] - 1.2 * size
        centre = (z[0] + z[1]) / 2
        reach = (
            size
            if style.handle in ("knob", "pair")
            else max(size, style.length * (z[1] - z[0]) / 2)
        )
        return [box((at - size / 2, at + size / 2), out, (centre - reach / 2, centre + reach / 2))]
    centre = (z[0] + z[1]) / 2
    if style.handle == "edge":
        return [box(x, out, (z[1] - size, z[1]))]
    if style.handle == "bar":
        half = max(size / 2, style.length * (x[1] - x[0]) / 2)
        return [box((middle - half, middle + half), out, (centre - size / 2, centre + size / 2))]
    apart = (x[1] - x[0]) * 0.28 if style.handle == "pair" and x[1] - x[0] > 5 * size else 0.0
    places = (middle - apart, middle + apart) if apart else (middle,)
    return [
        soft_box(
            (at - size * 0.6, at + size * 0.6), out, (centre - size * 0.6, centre + size * 0.6), 3
        )
        for at in places
    ]


def grid_cells(
    d: Draw, rows: int, columns: int, x: Interval = (0, 1), z: Interval = (0, 1)
) -> list[Cell]:
    """Returns a grid of drawers, unevenly high now and then, rows given from the bottom."""
    borders = d.shares(rows, 0.7 if d.chance(0.5) else 0.0)
    if d.chance(0.6):
        borders = np.concatenate([[0.0], np.cumsum(np.sort(np.diff(borders))[::-1])])
    split = d.shares(columns, 0.0)
    odd = d.pick("none", "none", "top", "bottom") if columns <= 2 else "none"
    cells = []
    for row in range(rows):
        here = split
        if (odd == "top" and row == rows - 1) or (odd == "bottom" and row == 0):
            here = d.shares(3 - columns + (columns == 2), 0.0)
        low, high = (z[0] + (z[1] - z[0]) * borders[row + i] for i in (0, 1))
        for left, right in zip(here[:-1], here[1:], strict=True):
            span = (x[0] + (x[1] - x[0]) * left, x[0] + (x[1] - x[0]) * right)
            cells.append(Cell(span, (low, high), "drawer"))
    return cells


def support(d: Draw, x: Interval, y: Interval, top: float, unit: float) -> list[Part]:
    """Returns what lifts a cabinet to the height `top`: legs, a plinth, runners or bracket feet."""
    if top < 0.8 * unit:
        return []
    kind = d.pick("legs", "legs", "splayed", "plinth", "runners", "bracket")
    thick = d.between(1.6, 2.6) * unit
    if kind == "plinth":
        return [box((x[0] * 0.93, x[1] * 0.93), (y[0] + 1.5 * unit, y[1]), (0.0, top + 0.1 * unit))]
    if kind == "runners":
        wide = (thick, -thick)
        return [box(tuple(sorted((sx, sx + w))), y, (0.0, top + 0.1 * unit))
                for sx, w in zip(x, wide, strict=True)]  # fmt: skip
    parts = []
    splay = d.between(1.0, 1.18) if kind == "splayed" else 1.0
    for sx in (x[0] + thick / 2, x[1] - thick / 2):
        for sy in (y[0] + thick / 2, y[1] - thick / 2):
            foot = (sx * splay, sy * splay, 0.0)
            parts.append(leg((sx, sy, top + 0.1 * unit), foot, thick, thick * d.between(0.8, 1.0),
                             kind == "splayed"))  # fmt: skip
    if kind == "bracket":
        low = top * d.between(0.3, 0.6)
        outline = np.array(
            [(x[0], low * 0.5), (0.0, top * 0.8), (x[1], low * 0.5), (x[1], top), (x[0], top)]
        )
        parts.append(prism(outline, (y[0], y[0] + 1.4 * unit), "y"))
    return parts
