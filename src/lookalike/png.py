"""PNG files without what their pixels do not need: of metadata there may be any amount, and Pillow reads all of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

MAX_CHUNKS = 100_000
"""libpng writes a chunk for 8 KiB of pixels: 8,000 in a file of the largest size, which has room for 5 million. Each
costs Pillow a microsecond or two."""

MAX_TEXT_BYTES = 2**20
"""What a text may unpack to that tells how a picture is turned; Pillow's MAX_TEXT_CHUNK, over which it refuses."""

_NEEDED = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
"""Of the chunks that a decoder may pass over. The last three are those of animations."""

_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_TURNING = frozenset({b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp"})
"""Keywords of the texts in which `PIL.Image.getexif` looks for the orientation."""


def pixels_only(data: bytes) -> bytes:
    """The file without profiles, texts and private chunks, but for what says how the picture is turned.

    Raises:
        ValueError: It is cut into absurdly many chunks.
    """
    chunks = list(_chunks(data))
    # The last text of a keyword counts, and so many small ones never add up.
    last = {_keyword(data, place): place for place, _, kind in chunks if kind in _TEXTS}
    turning = {place for keyword, place in last.items() if keyword in _TURNING and _is_small(data, place)}
    view = memoryview(data)
    parts = [view[place:end] for place, end, kind in chunks if place in turning or _is_needed(kind)]
    return b"".join([view[:8], *parts])


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(first byte, first byte behind, kind) of each up to the end; what is cut off is the last one."""
    place = 8
    for _ in range(MAX_CHUNKS):
        if place + 12 > len(data):
            yield place, len(data), b"IEND"
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        yield place, min(place + 12 + length, len(data)), kind
        place += 12 + length
        if kind == b"IEND":
            return
    raise ValueError(f"it has more than {MAX_CHUNKS:,} chunks")


def _is_needed(kind: bytes) -> bool:
    """False for what a decoder may pass over (section 5.4); what is no name of a chunk is Pillow's to refuse."""
    return kind in _NEEDED or not kind.isalpha() or kind[:1].isupper()


def _keyword(data: bytes, place: int) -> bytes:
    return data[place + 8 : place + 8 + 80].partition(b"\0")[0]


def _is_small(data: bytes, place: int) -> bool:
    """Whether a text, packed or not, is one that Pillow takes."""
    length, kind = struct.unpack_from(">I4s", data, place)
    text = data[place + 8 : place + 8 + length].partition(b"\0")[2]
    if kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1"):
        packed = text[1:] if kind == b"zTXt" else text[2:].split(b"\0", 2)[-1]
        unpacking = zlib.decompressobj()
        try:
            text = unpacking.decompress(packed, MAX_TEXT_BYTES)
        except zlib.error:
            return False
        return not unpacking.unconsumed_tail
    return len(text) <= MAX_TEXT_BYTES
