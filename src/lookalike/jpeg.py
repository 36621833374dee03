"""What the markers of a JPEG file tell before it is decoded: how much work it makes, and what of it is missing.

Sections are those of ITU-T T.81. libjpeg decodes a scan as often as a file asks for one, and fills up what is missing
of a picture in grey, with a warning that nobody is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
_HUFFMAN_SEQUENTIAL = frozenset({0xC0, 0xC1})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Scan:
    """The head of a scan (B.2.3).

    Attributes:
        components: Their ids.
        first: The first of their 64 coefficients that is coded.
        last: The last one.
        low: How many low bits of these are left for a later scan.
    """

    components: bytes
    first: int
    last: int
    low: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file is made of, up to the end of its picture.

    Attributes:
        frame: The marker that says how it is coded (table B.1); 0 if there is none.
        components: The ids of its components, luminance first.
        scans: In their order.
        data_end: Where the compressed data of the first scan ends.
        has_end: Whether there is an end marker.
    """

    frame: int
    components: bytes
    scans: Sequence[Scan]
    data_end: int
    has_end: bool


def layout(data: bytes) -> Layout:
    """The layout of a file's bytes, read by its markers alone: 64 MiB take a tenth of a second.

    Raises:
        ValueError: It is cut into absurdly many segments.
    """
    frame, components, data_end, marker = 0, b"", len(data), 0
    scans: list[Scan] = []
    for marker, start, place in _segments(data):
        if len(scans) == 1 and data_end == len(data):
            data_end = start
        if marker in _FRAMES and not frame:
            frame, components = marker, _ids(data, place + 7, 3)
        elif marker == _SCAN:
            scans.append(_scan(data, place))
    return Layout(frame, components, scans, data_end, marker == _END)


def require_budget(found: Layout, size: tuple[int, int], policy: ImagePolicy, item: str) -> None:
    """TooLarge if decoding would take far longer than a picture of the most pixels takes."""
    width, height = size
    actual = width * height * sum(len(scan.components) for scan in found.scans)
    limit = MAX_COMPONENT_SCANS * policy.max_pixels
    if actual > limit:
        raise TooLarge(
            f"The picture is stored in {len(found.scans):,} scans, {actual:,} pixels to decode; {limit:,} are allowed. "
            "Save it anew, with fewer.",
            actual=actual,
            limit=limit,
            item=item,
        )


def require_whole(found: Layout, data: bytes) -> None:
    """ValueError if a file lacks some of its picture, as far as its markers tell."""
    # The last bits of compressed data are ones (F.1.2.3): such zeros were never written.
    if not found.has_end and data.endswith(b"\0\0"):
        raise ValueError("zeros are where its end should be")
    if not found.has_end or not found.scans:
        return  # libjpeg finds out
    seen = b"".join(scan.components for scan in found.scans)
    if not set(found.components).issubset(seen):
        raise ValueError("one of its colours is missing")
    if found.frame in _PROGRESSIVE and _lacks_bits(found):
        raise ValueError("its last scans are missing")


def unclosed(found: Layout, data: bytes) -> bytes:
    """The file without its end where the decoder can do without, so that it comes up short if something is missing.

    With an end marker it fills up whatever lacks, and says nothing. Without one it waits for more, and Pillow raises.
    That takes compressed data in one piece: several scans are put together at the end marker only. Arithmetic
    coding may leave zeros out at the end (D.1.8).
    """
    if not found.has_end or len(found.scans) != 1 or found.frame not in _HUFFMAN_SEQUENTIAL:
        return data
    # Eight bytes of ones, which are no code (C.2): libjpeg reads so far ahead before it decodes the last one, and makes
    # no more than two blocks of them.
    return data[: found.data_end] + b"\xff\0" * 8


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


def _scan(data: bytes, place: int) -> Scan:
    components = _ids(data, place + 2, 2)
    behind = place + 3 + 2 * len(components)
    first, last, bits = data[behind : behind + 3].ljust(3, b"\0")
    return Scan(components, first, last, bits & 15)


def _lacks_bits(found: Layout) -> bool:
    """Whether a coefficient of the luminance has not come to its last bit: encoders send all of them."""
    low = dict.fromkeys(range(64), 16)
    for scan in found.scans:
        if found.components[:1] in scan.components:
            low.update(dict.fromkeys(range(scan.first, scan.last + 1), scan.low))
    return any(low.values())
