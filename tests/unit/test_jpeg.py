"""JPEG files that make more work than a picture is worth, and files of which a part is missing."""

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


def scans(data: bytes) -> list[bytes]:
    """The components of each scan."""
    return [scan.components for scan in jpeg.layout(data).scans]


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
    assert scans(PROGRESSIVE)[0] == ALL
    assert scans(repeated(PROGRESSIVE, 2))[-3:] == [LUMINANCE] * 3
    components = len(b"".join(scans(PROGRESSIVE)))
    policy = ImagePolicy(max_pixels=64 * 48)
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
    assert scans(data) == scans(PROGRESSIVE)


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
    jpeg.layout(data)
    assert time.process_time() - began_s < 2


# Whole pictures only


def refused(data: bytes) -> bool:
    """Whether a file is taken for cut off or damaged."""
    try:
        decode(data)
    except ImageError:
        return True
    return False


BASELINE = encode(NOISE.convert("RGB"))
RESTARTS = encode(NOISE.convert("RGB"), restart_marker_rows=1)


@pytest.mark.parametrize("data", [BASELINE, RESTARTS, encode(NOISE), encode(NOISE.convert("CMYK"))])
def test_a_false_end_is_found(data: bytes) -> None:
    """A sequential file that was cut and closed with an end marker is refused, up to the last two blocks of 8 x 8."""
    start = data.index(b"\xff\xda") + 14
    cuts = [cut for cut in range(start, len(data) - 100) if data[cut - 1] != 0xFF]
    assert [cut for cut in cuts if not refused(data[:cut] + b"\xff\xd9")] == []


def test_a_progressive_file_without_its_last_scans_is_refused() -> None:
    """Where the last scan is missing, or all but the first, or those of a colour, something was cut off."""
    places = [at for at in range(len(PROGRESSIVE)) if PROGRESSIVE[at : at + 2] == b"\xff\xda"]
    assert len(places) == 10
    assert all(refused(PROGRESSIVE[:at] + b"\xff\xd9") for at in places)
    assert all(refused(PROGRESSIVE[: at + 40] + b"\xff\xd9") for at in places[:-1])


def test_a_sequential_file_without_a_colour_is_refused() -> None:
    """A file with a scan for each component has to have all of them."""
    frame = BASELINE.index(b"\xff\xc0")
    two = BASELINE[:frame] + BASELINE[frame:].replace(b"\3\1\x22\0\2\x11\1\3\x11\1", b"\3\1\x22\0\2\x11\1\4\x11\1", 1)
    assert refused(two)


@pytest.mark.parametrize("data", [BASELINE, RESTARTS, PROGRESSIVE, encode(NOISE)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_zeros_in_the_place_of_the_end(data: bytes, share: float) -> None:
    """A file of its full length of which only the beginning has arrived is refused."""
    start = data.index(b"\xff\xda") + 14
    cut = start + int((len(data) - start) * share)
    assert refused(data[:cut].ljust(len(data), b"\0"))
    assert refused(data[:-2] + bytes(2))


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"restart_marker_rows": 1}, {"progressive": True}], ids=str
)
@pytest.mark.parametrize("image", [NOISE.convert("RGB"), NOISE, Image.new("RGB", (64, 48)), Image.new("L", (1, 1))])
def test_a_whole_file_is_as_pillow_has_it(image: Image.Image, options: dict[str, Any]) -> None:
    """Looking for what is missing changes no pixel, with anything behind the last scan and behind the end."""
    data = encode(image, **options)
    expected = Image.open(BytesIO(data)).convert("RGB").tobytes()
    for behind in (b"\xff\xd9", b"\xff\xfe\0\4ab\xff\xd9", b"\xff\xff\xff\xd9", b"\xff\xd9" + bytes(100)):
        assert decode(data[:-2] + behind).tobytes() == expected
