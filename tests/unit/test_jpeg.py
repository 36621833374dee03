"""JPEG files that make more work than a picture is worth."""

from __future__ import annotations

import struct
import time
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from lookalike import jpeg
from lookalike.errors import ImageError, TooLarge
from lookalike.facts import facts_of
from lookalike.image import decode
from lookalike.policy import ImagePolicy

NOISE = Image.effect_noise((64, 48), 60)
LUMINANCE, ALL = b"\1", b"\1\2\3"


def encode(image: Image.Image, **options: Any) -> bytes:
    """A JPEG file of the picture."""
    file = BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


PROGRESSIVE = encode(NOISE.convert("RGB"), progressive=True)


def repeated(data: bytes, times: int) -> bytes:
    """A file with its last scan that many times more."""
    start = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))  # the table that the scan is read with
    return data[:-2] + data[start:-2] * times + b"\xff\xd9"


def test_a_file_of_many_scans_is_refused_at_once() -> None:
    """A flat file whose last scan is repeated, which would take hours, is refused before anything is decoded."""
    bomb = repeated(encode(Image.new("L", (6000, 6000)), progressive=True, optimize=True), 400)
    began_s = time.process_time()
    with pytest.raises(TooLarge, match=r"^bomb: The picture is stored in 406 scans, 14,616,000,000 pixels") as caught:
        decode(bomb, item="bomb")
    assert time.process_time() - began_s < 1
    assert (caught.value.actual, caught.value.limit) == (406 * 6000 * 6000, 4_000_000_000)


def test_scans_are_counted_by_their_components() -> None:
    """What counts is pixels times components over all scans, up to forty times the most pixels that are let in."""
    assert jpeg.scans(PROGRESSIVE)[0] == ALL
    assert jpeg.scans(repeated(PROGRESSIVE, 2))[-3:] == [LUMINANCE] * 3
    n_pixels = 64 * 48
    components = len(b"".join(jpeg.scans(PROGRESSIVE)))
    policy = ImagePolicy(max_pixels=n_pixels)
    assert decode(repeated(PROGRESSIVE, 40 - components), policy).size == (64, 48)
    with pytest.raises(TooLarge, match=r"Save it anew"):
        decode(repeated(PROGRESSIVE, 41 - components), policy)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"progressive": True, "restart_marker_rows": 1}], ids=str
)
def test_what_encoders_write_is_let_in(mode: str, options: dict[str, Any]) -> None:
    """The scans that libjpeg writes are let in for a picture of the most pixels."""
    data = encode(NOISE.convert(mode), **options)
    assert decode(data, ImagePolicy(max_pixels=64 * 48)).size == (64, 48)


def test_markers_within_other_segments_do_not_count() -> None:
    """A thumbnail in the metadata has scans of its own, and bytes behind the end are not part of the picture."""
    thumbnail = encode(NOISE)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = PROGRESSIVE[:2] + segment * 50 + PROGRESSIVE[2:] + thumbnail * 50
    assert jpeg.scans(data) == jpeg.scans(PROGRESSIVE)


@pytest.mark.parametrize("behind", [2, len(PROGRESSIVE) - 2], ids=["head", "end"])
def test_a_file_of_many_segments_is_refused(behind: int) -> None:
    """A million empty comments, each of which Pillow or libjpeg would take up, are refused; so is asking for EXIF."""
    data = PROGRESSIVE[:behind] + b"\xff\xfe\0\2" * 1_000_000 + PROGRESSIVE[behind:]
    began_s = time.process_time()
    with pytest.raises(ImageError, match=r"^c: .*10,000 segments"):
        decode(data, item="c")
    assert facts_of(data) == {"file_type": "jpeg"}
    assert time.process_time() - began_s < 0.5


@pytest.mark.parametrize("filling", [b"\xff\0", b"\xff", b"\0", b"\xff\xd0"], ids=repr)
def test_counting_takes_no_time(filling: bytes) -> None:
    """The markers of a file of the largest size are found in far less time than it takes to decode one."""
    data = PROGRESSIVE[:-2] + filling * (2**26 // len(filling))
    began_s = time.process_time()
    jpeg.scans(data)
    assert time.process_time() - began_s < 2
