"""Data, first stage: the closed solids that the embedded furniture is put together from.

Every part is watertight with outward winding: parts may overlap, and a point is inside the object
where the winding number of all parts together exceeds one half. Axes: x to the side, -y to the
front, z up. Nothing here needs more than NumPy.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

Interval = tuple[float, float]
Point = Sequence[float]


@dataclasses.dataclass(frozen=True)
class Part:
    """A closed triangle mesh: watertight, consistently wound, its normals pointing outwards."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Part":
        """Returns the part, shifted."""
        return Part(self.vertices + np.array([x, y, z]), self.faces)

    def turned(self, axis: str, angle: float, about: Point = (0.0, 0.0, 0.0)) -> "Part":
        """Returns the part, turned by `angle` radians about the axis "x", "y" or "z" at `about`."""
        i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        cos, sin = np.cos(angle), np.sin(angle)
        offset = self.vertices - np.asarray(about)
        vertices = offset.copy()
        vertices[:, i] = cos * offset[:, i] - sin * offset[:, j]
        vertices[:, j] = sin * offset[:, i] + cos * offset[:, j]
        return Part(vertices + np.asarray(about), self.faces)

    def mirrored(self) -> "Part":
        """Returns the part reflected in the plane x = 0, still wound outwards."""
        return Part(self.vertices * np.array([-1.0, 1.0, 1.0]), self.faces[:, ::-1])


@functools.lru_cache(maxsize=256)
def _loft_faces(num_rings: int, num_points: int) -> Int[np.ndarray, "f 3"]:
    ring, point = np.mgrid[: num_rings - 1, :num_points]
    a = (ring * num_points + point).ravel()
    b = (ring * num_points + (point + 1) % num_points).ravel()
    sides = [np.stack([a, b, b + num_points], 1), np.stack([a, b + num_points, a + num_points], 1)]
    here, after = np.arange(num_points), np.roll(np.arange(num_points), -1)
    first, last = num_rings * num_points, num_rings * num_points + 1
    end = (num_rings - 1) * num_points
    caps = [
        np.stack([after, here, np.full(num_points, first)], 1),
        np.stack([here + end, after + end, np.full(num_points, last)], 1),
    ]
    return np.concatenate(sides + caps)


def loft(rings: Float[np.ndarray, "k n 3"]) -> Part:
    """Returns the solid through a sequence of closed rings, its two ends capped.

    The rings may also turn back inside themselves, which makes a hollow vessel. Each end must be
    star-shaped about its mean point.
    """
    rings = np.asarray(rings, dtype=np.float64)
    num_rings, num_points = rings.shape[:2]
    vertices = np.concatenate(
        [rings.reshape(-1, 3), rings[0].mean(0)[None], rings[-1].mean(0)[None]]
    )
    faces = _loft_faces(num_rings, num_points)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) < 0:
        faces = faces[:, ::-1]
    return Part(vertices, faces)


_BOX_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])


def box(x: Interval, y: Interval, z: Interval) -> Part:
    """Returns the box between the ends of three intervals."""
    ring = np.stack([np.take(x, _BOX_CORNERS[:, 0]), np.take(y, _BOX_CORNERS[:, 1])], 1)
    return prism(ring, z)


def prism(outline: Float[np.ndarray, "n 2"], along: Interval, axis: str = "z") -> Part:
    """Returns a flat outline, star-shaped about its mean, extruded along an axis.

    The outline holds (x, y) for axis "z", (x, z) for axis "y" and (y, z) for axis "x".
    """
    rings = [np.insert(outline, "xyz".index(axis), end, axis=1) for end in along]
    return loft(np.stack(rings))


def oval(x: Interval, y: Interval, power: float = 2.0, points: int = 24) -> np.ndarray:
    """Returns the (n, 2) superellipse that fills a rectangle.

    Power 2 is an ellipse, 4 a rounded rectangle, 10 nearly the rectangle itself.
    """
    angle = (np.arange(points) + 0.5) * 2 * np.pi / points
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    unit = np.sign(unit) * np.abs(unit) ** (2 / power)
    centre = np.array([x[0] + x[1], y[0] + y[1]]) / 2
    return centre + unit * np.array([x[1] - x[0], y[1] - y[0]]) / 2


def arch(x: Interval, z: Interval, rise: float, points: int = 13) -> np.ndarray:
    """Returns the (n, 2) outline of a rectangle whose top edge bulges to `z[1]` by `rise`."""
    t = np.linspace(1, -1, points)
    middle, half = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    top = np.stack([middle + half * t, z[1] - rise * t**2], 1)
    return np.concatenate([[[x[0], z[0]], [x[1], z[0]]], top])


def soft_box(x: Interval, y: Interval, z: Interval, power: float = 5.0, edge: float = 0.3) -> Part:
    """Returns a cushion: a superellipse in plan whose upper and lower `edge` share is rounded."""
    heights = np.array([-1.0, -1 + edge * 0.3, -1 + edge, 1 - edge, 1 - edge * 0.3, 1.0])
    scales = 1 - edge * np.array([0.75, 0.3, 0.0, 0.0, 0.3, 0.75])
    ring = oval((-1, 1), (-1, 1), power, 20)
    half = np.array([x[1] - x[0], y[1] - y[0], z[1] - z[0]]) / 2
    rings = np.concatenate(
        [ring[None] * scales[:, None, None], np.broadcast_to(heights[:, None, None], (6, 20, 1))], 2
    )
    return loft(rings * half + np.array([x[0] + x[1], y[0] + y[1], z[0] + z[1]]) / 2)


def revolve(profile: Sequence[Point], centre: Point = (0.0, 0.0), points: int = 20) -> Part:
    """Returns the solid of revolution of (radius > 0, z) pairs about a vertical axis."""
    radius, z = np.asarray(profile, dtype=np.float64).T
    angle = np.arange(points) * 2 * np.pi / points
    rings = np.stack(
        [
            centre[0] + radius[:, None] * np.cos(angle),
            centre[1] + radius[:, None] * np.sin(angle),
            np.broadcast_to(z[:, None], (len(z), points)),
        ],
        axis=-1,
    )
    return loft(rings)


def cylinder(radius: float, z: Interval, centre: Point = (0.0, 0.0)) -> Part:
    """Returns an upright cylinder."""
    return revolve([(radius, z[0]), (radius, z[1])], centre)


def leg(top: Point, foot: Point, width: float, foot_width: float, round_: bool = False) -> Part:
    """Returns a straight post between two points, cut level at both ends, square or round."""
    points = 10 if round_ else 4
    angle = np.arange(points) * 2 * np.pi / points + np.pi / points
    unit = np.stack([np.cos(angle), np.sin(angle), np.zeros(points)], 1) / np.cos(np.pi / points)
    ends = ((foot, foot_width), (top, width))
    return loft(np.stack([np.asarray(at) + unit * size / 2 for at, size in ends]))


def tube(path: Sequence[Point], radius: float, sides: int = 8) -> Part:
    """Returns a tube of constant radius along a path of two or more points."""
    path = np.asarray(path, dtype=np.float64)
    ahead = np.diff(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    tangent = np.concatenate([ahead[:1], ahead[:-1] + ahead[1:], ahead[-1:]])
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    angle = np.arange(sides) * 2 * np.pi / sides + np.pi / sides
    rings = []
    for i, (at, direction) in enumerate(zip(path, tangent, strict=True)):
        for along in (
            ahead[max(i - 1, 0)],
            direction,
        ):  # carry the frame over half a bend at a time
            normal = normal - along * (normal @ along)
            normal /= np.linalg.norm(normal)
        side = np.cross(direction, normal)
        ring = radius * (np.outer(np.cos(angle), normal) + np.outer(np.sin(angle), side))
        if 0 < i < len(path) - 1:  # mitre the bend, or the tube would be thinner on both sides
            cos = direction @ ahead[i]
            bend = ahead[i] - direction * cos
            bend /= np.linalg.norm(bend) + 1e-12
            ring += np.outer(ring @ bend, bend) * (1 / cos - 1)
        rings.append(at + ring)
    return loft(np.stack(rings))


def beam(start: Point, end: Point, width: float) -> Part:
    """Returns a bar of square section between two points."""
    return tube([start, end], width * np.sqrt(0.5), sides=4)


def arc_wall(
    radii: Point,
    angles: Interval,
    thickness: float,
    z: Interval,
    flare: float = 0.0,
    z_end: float | None = None,
    steps: int = 14,
) -> Part:
    """Returns an upright curved wall along an ellipse about the origin.

    Args:
        radii: the outer ellipse's half axes along x and y.
        angles: where the wall starts and ends, radians from +x towards +y.
        thickness: measured inwards.
        z: lower and upper edge, the upper one at the wall's middle.
        flare: how far the upper edge leans outwards, as a share of the radii.
        z_end: height of the upper edge at both ends of the wall (that of its middle if None).
        steps: number of sections.
    """
    t = np.linspace(-1, 1, steps)
    angle = (angles[0] + angles[1]) / 2 + t * (angles[1] - angles[0]) / 2
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    outer, inner = direction * np.asarray(radii), direction * (np.asarray(radii) - thickness)
    low = np.full((steps, 1), z[0])
    top = z[1] + (0.0 if z_end is None else z_end - z[1]) * np.abs(t[:, None]) ** 3
    lean = direction * np.asarray(radii) * flare
    corners = [
        np.concatenate([inner, low], 1), np.concatenate([outer, low], 1),
        np.concatenate([outer + lean, top], 1), np.concatenate([inner + lean, top], 1),
    ]  # fmt: skip
    return loft(np.stack(corners, axis=1))


def spread(lo: float, hi: float, count: int, gap: float) -> list[Interval]:
    """Returns `count` equal intervals from `lo` to `hi` with gaps between them."""
    size = (hi - lo - gap * (count - 1)) / count
    return [(lo + i * (size + gap), lo + i * (size + gap) + size) for i in range(count)]
