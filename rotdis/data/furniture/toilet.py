"""Data, first stage: toilets: a bowl towards the front, a tank (or a pipe) at the back, a lid."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import Interval, Part, box, cylinder, loft, prism, soft_box, tube


def _egg(half: float, front: float, rear: float, power: float, points: int = 24) -> np.ndarray:
    """The (n, 2) outline of a bowl: pointed or round at -y, squarer at +y."""
    angle = np.arange(points) * 2 * np.pi / points
    cos, sin = np.cos(angle), np.sin(angle)
    x = half * np.sign(cos) * np.abs(cos) ** (2 / power)
    y = np.where(sin < 0, front, rear) * np.abs(sin) ** (2 / power)
    return np.stack([x, np.sign(sin) * y], 1)


def build(d: Draw) -> list[Part]:
    """Returns the parts of one toilet; one sits facing -y."""
    half, front, rear = d.between(0.17, 0.25), d.between(0.26, 0.42), d.between(0.16, 0.26)
    rim = d.between(0.34, 0.48)
    unit = np.sqrt(4 * half**2 + (front + rear + 0.2) ** 2 + 0.85**2) / 30
    power = d.between(2.0, 2.6) if d.chance(0.7) else d.between(3.5, 6)
    parts, hung = _bowl(d, half, front, rear, rim, power, unit)
    seat = rim + d.between(1.2, 2.0) * unit
    parts += _seat_and_lid(d, half, front, rear, (rim, seat), power, unit)
    parts += _flush(d, half, rear, rim, unit, hung)
    return parts


def _ring(outline: np.ndarray, scale: float, z: float, shift: float = 0.0, squash: float = 1.0):
    points = outline * np.array([scale * squash, scale]) + np.array([0.0, shift])
    return np.insert(points, 2, z, axis=1)


def _bowl(
    d: Draw, half: float, front: float, rear: float, rim: float, power: float, unit: float
) -> tuple[list[Part], bool]:
    outline = _egg(half, front, rear, power)
    wall = d.between(0.68, 0.8)  # the opening's size relative to the rim's outline
    floor = rim * d.between(0.35, 0.55)
    kind = d.pick("waist", "waist", "waist", "skirt", "cone", "hung", "hung")
    narrow = 0.85 if kind == "skirt" else 0.68
    hollow = [_ring(outline, wall, rim, -0.01), _ring(outline, wall * narrow, (rim + floor) / 2),
              _ring(outline, wall * 0.4, floor, 0.02)]  # fmt: skip
    if kind == "hung":  # the bowl hangs on the wall
        low = rim * d.between(0.25, 0.45)
        floor = max(floor, low + 1.5 * unit)
        hollow[2] = _ring(outline, wall * 0.4, floor, rear * 0.25)
        outer = [
            _ring(outline, 0.5, low, rear * 0.45),
            _ring(outline, 0.85, (low + rim) / 2, rear * 0.1),
        ]
    elif kind == "waist":
        waist, foot, back = d.between(0.4, 0.6), d.between(0.55, 0.8), rear * d.between(0.1, 0.5)
        level = rim * d.between(0.3, 0.5)
        outer = [_ring(outline, foot, 0.0, back), _ring(outline, foot, 1.2 * unit, back),
                 _ring(outline, waist, level, back), _ring(outline, 0.92, rim * 0.82)]  # fmt: skip
    elif kind == "skirt":
        foot = d.between(0.75, 0.95)
        outer = [_ring(outline, foot, 0.0, 0.03), _ring(outline, (1 + foot) / 2, rim * 0.5)]
    else:
        outer = [_ring(outline, d.between(0.45, 0.7), 0.0, rear * 0.3)]
    outer.append(_ring(outline, 1.0, rim - 1.3 * unit))
    outer.append(_ring(outline, 1.0, rim))
    parts = [loft(np.stack(outer + hollow))]
    if kind in ("waist", "cone"):  # the trapway behind the foot
        wide = half * d.between(0.45, 0.7)
        parts.append(box((-wide, wide), (0.0, rear + 0.08), (0.0, rim * d.between(0.6, 0.98))))
    return parts, kind == "hung"


def _seat_and_lid(
    d: Draw, half: float, front: float, rear: float, z: Interval, power: float, unit: float
) -> list[Part]:
    outline = _egg(half * 1.03, front * 1.03, rear * 0.9, power)
    opening = d.between(0.55, 0.68)
    kind = d.pick("open", "open", "open", "closed", "seat", "up", "none")
    thick = d.between(1.2, 2.0) * unit
    ring = _annulus(outline, opening, (z[0] - 0.01, z[1]))
    lean = d.between(0.0, 0.3)
    hinge = (0.0, rear * 0.85, z[1])
    lid = prism(outline, (z[1], z[1] + thick)).turned("x", -(np.pi / 2 + lean), hinge)
    if kind == "none":
        return []
    if kind == "closed":
        return [prism(outline, (z[0] - 0.01, z[1] + thick))]
    if kind == "seat":
        return [ring]
    if kind == "up":  # seat and lid both raised
        return [
            lid,
            ring.turned("x", -(np.pi / 2 + lean * 0.8), hinge).moved(y=-0.6 * unit, z=-1.2 * unit),
        ]
    return [ring, lid]


def _annulus(outline: np.ndarray, opening: float, z: Interval) -> Part:
    """A flat ring: a closed strip of sections around the hole, so it has no caps."""
    inner = outline * opening
    sections = np.stack(
        [np.insert(o, 2, h, axis=1) for o, h in
         ((outline, z[0]), (outline, z[1]), (inner, z[1]), (inner, z[0]))]
    )  # fmt: skip
    count = outline.shape[0]
    ring, point = np.mgrid[:4, :count]
    a, b = ring * count + point, ring * count + (point + 1) % count
    c, e = ((ring + 1) % 4) * count + (point + 1) % count, ((ring + 1) % 4) * count + point
    faces = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, e], -1).reshape(-1, 3)]
    )
    return Part(sections.reshape(-1, 3), faces)


def _flush(d: Draw, half: float, rear: float, rim: float, unit: float, hung: bool) -> list[Part]:
    """The cistern: on the bowl, behind it, in a frame, high on a pipe, or a bare valve."""
    kind = d.pick("tank", "tank", "tank", "soft", "taper", "one", "high", "valve")
    if hung:
        kind = d.pick("frame", "frame", "tank", "valve")
    wide = half * d.between(0.95, 1.35)
    deep = d.between(0.15, 0.24)
    y = (rear - 0.02, rear - 0.02 + deep)
    top = rim + d.between(0.25, 0.5)
    low = rim - d.between(0.0, 0.06)
    lid = box(
        (-wide * 1.06, wide * 1.06),
        (y[0] - 0.015, y[1] + 0.01),
        (top, top + d.between(1.2, 2) * unit),
    )
    side = d.side()
    at = side * wide * 0.65
    lever = box(tuple(sorted((at, at - side * 2.5 * unit))), (y[0] - 1.7 * unit, y[0] + 0.01),
                (top - 2.5 * unit, top - 1.0 * unit))  # fmt: skip
    button = cylinder(1.6 * unit, (top, top + 3.2 * unit), (0.0, (y[0] + y[1]) / 2))
    control = lever if d.chance(0.6) else button
    if kind == "tank":
        shelf = box((-half * 0.7, half * 0.7), (0.0, y[1]), (rim - 2.5 * unit, rim + 0.005))
        return [box((-wide, wide), y, (low, top + 0.005)), lid, control, shelf]
    if kind == "soft":
        return [soft_box((-wide, wide), y, (low, top), d.between(3, 6), 0.2), lever]
    if kind == "taper":
        outline = np.array([(-wide * 0.75, low), (wide * 0.75, low), (wide, top), (-wide, top)])
        return [prism(outline, y, "y"), lid, control]
    if kind == "one":  # bowl and tank cast in one piece, down to the floor
        body = soft_box((-wide * 0.85, wide * 0.85), y, (0.0, top), 5, 0.08)
        return [body, lid] if d.chance(0.6) else [body, button]
    if kind == "frame":  # a wall element
        broad = half * d.between(1.2, 2.0)
        wall = box(
            (-broad, broad),
            (rear - 0.03, rear + d.between(0.08, 0.2)),
            (0.0, top + d.between(0, 0.3)),
        )
        plate = box(
            (-0.4 * broad, 0.4 * broad),
            (rear - 0.03 - 1.3 * unit, rear),
            (top - 4 * unit, top - unit),
        )
        return [wall, plate]
    shelf = box(
        (-half * 0.6, half * 0.6), (0.0, y[1]), (0.0 if d.chance(0.4) else rim - 3 * unit, rim)
    )
    pipe_y = rear + 0.04
    if kind == "high":
        high = rim + d.between(0.35, 0.6)
        pipe = cylinder(d.between(1.3, 1.8) * unit, (rim - 0.05, high + 0.05), (0.0, pipe_y + 0.04))
        return [
            shelf,
            pipe,
            box((-wide, wide), (pipe_y - 0.06, pipe_y + 0.14), (high, high + d.between(0.2, 0.35))),
        ]
    tall = rim + d.between(0.15, 0.35)
    wall = box(
        (-half * 1.2, half * 1.2), (pipe_y + 0.05, pipe_y + 0.05 + 1.5 * unit), (0.0, tall + 0.1)
    )
    elbow = [(0.0, pipe_y, rim - 0.05), (0.0, pipe_y, tall), (side * 0.12, pipe_y, tall)]
    return [shelf, tube(elbow, 1.4 * unit, 8), wall]
