"""What a picture file says of itself, as facts of its item to filter by: its kind, and when it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from lookalike.image import media_type, read_exif

NAMES = ("file_type", "taken_on", "taken_month", "taken_year")
"""Of the facts: "jpeg"; "2026-05-17", "2026-05" and "2026", so that a filter, which compares whole values, finds what
was taken in a year, in a month or on a day."""

TYPES: Mapping[str, str] = {"image/x-portable-anymap": "pnm"}
"""Kinds that are called otherwise than the second half of their media type."""

_TAKEN = (0x9003, 0x9004)
"""DateTimeOriginal and DateTimeDigitized (Exif 2.32, section 4.6.5). DateTime is when an editor saved the file."""


def facts_of(data: bytes) -> dict[str, str]:
    """The facts of a file's bytes, those that it tells; of what is no picture there are none."""
    kind = media_type(data)
    if kind is None:
        return {}
    facts = {"file_type": TYPES.get(kind, kind.removeprefix("image/"))}
    day = _day(read_exif(data))
    return facts | ({"taken_on": day, "taken_month": day[:7], "taken_year": day[:4]} if day else {})


def _day(exif: Mapping[int, object]) -> str:
    """The day on which a picture was taken, or else made; empty if no tag has one."""
    for tag in _TAKEN:
        try:
            return date(*map(int, str(exif.get(tag, ""))[:10].split(":"))).isoformat()
        except (ValueError, TypeError):  # cameras that do not know write blanks or zeros
            continue
    return ""
