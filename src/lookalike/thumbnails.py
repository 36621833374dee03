"""Small WebP pictures to show what was found."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

from lookalike.image import decode
from lookalike.policy import ImagePolicy

WEBP_QUALITY = 82


def thumbnail(data: bytes, side_px: int, policy: ImagePolicy | None = None, *, item: str = "") -> bytes:
    """The bytes of a picture file to those of a small WebP picture, whole and upright, never larger than it was.

    Args:
        data: The whole file.
        side_px: The longer side at most.
        policy: Budgets and orientation.
        item: The picture's name, for messages.

    Raises:
        InputError: As `image.decode`.
    """
    image = decode(data, policy or ImagePolicy(), item=item)
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return _webp(image)


def square_thumbnail(image: Image.Image, side_px: int) -> bytes:
    """The middle square of an RGB picture as WebP: what most models look at."""
    side = min(side_px, *image.size)
    return _webp(ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS))


def _webp(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=WEBP_QUALITY)
    return buffer.getvalue()
