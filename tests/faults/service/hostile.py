"""Files that pretend to be pictures, or are pictures that hurt: each is to be refused with a sentence, or embedded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from tests.pictures import noise


def png(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand: 8-bit RGB of a declared size, with `data` as its compressed pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def saved(kind: str, size: tuple[int, int] = (640, 480), **options: object) -> bytes:
    """A whole picture in a format."""
    buffer = BytesIO()
    Image.open(BytesIO(noise(1, size=size))).save(buffer, kind, **options)
    return buffer.getvalue()


def cut(data: bytes) -> bytes:
    """Its first half."""
    return data[: len(data) // 2]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    """177 megapixels in half a megabyte: just below where Pillow itself refuses."""
    edge = 13_300
    row = b"\0" + bytes(3 * edge)
    packer = zlib.compressobj(1)
    return png(edge, edge, b"".join(packer.compress(row) for _ in range(edge)) + packer.flush())


def _pixels_at_the_limit() -> bytes:
    """8,000 x 8,000 pixels of one colour: much to decode, and within the budget."""
    buffer = BytesIO()
    Image.new("RGB", (8_000, 8_000), (3, 5, 7)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _looped_tiff() -> bytes:
    """A directory whose successor is itself."""
    entries = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(278, 4, 1, 16), (279, 4, 1, 256)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 8)


def _tiff_tags() -> bytes:
    """A tag that claims four thousand million values."""
    return b"II*\0" + struct.pack("<IHHHII", 8, 1, 256, 4, 0xFFFFFFFF, 8) + bytes(4)


def _bmp_lie() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 70, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 2_000_000_000, 2_000_000_000, 1, 24, 0, 0, 1, 1, 0, 0)
    )


def _many_frames() -> bytes:
    frames = [Image.open(BytesIO(noise(n, size=(8, 8)))).convert("P") for n in range(2_000)]
    buffer = BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=1, loop=0)
    return buffer.getvalue()


def _broken_profile() -> bytes:
    buffer = BytesIO()
    Image.new("CMYK", (32, 32), (9, 8, 7, 6)).save(buffer, "JPEG", icc_profile=b"not a profile" * 50)
    return buffer.getvalue()


def _rotated_lie() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 4_242
    buffer = BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def _sixteen_bits() -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(buffer, "TIFF")
    return buffer.getvalue()


def _packbits() -> bytes:
    """A TIFF whose strip claims to unpack to far more than its directory says."""
    buffer = BytesIO()
    Image.new("L", (4_000, 4_000)).save(buffer, "TIFF", compression="packbits")
    return buffer.getvalue().replace(b"\x81\x00" * 64, b"\x80\x80" * 64, 1)


PICTURES: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "one byte": lambda: b"\xff",
    "text": lambda: b"this is no picture at all " * 50,
    "random bytes": lambda: np.random.default_rng(0).bytes(50_000),
    "truncated JPEG": lambda: cut(saved("JPEG")),
    "truncated PNG": lambda: cut(saved("PNG")),
    "truncated WebP": lambda: cut(saved("WEBP")),
    "truncated AVIF": lambda: cut(saved("AVIF", speed=10)),
    "truncated JPEG 2000": lambda: cut(saved("JPEG2000", (160, 120))),
    "truncated TIFF": lambda: cut(saved("TIFF", compression="tiff_lzw")),
    "truncated GIF": lambda: cut(saved("GIF")),
    "header only": lambda: saved("JPEG")[:200],
    "PNG bomb of 177 megapixels": _bomb,
    "PNG header of 4e9 x 4e9": lambda: png(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "PNG with a wrong checksum": lambda: saved("PNG")[:-40] + bytes(24) + saved("PNG")[-16:],
    "PNG with a text chunk bomb": lambda: png(
        8, 8, zlib.compress(bytes(200)), (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))
    ),
    "PNG of width zero": lambda: png(0, 8, zlib.compress(b"")),
    "BMP header of 2e9 x 2e9": _bmp_lie,
    "TIFF whose directory is its own successor": _looped_tiff,
    "TIFF tag of 4e9 values": _tiff_tags,
    "TIFF with false PackBits": _packbits,
    "16-bit TIFF": _sixteen_bits,
    "GIF of 2,000 frames": _many_frames,
    "JPEG with a broken colour profile": _broken_profile,
    "JPEG with an orientation that does not exist": _rotated_lie,
    "64 megapixels, whole": _pixels_at_the_limit,
    "one pixel high, 60,000 wide": lambda: saved("PNG", (60_000, 1)),
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n{} loop\n",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9e9" height="9e9"><image href="file:///x"/></svg>',
    "PDF": lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
    "ICO": lambda: saved("ICO", (32, 32)),
}
"""By name: what makes the file. Made when asked for: some are large."""
