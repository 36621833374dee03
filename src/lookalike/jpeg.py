"""What the markers of a JPEG file tell before it is decoded: how much work it makes.

Sections are those of ITU-T T.81. libjpeg goes over the whole picture for each scan that a file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lookalike.errors import TooLarge
from lookalike.policy import ImagePolicy

MAX_SEGMENTS = 10_000
"""A file of the largest size is full with a thousand segments of metadata; encoders write some twenty of others.
Each costs Pillow a microsecond and libjpeg a new start, and 64 MiB have room for 16 million."""

MAX_COMPONENT_SCANS = 40
"""How often a picture of the most pixels may have one of its components in a scan; a smaller one more often. Encoders
write 14 (three components, libjpeg's jcparam.c) to 24 (four). One takes 70 ms for 100 megapixels, whatever is in it."""

# Within compressed data a byte 0xff stands before 0 or before a restart marker only (B.1.1.2, B.1.1.5); before a
# marker there may be more of them.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")

_SCAN, _END = 0xDA, 0xD9


def scans(data: bytes) -> list[bytes]:
    """The ids of the components of each scan, read by the markers alone: 64 MiB take a tenth of a second.

    Raises:
        ValueError: The file is cut into absurdly many segments.
    """
    return [_ids(data, place + 2, 2) for marker, _, place in _segments(data) if marker == _SCAN]


def require_budget(scans: Sequence[bytes], size: tuple[int, int], policy: ImagePolicy, item: str) -> None:
    """TooLarge if decoding would take far longer than a picture of the most pixels takes."""
    width, height = size
    actual = width * height * sum(map(len, scans))
    limit = MAX_COMPONENT_SCANS * policy.max_pixels
    if actual > limit:
        raise TooLarge(
            f"The picture is stored in {len(scans):,} scans, {actual:,} pixels to decode; {limit:,} are allowed. "
            "Save it anew, with fewer.",
            actual=actual,
            limit=limit,
            item=item,
        )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where it begins, where its parameters begin) of each, the end marker included."""
    place = 2
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.search(data, place)
        if match is None:
            return
        place = match.end()
        yield data[place - 1], match.start(), place
        if data[place - 1] == _END:
            return
        place += int.from_bytes(data[place : place + 2], "big")
    raise ValueError(f"it has more than {MAX_SEGMENTS:,} segments")


def _ids(data: bytes, place: int, step: int) -> bytes:
    """The ids of components: their number, then `step` bytes for each."""
    n = max(data[place : place + 1], default=0)
    return data[place + 1 : place + 1 + n * step : step]
