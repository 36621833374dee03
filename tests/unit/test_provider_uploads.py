"""Pictures as they are sent to a provider: as they are where that is safe, else upright, on white and small enough."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from lookalike.errors import ImageError, UnsupportedMedia
from lookalike.image import decode
from lookalike.policy import ImagePolicy
from lookalike.providers.adapter import Limits, Upload
from lookalike.providers.uploads import upload
from tests.pictures import noise, picture

ANY = Limits(texts=1, images=1)


def sent(data: bytes, limits: Limits = ANY) -> Upload:
    return upload(data, ImagePolicy(), limits, item="a")


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data))


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_a_plain_file_goes_as_it_is(kind: str, media_type: str) -> None:
    """An upright, opaque JPEG or PNG within the limits is sent byte for byte."""
    assert sent(noise(1, kind=kind)) == Upload(noise(1, kind=kind), media_type)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_that_lies_on_its_side_is_turned(kind: str) -> None:
    """A picture with an EXIF turn is sent upright and without it: some providers heed it, others do not."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = written(Image.open(BytesIO(noise(1))), kind, exif=exif)
    found = sent(data)
    assert np.array_equal(pixels(found.data), pixels(data))
    assert Image.open(BytesIO(found.data)).size == (30, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "CMYK"])
def test_what_readers_disagree_on_is_written_anew(mode: str) -> None:
    """Transparency, palettes, deep and printers' colours are sent as the pixels that we see."""
    data = written(Image.new(mode, (20, 20)), "TIFF" if mode == "CMYK" else "PNG")
    found = sent(data)
    assert found.media_type == "image/png"
    assert np.array_equal(pixels(found.data), pixels(data))
    assert Image.open(BytesIO(found.data)).mode == "RGB"


def test_other_kinds_are_written_anew() -> None:
    """A small picture of another kind becomes a PNG with the same pixels, a large one a JPEG."""
    small, large = noise(1, kind="BMP"), picture("red", size=(800, 600), kind="WEBP")
    assert (sent(small).media_type, sent(large).media_type) == ("image/png", "image/jpeg")
    assert np.array_equal(pixels(sent(small).data), pixels(small))


def test_a_picture_is_made_as_small_as_is_taken() -> None:
    """The longer side and the bytes of what is sent are within the limits, and the shape is kept."""
    large = noise(1, size=(900, 600), kind="JPEG")
    assert Image.open(BytesIO(sent(large, Limits(texts=1, image_side_px=300)).data)).size == (300, 200)
    light = sent(large, Limits(texts=1, image_bytes=20_000))
    width, height = Image.open(BytesIO(light.data)).size
    assert len(light.data) <= 20_000
    assert width / height == pytest.approx(1.5, rel=0.05)


def test_what_is_no_picture_is_not_sent() -> None:
    """What the image door refuses, no provider sees."""
    with pytest.raises(UnsupportedMedia, match="a: "):
        sent(b"no picture")
    with pytest.raises(ImageError):
        sent(noise(1)[:-30])


def test_a_door_like_ours_gets_the_file() -> None:
    """A provider that decodes as we do gets every file as it is."""
    data = noise(1, kind="BMP")
    assert sent(data, Limits(texts=1, any_file=True)) == Upload(data, "image/bmp")
