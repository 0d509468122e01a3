"""What a camera and its surroundings change in the picture of a part that stays the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snl_edge.opencv import cv2


@dataclass(frozen=True)
class CameraChange:
    """One change, of nothing by default. Lengths are in pixels of the model's input."""

    gain: float = 1.0
    """Factor on all channels: exposure time, iris, age of the lamp."""
    warmth: float = 0.0
    """White balance: red is multiplied by 1 + this, blue by 1 - this."""
    turn: float = 0.0
    """Degrees about the centre, anticlockwise."""
    shift: tuple[float, float] = (0.0, 0.0)
    """To the right, and down."""
    blur: float = 0.0
    """Standard deviation of a Gaussian: focus, dirt on the lens."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, in grey levels of 255."""
    jpeg: int | None = None
    """Quality of a JPEG, chroma at half the size, as cameras and OpenCV write it."""

    def apply(
        self, picture: NDArray[np.uint8], rng: np.random.Generator, pixels_per_input: float = 1.0
    ) -> NDArray[np.uint8]:
        """The changed picture, ``uint8 [H, W, 3]`` RGB as the given one; ``rng`` draws the noise.

        In the order of the light's way: the part moves, the lens blurs, the sensor amplifies and adds noise, the
        camera compresses. What comes in at an edge is the picture's reflection, so that no seam is seen.

        Args:
            picture: ``uint8 [H, W, 3]`` RGB.
            rng: of the noise.
            pixels_per_input: pixels of ``picture`` to one of the model's input, where it is larger.
        """
        changed = self._moved(picture, pixels_per_input)
        if self.blur:
            changed = cv2.GaussianBlur(changed, (0, 0), self.blur * pixels_per_input, borderType=cv2.BORDER_REFLECT_101)
        if self.gain != 1 or self.warmth or self.noise:
            values = changed * (self.gain * np.array([1 + self.warmth, 1, 1 - self.warmth], np.float32))
            if self.noise:
                values += self.noise * rng.standard_normal(values.shape, np.float32)
            changed = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        if self.jpeg is not None:
            _, encoded = cv2.imencode(
                ".jpg", cv2.cvtColor(changed, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, self.jpeg]
            )
            decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            assert decoded is not None
            changed = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        return np.ascontiguousarray(changed, np.uint8)

    def _moved(self, picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
        if not self.turn and self.shift == (0.0, 0.0):
            return picture
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.turn, 1)
        matrix[:, 2] += np.multiply(self.shift, scale)
        return cv2.warpAffine(  # pyright: ignore[reportReturnType]
            picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
