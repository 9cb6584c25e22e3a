"""Data, first stage: monitors: flat, curved, tubes and all-in-ones on all sorts of stands."""

import numpy as np

from rotdis.data.furniture.draw import Draw
from rotdis.data.furniture.parts import (
    Interval,
    Part,
    Point,
    arc_wall,
    beam,
    box,
    cylinder,
    loft,
    oval,
    prism,
    soft_box,
    tube,
)


def build(d: Draw) -> list[Part]:
    """Returns the parts of one monitor; its picture faces -y."""
    kind = d.pick(
        "flat", "flat", "flat", "flat", "curved", "tube", "tube", "all_in_one", "portrait", "dual"
    )
    if kind == "dual":
        return _dual(d)
    width = d.between(0.42, 0.75)
    height = width * d.between(0.42, 0.85)
    if kind == "portrait":
        width, height = height, width
    if kind == "curved":
        height = width * d.between(0.35, 0.55)
    if kind == "tube":
        height = width * d.between(0.7, 0.95)
    lift = d.between(0.04, 0.22)
    unit = np.sqrt(width**2 + (height + lift) ** 2) / 30
    x, z = (-width / 2, width / 2), (lift, lift + height)
    thick = d.between(1.9, 3.4) * unit
    if kind == "tube":
        head, behind = _tube(d, x, z, unit)
    elif kind == "curved":
        head, behind = _curved(x, z, thick, d.between(0.25, 0.7)), thick
    else:
        head, behind = _flat(d, x, z, thick, unit), thick
    if kind == "all_in_one":
        chin = height * d.between(0.15, 0.3)
        head.append(box(x, (0, thick), (z[0] - chin * 0.5, z[0] + chin)))
    if d.chance(0.12) and kind != "tube":  # loudspeakers at both sides
        wide = d.between(2, 4) * unit
        head += [
            box((s * x[1] - wide, s * x[1] + wide), (-0.5 * unit, thick * 1.2), z) for s in (-1, 1)
        ]
    middle = (0.0, behind, (z[0] + z[1]) / 2)
    tilt = -d.between(-0.05, 0.28)
    return [part.turned("x", tilt, middle) for part in head] + _stand(
        d, width, middle, z[0], behind, unit
    )


def _flat(d: Draw, x: Interval, z: Interval, thick: float, unit: float) -> list[Part]:
    bezel, sunk = d.between(1.1, 2.2) * unit, d.between(0.9, 1.4) * unit
    parts = [box(x, (sunk, sunk + max(thick - sunk, 1.8 * unit)), z)]
    if d.chance(0.7):  # a frame around the sunk picture
        low = bezel * d.between(1.0, 2.2)
        y = (0.0, sunk + unit)
        parts += [
            box((x[0], x[0] + bezel), y, z),
            box((x[1] - bezel, x[1]), y, z),
            box(x, y, (z[0], z[0] + low)),
            box(x, y, (z[1] - bezel, z[1])),
        ]
    hump = d.pick("box", "box", "soft", "wedge", "none")
    share, tall = d.between(0.3, 0.75), d.between(0.35, 0.8)
    out = thick + d.between(1.0, 4.0) * unit
    hx = (x[0] * share, x[1] * share)
    middle, half = (z[0] + z[1]) / 2, tall * (z[1] - z[0]) / 2
    hz = (middle - half, middle + half * d.between(0.4, 1.0))
    if hump == "box":
        parts.append(box(hx, (thick - 0.2 * unit, out), hz))
    elif hump == "soft":
        parts.append(soft_box(hx, (thick - 1.5 * unit, out), hz, 6, 0.4))
    elif hump == "wedge":
        outline = np.array([(thick - 0.2 * unit, z[0]), (out, z[0]), (thick - 0.2 * unit, z[1])])
        parts.append(prism(outline, hx, "x"))
    return parts


def _curved(x: Interval, z: Interval, thick: float, bend: float) -> list[Part]:
    radius = (x[1] - x[0]) / (2 * np.sin(bend))
    wall = arc_wall((radius, radius), (np.pi / 2 - bend, np.pi / 2 + bend), thick, z)
    return [wall.moved(y=thick - radius)]


def _tube(d: Draw, x: Interval, z: Interval, unit: float) -> tuple[list[Part], float]:
    """A cathode-ray tube: a box that narrows towards the back."""
    deep = (x[1] - x[0]) * d.between(0.65, 1.05)
    front = deep * d.between(0.15, 0.5)
    middle = np.array([0.0, (z[0] + z[1]) / 2])
    shrink, drop = d.between(0.4, 0.75), d.between(-0.12, 0.02) * (z[1] - z[0])
    ring = oval(x, z, d.pick(6, 12, 20), 20)
    back = middle + (ring - middle) * shrink + np.array([0.0, drop])
    sections = [
        (ring, 0.0),
        (ring, front),
        (back, deep * 0.95),
        (middle + (back - middle) * 0.8, deep),
    ]
    body = loft(np.stack([np.insert(section, 1, at, axis=1) for section, at in sections]))
    bezel, out = d.between(1.2, 2.4) * unit, -d.between(0.9, 1.6) * unit
    y = (out, unit)
    frame = [
        box((x[0], x[0] + bezel), y, z),
        box((x[1] - bezel, x[1]), y, z),
        box(x, y, (z[0], z[0] + bezel * 1.8)),
        box(x, y, (z[1] - bezel, z[1])),
    ]
    return [body, *(frame if d.chance(0.8) else [])], deep * 0.5


def _stand(
    d: Draw, width: float, mount: Point, low: float, behind: float, unit: float
) -> list[Part]:
    kind = d.pick("round", "plate", "plate", "vee", "feet", "arch", "easel", "block", "bent")
    reach = width * d.between(0.2, 0.42)
    thick = d.between(1.4, 2.2) * unit
    neck = width * d.between(0.05, 0.18)
    neck = max(neck, 0.9 * unit)
    at = mount[1] + d.between(0.0, 1.5) * unit
    front, rear = at - reach * d.between(0.6, 1.0), at + reach * d.between(0.3, 0.7)
    column = box((-neck, neck), (at - 0.8 * unit, at + 1.2 * unit), (0.0, mount[2]))
    if kind == "round":
        return [prism(oval((-reach, reach), (front, rear)), (0.0, thick)), column]
    if kind == "plate":
        base = oval((-reach, reach), (front, rear), d.between(4, 14))
        return [prism(base, (0.0, thick)), column]
    if kind == "vee":
        start = (0.0, at, thick / 2)
        spread = reach * d.between(0.8, 1.2)
        legs = [beam(start, (s * spread, front, thick / 2), thick * 1.2) for s in (-1, 1)]
        return [*legs, beam(start, (0.0, rear, thick / 2), thick * 1.2), column]
    if kind == "feet":  # two separate feet
        foot = width * d.between(0.25, 0.42)
        parts = []
        for cx in (-foot, foot):
            parts.append(box((cx - thick * 0.7, cx + thick * 0.7), (front, rear), (0.0, thick)))
            parts.append(
                box(
                    (cx - thick * 0.7, cx + thick * 0.7),
                    (0.0, behind + unit),
                    (0.0, low + 2 * unit),
                )
            )
        return parts
    if kind == "arch":  # a bent bow behind the screen
        path = [
            (-reach, front, thick / 2),
            (-reach, rear, thick / 2),
            (-reach * 0.6, at + unit, mount[2]),
            (reach * 0.6, at + unit, mount[2]),
            (reach, rear, thick / 2),
            (reach, front, thick / 2),
        ]
        return [tube(path, thick * 0.7, 6)]
    if kind == "easel":
        return [
            beam((0.0, at, mount[2]), (0.0, rear + reach * 0.5, thick / 2), 2 * neck),
            box((-reach, reach), (front * 0.5, behind), (0.0, low + thick)),
        ]
    if kind == "block":
        return [
            prism(oval((-neck * 1.8, neck * 1.8), (front, rear), 5), (0.0, thick * 1.5)),
            cylinder(max(neck, 1.2 * unit), (0.0, mount[2]), (0.0, at + unit)),
        ]
    wide = width * d.between(0.15, 0.3)  # a bent sheet, foot and neck in one
    return [
        box((-wide, wide), (front, rear), (0.0, thick)),
        box((-wide, wide), (-0.6 * thick, 0.6 * thick), (0.0, np.hypot(mount[2], rear - at)))
        .turned("x", np.arctan2(rear - at, mount[2]))
        .moved(y=rear),
    ]


def _dual(d: Draw) -> list[Part]:
    """Two screens side by side, turned towards the viewer, on one stand."""
    width = d.between(0.42, 0.6)
    height = width * d.between(0.5, 0.75)
    unit = 2 * width / 30
    lift, thick = d.between(0.06, 0.2), d.between(1.8, 2.6) * unit
    turn, gap = d.between(0.0, 0.35), 0.6 * unit
    screen = box((gap, width), (0.0, thick), (lift, lift + height)).turned("z", -turn)
    other = screen.mirrored()
    if d.chance(0.3):  # one of the two on end
        tall = box((gap, height), (0.0, thick), (lift - 0.02, lift - 0.02 + width)).turned(
            "z", -turn
        )
        other = tall.mirrored()
    return (
        [screen, other]
        + _stand(d, width, (0.0, thick, lift + height / 2), lift, thick, unit)
        + [
            box(
                (-width * 0.5, width * 0.5),
                (thick * 0.5, thick * 0.5 + 1.6 * unit),
                (lift + height * 0.45, lift + height * 0.6),
            )
        ]
    )
