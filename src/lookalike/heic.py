"""HEIC pictures, through the optional library pillow-heif. The only file that imports it."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from lookalike.errors import MissingDependency


def open_heic(file: BytesIO) -> Image.Image:
    """A HEIC file to a picture that is not loaded yet; loading turns it upright as its container says.

    Raises:
        MissingDependency: pillow-heif is not installed.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingDependency("pillow_heif", extra="heic") from error
    image: Image.Image = HeifImageFile(file)
    return image
