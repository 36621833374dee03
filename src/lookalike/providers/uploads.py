"""Pictures as they are sent: the file itself where every reader sees the same in it as we do, else a new one."""

from __future__ import annotations

from io import BytesIO
from math import sqrt

from PIL import Image

from lookalike.image import decode, is_plain, media_type
from lookalike.policy import ImagePolicy
from lookalike.providers.adapter import Limits, Upload

LOSSLESS_PIXELS = 512 * 512
"""A picture of no more pixels is sent as PNG: that is less than a megabyte and loses nothing."""

JPEG_QUALITY = 95


def upload(data: bytes, policy: ImagePolicy, limits: Limits, *, item: str) -> Upload:
    """A picture, ready to be sent.

    A JPEG or PNG that is upright, opaque and within the limits goes as it is. Anything else is decoded and written
    anew, upright and on white: as PNG if it is small, else as JPEG; smaller if the provider takes no picture as large.
    To a provider with an image door like ours every file goes as it is, and what is wrong with it is said there.

    Args:
        data: The whole file.
        policy: Budgets and orientation.
        limits: What the provider takes.
        item: The picture's name, for messages.

    Raises:
        InputError: As `image.decode`.
    """
    kind = media_type(data)
    if limits.any_file and kind:
        return Upload(data, kind)
    image = decode(data, policy, item=item)
    if kind in ("image/jpeg", "image/png") and _fits(image, len(data), limits) and is_plain(data):
        return Upload(data, kind)
    if limits.image_side_px:
        image.thumbnail((limits.image_side_px, limits.image_side_px), Image.Resampling.LANCZOS)
    written = _written(image)
    while limits.image_bytes and len(written.data) > limits.image_bytes and max(image.size) > 1:
        shrink = 0.9 * sqrt(limits.image_bytes / len(written.data))
        image.thumbnail((max(1, image.width * shrink), max(1, image.height * shrink)), Image.Resampling.LANCZOS)
        written = _written(image)
    return written


def grey_picture() -> Upload:
    """A small picture that nobody can have anything against."""
    return _written(Image.new("RGB", (64, 64), "grey"))


def _fits(image: Image.Image, n_bytes: int, limits: Limits) -> bool:
    is_small = not limits.image_side_px or max(image.size) <= limits.image_side_px
    return is_small and (not limits.image_bytes or n_bytes <= limits.image_bytes)


def _written(image: Image.Image) -> Upload:
    buffer = BytesIO()
    if image.width * image.height <= LOSSLESS_PIXELS:
        image.save(buffer, "PNG")
        return Upload(buffer.getvalue(), "image/png")
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return Upload(buffer.getvalue(), "image/jpeg")
