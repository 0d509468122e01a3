"""Light on a surface, and the camera that sees it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .surface import Field, Surface, grid

AMBIENT = 0.42  # share of the light that comes from all sides


@dataclass(frozen=True)
class Light:
    """One lamp at the upper left and a bright ceiling, as they are for one exposure."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    slope: tuple[float, float]

    @staticmethod
    def near_usual(rng: np.random.Generator) -> Light:
        """The line's lamp with the slight drift of a real one: direction, power, colour, evenness."""
        azimuth, elevation = np.radians([225 + rng.normal(0, 3), 50 + rng.normal(0, 1.5)])
        direction = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
        power, warmth = 1 + rng.normal(0, 0.025), rng.normal(0, 0.012)
        return Light(
            (float(direction[0]), float(direction[1]), float(direction[2])),
            (float(power * (1 + warmth)), float(power), float(power * (1 - warmth))),
            (float(rng.normal(-0.05, 0.012)), float(rng.normal(-0.05, 0.012))),
        )


def illuminate(surface: Surface, light: Light) -> Field:
    """The noiseless picture ``float32 [S, S, 3]``, display values 0…1 (square root of the radiance).

    Lambert's and Blinn and Phong's reflection on the relief's normals; crevices get less of the ceiling's
    light, and the part throws a soft shadow on the table.
    """
    size = surface.size
    scale = size / 16  # Sobel sums 8 differences over two pixels of 2 / size
    slope_x = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, scale=scale)
    slope_y = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, scale=scale)
    length = np.sqrt(slope_x * slope_x + slope_y * slope_y + 1)
    lx, ly, lz = (np.float32(v) for v in light.direction)
    diffuse = np.maximum((lz - slope_x * lx - slope_y * ly) / (length * lz), 0)

    half = np.array([lx, ly, lz + 1])
    hx, hy, hz = (half / np.linalg.norm(half)).astype(np.float32)
    toward = np.maximum((hz - slope_x * hx - slope_y * hy) / length, 0)
    eighth = np.square(np.square(np.square(toward)))
    specular = surface.gloss * eighth * eighth * eighth  # Blinn and Phong's exponent is 24

    open_sky = np.clip(1 + 7 * (surface.height - _blur(surface.height, 0.045)), 0.45, 1.15)
    radiance = AMBIENT * open_sky + (1 - AMBIENT) * diffuse * _shadow(surface, light)
    x, y = grid(size)
    field = 1 + light.slope[0] * x + light.slope[1] * y - 0.07 * (x * x + y * y)  # uneven lamp, vignetting
    tint = np.array(light.colour, np.float32)
    lit = (surface.colour * radiance[..., None] + specular[..., None]) * (field[..., None] * tint)
    return np.sqrt(np.clip(lit, 0, 1))


def expose(picture: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the camera records of a picture: ``uint8 [S, S, 3]`` with lens blur, shot noise and read noise."""
    size = picture.shape[0]
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.55 * rng.uniform(0.9, 1.15) * max(1.0, size / 256))
    # After the square root, noise that grows with the root of the signal has the same strength everywhere.
    grain = rng.standard_normal(picture.shape, np.float32)
    return np.clip(blurred * 255 + (grain * 2.1 + 0.5), 0, 255).astype(np.uint8)


def _shadow(surface: Surface, light: Light) -> Field:
    """The part's shadow on what lies below it: 1 in full light."""
    if surface.part.min() == 1:
        return np.ones_like(surface.height)
    size = surface.size
    reach = 0.045 * size / 2
    shift = np.array([[1, 0, -light.direction[0] * reach * 2], [0, 1, -light.direction[1] * reach * 2]])
    thrown = np.asarray(cv2.warpAffine(surface.part, shift, (size, size)), np.float32)
    contact = _blur(surface.part, 0.05)
    soft = np.maximum(_blur(thrown, 0.03), 0.6 * contact)
    return 1 - 0.75 * soft * (1 - surface.part)


def _blur(field: Field, sigma: float) -> Field:
    """Gaussian blur, ``sigma`` in half frame widths."""
    pixels = sigma * field.shape[0] / 2
    if pixels > 4:  # on a smaller picture: the same result to the eye, several times faster
        small = cv2.resize(field, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), pixels / 4)
        return cv2.resize(small, field.shape[::-1], interpolation=cv2.INTER_LINEAR)  # pyright: ignore[reportReturnType]
    return cv2.GaussianBlur(field, (0, 0), pixels)  # pyright: ignore[reportReturnType]
