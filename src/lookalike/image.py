"""Bytes to an upright RGB picture: the one door through which every picture comes in.

What a file is, is read from its first bytes, never from its name; only the formats listed here are handed to a
decoder, after the byte and pixel budgets were checked. A picture comes out whole or not at all, as far as its file
tells: bytes that were changed within it may be sound as well, and so may zeros in the place of its end where a format
has neither checksum nor end marker (BMP, PNM, WebP, AVIF, HEIC). Of a progressive JPEG that was cut off within its last
scan and closed with an end marker, nobody can say that detail is missing.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image
from PIL.Image import Transpose

from lookalike import jpeg, png
from lookalike.errors import ImageError, LookalikeError, MissingDependency, OutOfMemory, TooLarge, UnsupportedMedia
from lookalike.heic import open_heic
from lookalike.levels import Samples, samples_of_png, samples_of_tiff, to_rgb
from lookalike.policy import ImagePolicy

DEFAULT = ImagePolicy()

# Pillow's plugins, each imported with the first picture of its kind: a process that only embeds texts needs none.
_PLUGINS: Mapping[str, tuple[str, str]] = {
    "image/jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "image/png": ("PIL.PngImagePlugin", "PngImageFile"),
    "image/webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "image/gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "image/bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "image/tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "image/x-portable-anymap": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "image/jp2": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "image/avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
}

_KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM, JPEG 2000, AVIF or HEIC"

# What Pillow's plugins raise on damaged files. A warning is among them where a process turns warnings into errors.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    Warning,
)

_TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def media_type(data: bytes) -> str | None:
    """The kind of picture that these bytes begin like ("image/jpeg"), or None if it is not on the allow-list."""
    for start, kind in _MAGIC:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return _iso_media_type(data)
    if len(data) > 2 and data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in b" \t\n\v\f\r#":
        return "image/x-portable-anymap"
    return None


_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
)


def _iso_media_type(data: bytes) -> str | None:
    """AVIF or HEIC by the brands of the `ftyp` box: the major one first, then the compatible ones."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))]
    for brand in brands:
        if brand in (b"avif", b"avis"):
            return "image/avif"
        if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"):
            return "image/heic"
    return None


def require_picture(data: bytes, policy: ImagePolicy = DEFAULT, *, item: str = "") -> str:
    """The kind of these bytes, if by their number, beginning and end they may be a picture: nothing is decoded.

    Args:
        data: The whole file.
        policy: Budgets.
        item: The picture's name, for messages.

    Raises:
        TooLarge: More bytes than the policy lets in.
        UnsupportedMedia: Not a picture, or of a kind that is not on the allow-list.
        ImageError: Empty or cut off.
    """
    if not data:
        raise ImageError("The file is empty.", item=item)
    if len(data) > policy.max_bytes:
        raise TooLarge(
            f"The file has {len(data):,} bytes, {policy.max_bytes:,} are allowed.",
            actual=len(data),
            limit=policy.max_bytes,
            item=item,
        )
    kind = media_type(data)
    if kind is None:
        raise UnsupportedMedia(f"This is not a picture of a kind that can be read: {_KINDS}.", item=item)
    if not _has_end(data, kind):
        raise ImageError(f"The {kind} file is cut off: its end is missing.", item=item)
    return kind


def decode(data: bytes, policy: ImagePolicy = DEFAULT, *, item: str = "") -> Image.Image:
    """Turn the bytes of a picture file into an RGB picture.

    Transparent pixels are laid on white; 16-bit levels are scaled to 8; of several frames or pages the first is
    taken. Opaque 8-bit pictures come out as `Image.open(...).convert("RGB")` has them, bit for bit.

    Args:
        data: The whole file.
        policy: Budgets and orientation.
        item: The picture's name, for messages.

    Returns:
        A loaded picture of mode RGB, without metadata.

    Raises:
        TooLarge: More bytes or more pixels than the policy lets in.
        UnsupportedMedia: Not a picture, of a kind that is not on the allow-list, or with levels of no known range.
        ImageError: Empty, cut off or damaged.
        OutOfMemory: There is too little memory now.
    """
    kind = require_picture(data, policy, item=item)
    try:
        with _STRICT.loading():
            return _decode(data, kind, policy, item)
    except MissingDependency as error:
        raise UnsupportedMedia(f"This is a HEIC picture. {error}", item=item) from error
    except LookalikeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(
            f"The {kind} file unpacks to more than Pillow lets in ({error}).",
            actual=2 * (Image.MAX_IMAGE_PIXELS or 0) + 1,
            limit=2 * (Image.MAX_IMAGE_PIXELS or 0),
            item=item,
        ) from error
    except MemoryError as error:
        raise OutOfMemory(
            "There is too little memory to decode it now, whatever the file is like: try again with more, or with less "
            "at the same time.",
            item=item,
        ) from error
    except _DECODER_ERRORS as error:
        raise ImageError(f"The {kind} file is cut off or damaged ({error}).", item=item) from error


def is_plain(data: bytes) -> bool:
    """Whether every reader sees the same picture in a JPEG or PNG file that `decode` has taken.

    It is then upright, opaque, of one frame, in grey or RGB with 8 bits to a level.
    """
    kind = media_type(data)
    image = _open(data, kind or "")
    is_simple = image.mode in ("RGB", "L") and "transparency" not in image.info and getattr(image, "n_frames", 1) == 1
    # Of 16-bit colour Pillow says "RGB" too; byte 24 of a PNG is its bit depth (section 11.2.1).
    return is_simple and (kind != "image/png" or data[24] == 8) and _orientation(image) == 1


def read_exif(data: bytes) -> dict[int, object]:
    """The EXIF tags of a JPEG file, also those about the camera; none of another kind, or of damaged ones.

    Those of JPEG are read by Python alone: no decoder runs, which a file could make crash or hang.
    """
    if media_type(data) != "image/jpeg":
        return {}
    try:
        jpeg.layout(data)  # raises where Pillow would read a million segments
        exif: Image.Exif = _open(data, "image/jpeg").getexif()
        return dict(exif) | dict(exif.get_ifd(ExifTags.IFD.Exif))
    except _DECODER_ERRORS:
        return {}


def _decode(data: bytes, kind: str, policy: ImagePolicy, item: str) -> Image.Image:
    found = jpeg.layout(data) if kind == "image/jpeg" else None
    image = _open(data if found is None else jpeg.unclosed(found, data), kind)
    for size in (image.size, *_hidden_sizes(image, data, kind)):
        _require_budget(size, policy, item)
    if found is not None:
        jpeg.require_budget(found, image.size, policy, item)
        jpeg.require_whole(found, data)
    samples = samples_of_png(data) if kind == "image/png" else Samples()
    if kind == "image/tiff":
        samples = samples_of_tiff(image.tag_v2, item)
        # Its load() would consult a limit of the whole process before making room for the pixels.
        size = (image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength])
        image.im = Image.new(image.mode, size, None).im
    image.load()
    turn = _TRANSPOSES.get(_orientation(image)) if policy.orientation == "apply" else None
    rgb = to_rgb(image, samples)
    del image  # the turn takes as much room again
    rgb.info = {}
    return rgb if turn is None else rgb.transpose(turn)


def _has_end(data: bytes, kind: str) -> bool:
    """False if the marker that ends a file is missing, for the formats whose decoders do not insist on it."""
    if kind == "image/png":
        return b"IEND" in data
    if kind == "image/jp2":
        # Neither marker can occur within compressed data: start of data, end of codestream.
        return data.rfind(b"\xff\xd9") > data.find(b"\xff\x93") >= 0
    return True


def _open(data: bytes, kind: str) -> Any:
    """The picture with its header read; an `Image.Image`, some with attributes of their own."""
    if kind == "image/heic":
        return open_heic(BytesIO(data))
    # Not Image.open: that consults limits of the whole process, and warns where it should refuse.
    if kind == "image/png":
        data = png.pixels_only(data)
    module, plugin = _PLUGINS[kind]
    return getattr(import_module(module), plugin)(BytesIO(data))


def _hidden_sizes(image: Any, data: bytes, kind: str) -> Iterator[tuple[int, int]]:
    """Sizes besides the picture's own that make a decoder take memory: they are in the file's hands as well."""
    if kind == "image/tiff":
        yield image.tag_v2.get(ExifTags.Base.TileWidth, 0), image.tag_v2.get(ExifTags.Base.TileLength, 0)
    elif kind == "image/jp2":
        # The codestream's size counts, whatever the box around it says.
        codestream = data.index(b"\xff\x4f\xff\x51") + 8
        right, bottom, left, top = struct.unpack_from(">4I", data, codestream)
        yield right - left, bottom - top


def _require_budget(size: tuple[int, int], policy: ImagePolicy, item: str) -> None:
    width, height = size
    if width * height > policy.max_pixels:
        raise TooLarge(
            f"The picture has {width:,} x {height:,} pixels, {policy.max_pixels:,} are allowed.",
            actual=width * height,
            limit=policy.max_pixels,
            item=item,
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 where EXIF is damaged.

    Read after loading: TIFF and HEIC are turned by their decoders, which remove the tag themselves.
    """
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DECODER_ERRORS:
        return 1


class _StrictLoading:
    """Keeps Pillow from handing out partial pictures, also where another library has told it to.

    `ImageFile.LOAD_TRUNCATED_IMAGES` is a switch of the whole process. It is touched only if it is on, for as long
    as any thread is decoding here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_loading = 0
        self._was_on = False

    @contextmanager
    def loading(self) -> Iterator[None]:
        from PIL import ImageFile  # with the first picture, as the plugins

        with self._lock:
            self._n_loading += 1
            if ImageFile.LOAD_TRUNCATED_IMAGES:
                self._was_on = True
                ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            with self._lock:
                self._n_loading -= 1
                if self._was_on and not self._n_loading:
                    self._was_on = False
                    ImageFile.LOAD_TRUNCATED_IMAGES = True


_STRICT = _StrictLoading()
