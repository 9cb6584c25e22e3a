"""Data, first stage: dressers and chests of drawers, with or without a mirror."""

import numpy as np

from rotdis.data.furniture.cabinet import Cell, Fronts, cabinet, draw_fronts, grid_cells, support
from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, arch, box, oval, prism, tube


def build(d: Draw) -> list[Part]:
    """Returns the parts of one dresser; drawers open towards -y."""
    if d.chance(0.35):  # a tall chest
        width, height = d.between(0.5, 0.95), d.between(0.95, 1.6)
    else:
        width, height = d.between(0.9, 1.9), d.between(0.6, 1.05)
    depth = d.between(0.38, 0.68)
    unit = np.sqrt(width**2 + depth**2 + height**2) / 30
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    foot = d.between(1.0, 5.0) * unit if d.chance(0.65) else 0.0
    style = draw_fronts(d, unit)
    slab = d.between(1.1, 2.0) * unit
    parts = cabinet(x, y, (foot, height - slab), _layout(d, width, height), style)
    over = d.between(0.0, 1.8) * unit
    parts.append(box((x[0] - over, x[1] + over), (y[0] - over, y[1]), (height - slab, height)))
    parts += support(d, x, y, foot, unit)
    if d.chance(0.35):
        parts += _mirror(d, x, y[1], height, unit)
    elif d.chance(0.35):
        parts += _upper(d, x, y, height, style, unit)
    return parts


def _layout(d: Draw, width: float, height: float) -> list[Cell]:
    wide = width > 1.0
    kind = d.pick("grid", "grid", "grid", "doors", "centre", "shelf", "uneven")
    rows = d.whole(2, 5) if height > 0.9 else d.whole(2, 4)
    columns = d.whole(2, 3) if wide else d.whole(1, 2)
    if kind == "grid":
        return grid_cells(d, rows, columns)
    split = d.between(0.3, 0.7)
    if kind == "doors":  # drawers beside or above doors
        if wide and d.chance(0.6):
            door = Cell((0, split), (0, 1), "right")
            cells = [door, *grid_cells(d, rows, 1, (split, 1))]
            return cells if d.chance(0.5) else [_flip(cell) for cell in cells]
        doors = [Cell((0, 0.5), (0, split), "right"), Cell((0.5, 1), (0, split), "left")]
        return [*doors, *grid_cells(d, d.whole(1, 2), d.whole(1, 2), z=(split, 1))]
    if kind == "centre":  # a door between two columns of drawers
        a = d.between(0.25, 0.38)
        side = d.whole(2, rows)
        return [
            *grid_cells(d, side, 1, (0, a)),
            *grid_cells(d, side, 1, (1 - a, 1)),
            Cell((a, 1 - a), (0, 1), d.pick("left", "open", "drawer")),
        ]
    if kind == "shelf":  # an open compartment above, below or at one side
        where = d.pick("top", "bottom", "side")
        cut = d.between(0.25, 0.4)
        if where == "top":
            return [
                *grid_cells(d, rows, columns, z=(0, 1 - cut)),
                Cell((0, 1), (1 - cut, 1), "open"),
            ]
        if where == "bottom":
            return [*grid_cells(d, rows, columns, z=(cut, 1)), Cell((0, 1), (0, cut), "open")]
        cells = [
            *grid_cells(d, rows, 1, (split, 1)),
            Cell((0, split), (0, 0.5), "open"),
            Cell((0, split), (0.5, 1), "open"),
        ]
        return cells if d.chance(0.5) else [_flip(cell) for cell in cells]
    return [*grid_cells(d, rows, 1, (0, split)), *grid_cells(d, d.whole(2, 4), 1, (split, 1))]


def _flip(cell: Cell) -> Cell:
    kind = {"left": "right", "right": "left"}.get(cell.kind, cell.kind)
    return Cell((1 - cell.x[1], 1 - cell.x[0]), cell.z, kind)


def _mirror(d: Draw, x: Interval, rear: float, low: float, unit: float) -> list[Part]:
    half = x[1] * d.between(0.4, 0.95)
    tall = d.between(0.35, 0.9) * max(0.8, 2 * half)
    thick = d.between(1.5, 2.3) * unit
    y = (rear - thick, rear)
    kind = d.pick("plain", "arch", "oval", "triple", "swing")
    if kind == "plain":
        return [box((-half, half), y, (low - 0.01, low + tall))]
    if kind == "arch":
        return [
            prism(arch((-half, half), (low - 0.01, low + tall), d.between(0.3, 0.9) * half), y, "y")
        ]
    if kind == "oval":
        lift = low + d.between(0.0, 2.0) * unit
        foot = box((-half * 0.4, half * 0.4), y, (low - 0.01, lift + tall * 0.3))
        return [prism(oval((-half, half), (lift, lift + tall)), y, "y"), foot]
    if kind == "triple":
        middle = box((-half * 0.5, half * 0.5), y, (low - 0.01, low + tall))
        wing = box(
            (half * 0.5 - unit * 0.3, half), y, (low - 0.01, low + tall * d.between(0.6, 0.95))
        )
        wing = wing.turned("z", -d.between(0.2, 0.7), (half * 0.5, rear, 0.0))
        return [middle, wing, wing.mirrored()]
    lift = low + d.between(1.5, 3.0) * unit
    posts = [
        tube(
            [(sx, rear - thick / 2, low - 0.01), (sx, rear - thick / 2, lift + tall * 0.7)],
            thick * 0.6,
        )
        for sx in (-half, half)
    ]
    glass = box((-half, half), y, (lift, lift + tall))
    return [glass.turned("x", d.between(-0.2, 0.2), (0.0, rear, lift + tall / 2)), *posts]


def _upper(d: Draw, x: Interval, y: Interval, low: float, style: Fronts, unit: float) -> list[Part]:
    """A narrower or shallower second body on top."""
    a = x[0] * d.between(0.5, 1.0)
    b = x[1] * (d.between(0.5, 1.0) if d.chance(0.5) else -a / x[1])
    front = y[0] + (y[1] - y[0]) * d.between(0.2, 0.6)
    tall = d.between(4, 10) * unit
    kind = d.pick("drawer", "open")
    cells = (
        grid_cells(d, d.whole(1, 2), 2)
        if kind == "drawer"
        else [Cell((i / 2, i / 2 + 0.5), (0, 1), "open") for i in (0, 1)]
    )
    return cabinet((a, b), (front, y[1]), (low - 0.01, low + tall), cells, style)
