"""Pictures as the report carries them: small PNGs, inside the page."""

import base64
import io
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_SHADES, _EDGE_SHADES, _ALPHAS = 64, 4, 12


class Picture(NamedTuple):
    """A picture on the page.

    Attributes:
        source: a data URI.
        alt: what it shows, for those who do not see it.
        width, height: in pixels of the picture; the page shows it smaller.
    """

    source: str
    alt: str
    width: int
    height: int


def embed(pixels: UInt8[np.ndarray, "h w 4"], alt: str) -> Picture:
    """Returns a rendered object as a picture with a palette of its own."""
    height, width = pixels.shape[:2]
    data = base64.b64encode(encode(pixels)).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", alt, width, height)


def encode(pixels: UInt8[np.ndarray, "h w 4"]) -> bytes:
    """Returns a PNG of at most 113 colours.

    A rendered object is one material in more and less light, so its colours lie on a curve: they
    are told apart by brightness, and on the outline by a few degrees of transparency. General
    methods of choosing a palette leave bands on smooth surfaces.
    """
    flat = pixels.reshape(-1, 4).astype(np.float64)
    alpha, brightness = flat[:, 3] / 255, flat[:, :3].mean(axis=1)
    inside = alpha > 0.97
    low, high = np.percentile(brightness[inside], [0.2, 99.8]) if inside.any() else (0.0, 1.0)
    share = np.clip((brightness - low) / max(high - low, 1e-6), 0, 1)
    level = 1 + np.rint(share * (_SHADES - 1))
    edge = 1 + _SHADES + np.floor(alpha * _ALPHAS) * _EDGE_SHADES
    edge += np.rint(share * (_EDGE_SHADES - 1))
    index = np.where(inside, level, np.where(alpha < 0.02, 0, edge)).astype(np.uint8)
    count = np.maximum(np.bincount(index, minlength=256), 1)
    palette = np.stack([np.bincount(index, flat[:, c], 256) / count for c in range(4)], axis=1)
    palette = np.rint(palette).astype(np.uint8)
    palette[0, 3], palette[1 : 1 + _SHADES, 3] = 0, 255
    image = Image.fromarray(index.reshape(pixels.shape[:2]), "P")
    image.putpalette(palette[: index.max() + 1, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=palette[: index.max() + 1, 3].tobytes())
    return buffer.getvalue()


def on_white(pixels: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a transparent picture as one on white."""
    color, alpha = pixels[..., :3].astype(float), pixels[..., 3:] / 255
    return np.rint(color * alpha + 255 * (1 - alpha)).astype(np.uint8)
