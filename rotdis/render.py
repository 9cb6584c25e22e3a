"""Pictures of voxel grids for TensorBoard and the report: the evaluate and report stages call it.

A picture needs no display and no GPU: the volume is smoothed and refined with a cubic B-spline,
its surface extracted by marching cubes, lit vertex by vertex (key, fill and sky light, shadow,
ambient occlusion), and rasterized into a z-buffer in NumPy at twice the size that is returned.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import ndimage

INPUT_COLOR = (0.42, 0.52, 0.64)
CANONICAL_COLOR = (0.92, 0.62, 0.22)
RECONSTRUCTION_COLOR = (0.28, 0.60, 0.50)

_AZIMUTH, _ELEVATION = np.radians(-58.0), np.radians(24.0)  # from the front (-y), right and above
_CAMERA_DISTANCE = 5.0  # in radii of the grid's inscribed ball: a mild perspective
_FIT = 0.97  # of that radius is in the picture: objects are normalized to 0.95
LEVEL = 0.4  # of the smoothed field: the spline lowers a line of single voxels to 0.44
_REFINED_SIDE = 64  # marching cubes runs on about this many samples a side
_SUPERSAMPLE = 2
_MARGIN = 2  # voxels around the grid, for what smoothing spreads


@dataclasses.dataclass(frozen=True)
class Surface:
    """A surface for the eye, vertex by vertex.

    Attributes:
        vertices: in voxels from the grid's centre.
        faces: triangles, wound so that they face outwards.
        normals: of length one, outwards, smoother than the faces.
        light: share of the ambient light that reaches the vertex.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "n 3"]
    light: Float[np.ndarray, " n"]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _camera_axes() -> Float[np.ndarray, "3 3"]:
    """Returns rows right, up, and towards the camera."""
    toward = np.array(
        [
            np.cos(_ELEVATION) * np.cos(_AZIMUTH),
            np.cos(_ELEVATION) * np.sin(_AZIMUTH),
            np.sin(_ELEVATION),
        ]
    )
    right = _unit(np.cross([0.0, 0.0, 1.0], toward))
    return np.stack([right, np.cross(toward, right), toward])


_CAMERA = _camera_axes()
# Lights stand with the camera: key from the upper left, fill from the right, both in front.
_KEY = _unit(np.array([-0.55, 0.75, 0.65])) @ _CAMERA
_FILL = _unit(np.array([0.85, 0.05, 0.55])) @ _CAMERA


def render_voxels(
    volume: Float[np.ndarray, "d d d"],
    size: tuple[int, int] = (160, 160),
    color: tuple[float, float, float] = INPUT_COLOR,
    *,
    transparent: bool = False,
) -> UInt8[np.ndarray, "h w _"]:
    """Draws the surface where occupancy crosses one half, seen from a fixed three-quarter view.

    The z axis points up and the camera looks at the front (-y) from the right and above. The
    scale is fixed too, so pictures can be compared: a normalized object's ball just fits.

    Args:
        volume: occupancy (or its probability) in [0, 1].
        size: height and width of the picture in pixels.
        color: the material's sRGB colour, each in [0, 1].
        transparent: whether to leave the background out.

    Returns:
        The picture, RGB on white or, where transparent, RGBA with the background's alpha zero; all
        background where no voxel reaches one half.
    """
    height, width = size
    volume = np.nan_to_num(np.asarray(volume, np.float32))
    if volume.max(initial=0.0) < 0.5:
        return np.full((height, width, 4), (255, 255, 255, 0), np.uint8)[..., : 3 + transparent]
    vertices, faces, shade = _lit_surface(volume, np.asarray(color))
    scale = _SUPERSAMPLE * min(height, width) / 2
    pixels, depth = _project(vertices, volume.shape[0] / 2, scale)
    pixels += np.array([width, height]) * _SUPERSAMPLE / 2
    canvas = _rasterize(pixels, depth, shade, faces, height * _SUPERSAMPLE, width * _SUPERSAMPLE)
    canvas = canvas.reshape(height, _SUPERSAMPLE, width, _SUPERSAMPLE, 4).mean((1, 3))
    color, alpha = canvas[..., :3], canvas[..., 3:]
    if transparent:  # the colour is of the covered part of a pixel alone
        canvas = np.concatenate([color / np.maximum(alpha, 1e-6), alpha], axis=-1)
    else:
        canvas = color + 1 - alpha
    return np.rint(255 * np.clip(canvas, 0.0, 1.0)).astype(np.uint8)


def smooth_surface(volume: Float[np.ndarray, "d d d"]) -> Surface:
    """Returns the surface where occupancy crosses one half, smoothed for the eye.

    It is finer than the grid and without its staircase; for the surface at 0.5 itself, closed and
    unsmoothed, see `surfaces.surface`.

    Args:
        volume: occupancy (or its probability) in [0, 1].
    """
    return _surface_of(np.pad(surface_field(volume), _MARGIN), volume.shape[0])


def surface_field(volume: Float[np.ndarray, "d d d"]) -> Float[np.ndarray, "d d d"]:
    """Returns the coefficients, in [0, 1.7], of the spline whose surface at `LEVEL` is drawn."""
    sharpened = np.clip(2 * volume - 0.5, 0, 1)  # vague probabilities under a half vanish
    thin = sharpened - ndimage.grey_opening(sharpened, size=2)
    return sharpened + 0.7 * thin  # legs one voxel thick outlive the smoothing


def _surface_of(padded: np.ndarray, side: int) -> Surface:
    from skimage.measure import marching_cubes  # here: it takes a second to import

    factor = max(1, round(_REFINED_SIDE / side))
    field = _refine(padded, factor)
    if field.max() <= LEVEL:
        empty = np.zeros((0, 3))
        return Surface(empty, np.zeros((0, 3), np.int64), empty, np.zeros(0))
    vertices, faces, _, _ = marching_cubes(field, LEVEL)
    vertices = vertices / factor  # in voxels of the padded grid

    # Normals come from a softer field than the surface, which hides the voxels' staircase.
    soft = ndimage.gaussian_filter(padded, 0.8)
    normals = -_unit(np.stack([_sample(g, vertices) for g in np.gradient(soft)], axis=-1))
    light = _sky_light(padded, vertices, normals)
    # Wound the other way round, the faces' normals point outwards.
    return Surface(vertices - _MARGIN - (side - 1) / 2, faces[:, ::-1], normals, light)


def _lit_surface(volume: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns vertices (n, 3) about the grid's centre, faces (m, 3), sRGB colours (n, 3)."""
    side = volume.shape[0]
    padded = np.pad(surface_field(volume), _MARGIN)
    surface = _surface_of(padded, side)
    normals, light = surface.normals, surface.light
    if not len(surface.vertices):
        return surface.vertices, surface.faces, normals
    shadow = _shadow(padded, surface.vertices + _MARGIN + (side - 1) / 2, normals)
    key = np.clip(normals @ _KEY, 0, None) * shadow
    fill = np.clip(0.3 + 0.7 * (normals @ _FILL), 0, None)
    half = _unit(_KEY + _CAMERA[2])
    gloss = np.clip(normals @ half, 0, None) ** 24 * shadow
    rim = (1 - np.clip(normals @ _CAMERA[2], 0, 1)) ** 3
    strength = light * (0.25 + 0.10 * normals[:, 2] + 0.17 * fill) + 0.74 * key
    linear = strength[:, None] * (color**2.2) + (0.07 * gloss + 0.05 * rim * light)[:, None]
    shade = np.clip(linear, 0, 1) ** (1 / 2.2)
    return surface.vertices, surface.faces, shade


def _refine(volume: np.ndarray, factor: int) -> np.ndarray:
    """Evaluates the cubic B-spline with the voxels as its coefficients, `factor` times as finely.

    Without a prefilter the spline smooths (1/6, 2/3, 1/6 at the voxels) and is twice
    differentiable. It is separable: an axis at a time, voxels apart by zeros are blurred by it.
    """
    distance = np.abs(np.arange(1 - 2 * factor, 2 * factor)) / factor
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    spline = np.where(distance < 1, near, far)
    for axis in range(3):
        shape = list(volume.shape)
        shape[axis] = (shape[axis] - 1) * factor + 1
        apart = np.zeros(shape, np.float32)
        apart[(slice(None),) * axis + (slice(None, None, factor),)] = volume
        volume = ndimage.correlate1d(apart, spline, axis, mode="constant")
    return volume


def _sample(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(field, points.T, order=1, mode="nearest")


def _sky_light(field: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Returns the share of ambient light that reaches each vertex.

    The occupancy blurred at a few scales, read just outside the surface, says how much matter is
    near; on a plane it is one half at the surface and less outside, in a corner it is more.
    """
    light = np.ones(len(vertices))
    for radius in (0.04, 0.09):
        sigma = radius * len(field)
        blurred = ndimage.gaussian_filter(field, sigma, truncate=2.5)
        near = _sample(blurred, vertices + sigma * normals)
        light *= np.clip(1.12 - 1.15 * np.clip(near - 0.10, 0, None), 0.25, 1)
    return light


def _shadow(field: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Returns 1 for vertices that the key light reaches and down to 0.25 for those in shadow."""
    side = len(field)
    steps = np.arange(1.0, 0.75 * side, max(0.8, side / 48))
    blocked = np.zeros(len(vertices))
    start = vertices + 1.2 * normals
    for step in steps:
        # Farther blockers cast softer shadows: they count less.
        value = _sample(field, start + step * _KEY)
        np.maximum(blocked, value * (1 - 0.6 * step / side), out=blocked)
    return 1 - 0.75 * np.clip(1.4 * blocked - 0.2, 0, 1)


def _project(
    vertices: np.ndarray, radius: float, scale: float
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Projects in mild perspective: pixel offsets (right, down) from the middle, and depth."""
    seen = vertices @ _CAMERA.T / radius
    depth = _CAMERA_DISTANCE - seen[:, 2]
    # The outline of the ball that must fit, seen from that distance.
    outline = _FIT / np.sqrt(_CAMERA_DISTANCE**2 - _FIT**2)
    pixels = seen[:, :2] / depth[:, None] * np.array([1, -1]) * (scale / outline)
    return pixels, depth


def _rasterize(
    pixels: Float[np.ndarray, "n 2"],
    depth: Float[np.ndarray, " n"],
    shade: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    height: int,
    width: int,
) -> Float[np.ndarray, "h w 4"]:
    """Fills triangles with interpolated colours, the nearest on top: colour and coverage."""
    canvas = np.zeros((height * width, 4))
    corner = pixels[faces]  # (m, 3, 2)
    a, b, c = corner[:, 0], corner[:, 1], corner[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.floor(corner.min(1)).astype(np.int64)
    extent = np.floor(corner.max(1)).astype(np.int64) - low + 1
    keep = np.abs(area) > 1e-9
    fragments = []
    # All triangles at once, one offset in their bounding boxes after the other: they are small.
    for dy in range(extent[:, 1].max(initial=0)):
        for dx in range(extent[:, 0].max(initial=0)):
            pick = np.flatnonzero(keep & (extent[:, 0] > dx) & (extent[:, 1] > dy))
            x, y = low[pick, 0] + dx, low[pick, 1] + dy
            px, py = x + 0.5, y + 0.5
            wb = (px - a[pick, 0]) * (c[pick, 1] - a[pick, 1])
            wb = (wb - (py - a[pick, 1]) * (c[pick, 0] - a[pick, 0])) / area[pick]
            wc = (b[pick, 0] - a[pick, 0]) * (py - a[pick, 1])
            wc = (wc - (b[pick, 1] - a[pick, 1]) * (px - a[pick, 0])) / area[pick]
            wa = 1 - wb - wc
            inside = (wa >= 0) & (wb >= 0) & (wc >= 0)
            inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
            weights = np.stack([wa, wb, wc], axis=-1)[inside]
            fragments.append(((y * width + x)[inside], pick[inside], weights))
    if not fragments:
        return canvas.reshape(height, width, 4)
    where, face, weights = (np.concatenate(part) for part in zip(*fragments, strict=True))
    far = np.einsum("fk,fk->f", weights, depth[faces[face]])
    order = np.argsort(-far, kind="stable")  # the nearest is written last, and stays
    front = np.full(height * width, -1)
    front[where[order]] = order
    covered = np.flatnonzero(front >= 0)
    chosen = front[covered]
    canvas[covered, 3] = 1
    canvas[covered, :3] = np.einsum("fk,fkc->fc", weights[chosen], shade[faces[face[chosen]]])
    return canvas.reshape(height, width, 4)
