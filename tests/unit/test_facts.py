"""What a file says of itself."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from lookalike.facts import NAMES, facts_of
from tests.pictures import picture

ORIGINAL, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132
EXIF = 0x8769


def photo(tags: dict[int, str]) -> bytes:
    """A picture whose camera wrote these tags."""
    exif = Image.Exif()
    exif.get_ifd(EXIF).update({tag: text for tag, text in tags.items() if tag != CHANGED})
    if CHANGED in tags:
        exif[CHANGED] = tags[CHANGED]
    buffer = BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("BMP", "bmp"),
        ("PPM", "pnm"),
        ("TIFF", "tiff"),
    ],
)
def test_a_file_tells_its_kind(kind: str, told: str) -> None:
    """By its first bytes; without a camera there is no date."""
    assert facts_of(picture("red", kind=kind)) == {"file_type": told}


def test_a_photo_tells_when_it_was_taken() -> None:
    """The day, the month and the year, since filters compare whole values."""
    facts = facts_of(photo({ORIGINAL: "2026:05:17 23:59:58"}))
    assert facts == {
        "file_type": "jpeg",
        "taken_on": "2026-05-17",
        "taken_month": "2026-05",
        "taken_year": "2026",
    }
    assert tuple(facts) == NAMES


@pytest.mark.parametrize(
    ("tags", "day"),
    [
        ({DIGITIZED: "1999:12:31 00:00:00"}, "1999-12-31"),
        ({ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "1999:12:31 00:00:00"}, "1999-12-31"),
        ({ORIGINAL: "2026:05:17"}, "2026-05-17"),
        ({CHANGED: "2026:05:17 10:00:00"}, None),
        ({ORIGINAL: "    :  :     :  :  "}, None),
        ({ORIGINAL: "2026:13:40 10:00:00"}, None),
        ({ORIGINAL: "17 May 2026"}, None),
        ({ORIGINAL: ""}, None),
    ],
)
def test_only_a_cameras_date_counts(tags: dict[int, str], day: str | None) -> None:
    """When it was taken, or else scanned; never when an editor saved it, and nothing that is no date."""
    assert facts_of(photo(tags)).get("taken_on") == day


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG", picture("red", kind="JPEG")[:30], b"II*\0" + bytes(8)])
def test_what_is_damaged_says_less_and_harms_nobody(data: bytes) -> None:
    """No error: whether it can be used is found where it is decoded."""
    assert "taken_on" not in facts_of(data)


def test_damaged_exif_is_none() -> None:
    """Wherever a file is cut or overwritten, what is left is read or left out."""
    data = photo({ORIGINAL: "2026:05:17 10:00:00"})
    for place in range(4, 160):
        assert facts_of(data[:place] + b"\xff\xff" + data[place + 2 :])["file_type"] == "jpeg"
