"""Data, first stage: bathtubs: hollow shells with taps at one end (+x), entered from -y."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, box, cylinder, leg, loft, oval, prism, tube


def build(d: Draw) -> list[Part]:
    """Returns the parts of one bathtub; the taps are at +x, one steps in from -y."""
    kind = d.pick(
        "built_in", "built_in", "oval", "oval", "claw", "slipper", "corner", "round", "deck"
    )
    length, width, height = d.between(1.35, 2.0), d.between(0.65, 1.05), d.between(0.42, 0.75)
    if kind == "round":
        width = length = d.between(1.2, 1.7)
    elif kind == "corner":
        width = length * d.between(0.75, 1.0)
    unit = np.sqrt(length**2 + width**2 + height**2) / 30
    x, y = (-length / 2, length / 2), (-width / 2, width / 2)
    foot = (
        d.between(2.0, 4.5) * unit if kind == "claw" or (kind == "oval" and d.chance(0.3)) else 0.0
    )
    outline = _outline(d, kind, x, y)
    flare = (
        d.between(0.62, 0.9)
        if kind in ("oval", "claw", "slipper", "round")
        else d.between(0.9, 1.0)
    )
    wall = d.between(1.5, 2.8) * unit
    parts = [_shell(d, kind, outline, (foot, height), flare, wall, unit)]
    if foot:
        for sx in (-0.62, 0.62):
            for sy in (-0.55, 0.55):
                top = (sx * length * 0.45, sy * width * 0.6, foot + 3 * unit)
                end = (sx * length * 0.52, sy * width * 0.75, 0.0)
                parts.append(leg(top, end, 2.2 * unit, d.between(1.6, 2.4) * unit, True))
    if kind == "oval" and not foot and d.chance(0.4):  # a plinth
        parts.append(prism(outline * flare * 0.92, (-1.3 * unit, 0.1 * unit)))
    if kind == "deck":
        parts += _deck(d, x, y, height, unit)
    parts += _taps(d, outline, height, wall, unit, kind)
    extra = d.pick("none", "none", "none", "screen", "pillow", "tray", "step", "rail")
    if extra == "screen" and kind in ("built_in", "deck"):
        part = d.between(0.3, 0.6) * length
        parts.append(
            box(
                (x[1] - part, x[1]),
                (y[0], y[0] + 1.3 * unit),
                (height - 0.01, height + d.between(0.4, 0.9)),
            )
        )
    elif extra == "pillow":
        parts.append(
            box(
                (x[0] + 0.02, x[0] + 4 * unit),
                (-3 * unit, 3 * unit),
                (height - unit, height + 1.6 * unit),
            )
        )
    elif extra == "tray":
        at = d.between(-0.3, 0.1) * length
        parts.append(
            box(
                (at, at + d.between(2.5, 5) * unit),
                (y[0], y[1]),
                (height - 0.3 * unit, height + 1.2 * unit),
            )
        )
    elif extra == "step" and kind != "claw":
        at = d.between(-0.2, 0.2) * length
        parts.append(
            box(
                (at - 0.3, at + 0.3),
                (y[0] - d.between(0.2, 0.3), y[0] + 0.15),
                (0.0, height * d.between(0.3, 0.5)),
            )
        )
    elif extra == "rail":
        at = d.between(-0.25, 0.15) * length
        path = [
            (at, y[0] + wall / 2, height - 0.02),
            (at, y[0] + wall / 2, height + 4 * unit),
            (at + 5 * unit, y[0] + wall / 2, height + 4 * unit),
            (at + 5 * unit, y[0] + wall / 2, height - 0.02),
        ]
        parts.append(tube(path, 0.9 * unit, 6))
    return parts


def _outline(d: Draw, kind: str, x: Interval, y: Interval) -> np.ndarray:
    """The (n, 2) outline of the rim, 32 points."""
    if kind in ("built_in", "deck"):
        return oval(x, y, d.between(14, 30), 32)
    if kind == "corner":  # straight along two walls (+x, +y), rounded at the free corner
        square, rounded = oval(x, y, 16, 32), oval(x, y, d.between(1.5, 2.6), 32)
        return np.where((square < 0).all(1, keepdims=True), rounded, square)
    ring = oval(x, y, d.between(2.0, 3.6), 32)
    if kind in ("claw", "slipper", "oval") and d.chance(0.5):  # narrower towards the taps
        ring = (
            ring
            * np.array([1.0, 1.0])
            * np.stack([np.ones(32), 1 - d.between(0.05, 0.15) * (1 + ring[:, 0] / x[1])], 1)
        )
    return ring


def _shell(
    d: Draw, kind: str, outline: np.ndarray, z: Interval, flare: float, wall: float, unit: float
) -> Part:
    low, high = z
    span = outline.max(0)
    inset = 1 - wall / span  # the rim, the same width all around
    if kind in ("built_in", "corner", "deck"):
        inset = inset - np.array([d.between(0.0, 0.10), d.between(0.0, 0.12)])
        power = d.between(2.5, 8)
        inner = oval((-1, 1), (-1, 1), power, 32) * span * inset
        if kind == "corner":
            inner = outline * inset
    else:
        inner = outline * inset
    floor = low + max(2.0 * unit, (high - low) * d.between(0.12, 0.25))
    slope = d.between(0.7, 0.9)
    recline = d.between(0.0, 0.12) * span[0]  # the floor starts nearer to the taps
    raise_ = np.zeros(len(outline))
    if kind == "slipper":  # one end, or both, rises
        t = outline[:, 0] / span[0]
        both = d.chance(0.3)
        raise_ = d.between(0.12, 0.35) * (t**2 if both else np.clip(-t, 0, 1) ** 1.5)
    belly = d.between(flare, 1.0)

    def ring(points, scale, height, shift=0.0, lift=0.0):
        moved = points * scale + np.array([shift, 0.0])
        return np.concatenate([moved, (height + lift * raise_)[:, None]], 1)

    middle = (low + high) / 2
    return loft(np.stack([
        ring(outline, flare, low),
        ring(outline, belly, middle, lift=0.4),
        ring(outline, 1.0, high, lift=1.0),
        ring(inner, 1.0, high, lift=1.0),
        ring(inner, (1 + slope) / 2 * belly, (floor + high) / 2, recline / 2, 0.4),
        ring(inner, slope * flare, floor, recline),
    ]))  # fmt: skip


def _deck(d: Draw, x: Interval, y: Interval, height: float, unit: float) -> list[Part]:
    """A surround: ledges along the wall side, and at one or both ends."""
    wide = d.between(2.5, 5) * unit
    top = height + (d.between(1.2, 2.5) * unit if d.chance(0.5) else 0.0)
    parts = [box((x[0], x[1] + wide), (y[1] - 0.01, y[1] + wide), (0.0, top))]
    parts.append(box((x[1] - 0.01, x[1] + wide), y, (0.0, top)))
    if d.chance(0.4):
        parts.append(box((x[0] - wide, x[0] + 0.01), (y[0], y[1] + wide), (0.0, top)))
    return parts


def _taps(
    d: Draw, outline: np.ndarray, height: float, wall: float, unit: float, kind: str
) -> list[Part]:
    x, y = ((-reach, reach) for reach in outline.max(0))
    style = d.pick("spout", "spout", "pair", "column", "wall", "bridge")
    at, radius = x[1] - max(wall / 2, unit), d.between(0.9, 1.3) * unit
    up, reach = d.between(2.5, 5.0) * unit, d.between(3, 6) * unit
    if style == "wall" and kind in ("built_in", "deck", "corner"):  # a tiled wall behind the taps
        back = x[1] - 0.01
        slab = box(
            (back, back + 1.5 * unit), (y[0] * 0.9, y[1] * 0.9), (0.0, height + d.between(0.2, 0.8))
        )
        spout = tube([(back, 0, height + up * 0.7), (back - reach, 0, height + up * 0.7)], radius)
        return [slab, spout]
    if style == "column":  # stands on the floor beside the tub
        mid = d.between(0.0, 0.5) * x[1]
        side = np.interp(mid, *_side(outline, axis=0)) + (0.3 if kind != "deck" else 0.0) * radius
        path = [(mid, side, 0.0), (mid, side, height + up), (mid, side - reach, height + up)]
        return [tube(path, radius), cylinder(2 * radius, (0.0, unit), (mid, side))]
    path = [(at, 0.0, height - unit), (at, 0.0, height + up), (at - reach, 0.0, height + up)]
    if d.chance(0.5):
        path.append((at - reach, 0.0, height + up * 0.4))
    parts = [tube(path, radius)]
    apart = d.between(3, 4.5) * unit
    if style in ("pair", "bridge"):
        for side in (-apart, apart):
            edge = np.interp(apart, *_side(outline, axis=1)) - (x[1] - at)
            parts.append(cylinder(radius * 1.2, (height - unit, height + 2.2 * unit), (edge, side)))
    if style == "bridge":
        parts.append(
            box((at - radius, at + radius), (-apart, apart), (height + unit, height + 2.3 * unit))
        )
    return parts


def _side(outline: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The outline's quarter at +x, +y, as a function of one coordinate."""
    quarter = outline[(outline > 0).all(1)]
    quarter = quarter[np.argsort(quarter[:, axis])]
    return quarter[:, axis], quarter[:, 1 - axis]
