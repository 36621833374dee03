"""PNG files whose metadata is large, packed or damaged: the pixels need none of it."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from io import BytesIO

import pytest
from PIL import Image

from lookalike.errors import ImageError
from lookalike.image import decode, is_plain
from lookalike.png import pixels_only

PICTURE = Image.effect_noise((64, 48), 60).convert("RGB")
XMP = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
LARGE = 1_100_000
"""Bytes of metadata: more than the mebibyte that Pillow unpacks."""


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(n_bytes: int) -> bytes:
    """So many bytes of one letter, deflated."""
    return zlib.compress(b"a" * n_bytes)


def with_chunks(*chunks: bytes, behind: bool = False) -> bytes:
    """A PNG of the picture with chunks in front of the pixels or behind them."""
    file = BytesIO()
    PICTURE.save(file, "PNG")
    place = -12 if behind else 33
    return file.getvalue()[:place] + b"".join(chunks) + file.getvalue()[place:]


METADATA = {
    "zTXt": chunk(b"zTXt", b"workflow\0\0" + packed(LARGE)),
    "iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + packed(LARGE)),
    "tEXt": chunk(b"tEXt", b"workflow\0" + b"a" * LARGE),
    "iCCP": chunk(b"iCCP", b"printer\0\0" + zlib.compress(random.Random(0).randbytes(LARGE))),
    "zTXt of 50 MB": chunk(b"zTXt", b"bomb\0\0" + packed(50_000_000)),
    "XMP of 50 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(50_000_000)),
    "profile of 50 MB": chunk(b"iCCP", b"bomb\0\0" + packed(50_000_000)),
    "70 MB in all": b"".join(chunk(b"zTXt", b"%d\0\0" % i + packed(1_000_000)) for i in range(70)),
    "many XMPs": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(1_000_000)) * 70,
    "unknown packing": chunk(b"iCCP", b"name\0\7" + packed(10)),
    "text called transparency": chunk(b"tEXt", b"transparency\0" + b"\1" * 9),
}


@pytest.mark.parametrize("behind", [False, True], ids=["in front", "behind"])
@pytest.mark.parametrize("name", METADATA)
def test_metadata_does_not_cost_the_picture(name: str, behind: bool) -> None:
    """Whatever metadata a PNG has, its pixels are read, and nothing large is unpacked for them."""
    data = with_chunks(METADATA[name], behind=behind)
    tracemalloc.start()
    assert decode(data).tobytes() == PICTURE.tobytes()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(data) + 4_000_000
    assert is_plain(data)


@pytest.mark.parametrize("behind", [False, True], ids=["in front", "behind"])
@pytest.mark.parametrize("kind", ["eXIf", "XMP", "packed XMP", "raw profile", "packed raw profile"])
def test_what_turns_a_picture_is_kept(kind: str, behind: bool) -> None:
    """The orientation is found wherever Pillow looks for it, between texts that are passed over."""
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    profile = b"\nexif\n%8d\n" % len(raw) + raw.hex().encode() + b"\n"
    turning = {
        "eXIf": chunk(b"eXIf", raw.removeprefix(b"Exif\0\0")),
        "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        "packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
        "raw profile": chunk(b"tEXt", b"Raw profile type exif\0" + profile),
        "packed raw profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
    }[kind]
    data = with_chunks(METADATA["zTXt"], turning, METADATA["iTXt"], behind=behind)
    assert decode(data).tobytes() == PICTURE.transpose(Image.Transpose.ROTATE_270).tobytes()


def test_damaged_pixels_are_refused() -> None:
    """A chunk of pixels that does not match its checksum, or a name that is none, is still a damaged file."""
    data = with_chunks()
    at = data.index(b"IDAT") + 40
    for damaged in (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], with_chunks(chunk(b"t\0Xt", b"a"))):
        with pytest.raises(ImageError, match="damaged"):
            decode(damaged)


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt", b"abCd"])
def test_a_file_of_many_chunks_is_refused(kind: bytes) -> None:
    """A million empty chunks, each of which Pillow would take up, are refused at once."""
    data = with_chunks(chunk(kind, b"") * 1_000_000)
    began_s = time.process_time()
    with pytest.raises(ImageError, match="100,000 chunks"):
        decode(data)
    assert time.process_time() - began_s < 1


def test_a_plain_file_is_handed_on_as_it_is() -> None:
    """Nothing is taken from a file that has no metadata, cut off or not; what follows its end is."""
    data = with_chunks()
    assert pixels_only(data) == data == pixels_only(data + b"more")
    assert all(pixels_only(data[:cut]) == data[:cut] for cut in range(8, len(data), 7))
