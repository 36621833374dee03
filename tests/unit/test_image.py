"""The image door: what comes in, what stays out, and what a picture looks like behind it."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from PIL.Image import Transpose

from lookalike.errors import ImageError, InputError, TooLarge, UnsupportedMedia
from lookalike.image import decode, media_type
from lookalike.policy import ImagePolicy

IGNORE = ImagePolicy(orientation="ignore")
WIDTH, HEIGHT = 64, 48


def pattern(mode: str = "RGB") -> Image.Image:
    """A smooth picture with a different colour in each corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    levels = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, 255 - x * 255 // WIDTH], -1).astype(np.uint8)
    return Image.fromarray(levels).convert(mode)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of the picture."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    """A HEIC file of the picture."""
    file = BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return file.getvalue()


def png_16(levels: np.ndarray, *, colour_type: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16-bit levels, which Pillow cannot write in colour."""
    rows = [row.astype(">u2").tobytes() for row in levels]
    return png(rows, levels.shape[1], bits=16, colour_type=colour_type, transparent=transparent)


def png(rows: list[bytes], width: int, *, bits: int, colour_type: int, transparent: bytes = b"") -> bytes:
    """A PNG of rows as they are packed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    levels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", levels), chunk(b"IEND", b"")]
    if transparent:
        parts.insert(1, chunk(b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width: int, levels: bytes, *, bits: int = 16, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A TIFF of one row of grey, of kinds that Pillow does not write; 0 as photometric is white for level 0."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8 + 2 + 10 * 12 + 4), (277, 1)]
    tags += [(278, 1), (279, len(levels)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + levels


def packed_12(levels: np.ndarray) -> bytes:
    """An even number of 12-bit levels, two in three bytes."""
    bits = "".join(f"{level:012b}" for level in levels.ravel().tolist())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


RGB = pattern()
FILES: dict[str, tuple[str, bytes]] = {
    "jpeg": ("image/jpeg", encode(RGB, "JPEG")),
    "jpeg progressive": ("image/jpeg", encode(RGB, "JPEG", progressive=True)),
    "jpeg grey": ("image/jpeg", encode(pattern("L"), "JPEG")),
    "jpeg cmyk": ("image/jpeg", encode(pattern("CMYK"), "JPEG")),
    "png": ("image/png", encode(RGB, "PNG")),
    "png palette": ("image/png", encode(pattern("P"), "PNG")),
    "png 1 bit": ("image/png", encode(pattern("1"), "PNG")),
    "webp": ("image/webp", encode(RGB, "WEBP")),
    "webp lossless": ("image/webp", encode(RGB, "WEBP", lossless=True)),
    "webp animated": ("image/webp", encode(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(180)])),
    "gif": ("image/gif", encode(RGB, "GIF")),
    "gif animated": ("image/gif", encode(RGB, "GIF", save_all=True, append_images=[RGB.rotate(180)])),
    "bmp": ("image/bmp", encode(RGB, "BMP")),
    "bmp palette": ("image/bmp", encode(pattern("P"), "BMP")),
    "tiff": ("image/tiff", encode(RGB, "TIFF")),
    "tiff lzw": ("image/tiff", encode(RGB, "TIFF", compression="tiff_lzw")),
    "tiff jpeg": ("image/tiff", encode(RGB, "TIFF", compression="jpeg")),
    "tiff pages": ("image/tiff", encode(RGB, "TIFF", save_all=True, append_images=[RGB.rotate(180)])),
    "ppm": ("image/x-portable-anymap", encode(RGB, "PPM")),
    "pgm": ("image/x-portable-anymap", encode(pattern("L"), "PPM")),
    "pbm": ("image/x-portable-anymap", encode(pattern("1"), "PPM")),
    "jp2": ("image/jp2", encode(RGB, "JPEG2000")),
    "jp2 tiles": ("image/jp2", encode(RGB, "JPEG2000", tile_size=(16, 16))),
    "j2k": ("image/jp2", encode(RGB, "JPEG2000", no_jp2=True)),
    "avif": ("image/avif", encode(RGB, "AVIF")),
    "heic": ("image/heic", heic(RGB)),
}
MODES = {"jpeg grey": "L", "png 1 bit": "1", "pgm": "L", "pbm": "1"}
"""Of those files that hold less than the colours of `pattern`."""
each_file = pytest.mark.parametrize("name", FILES)


# What is let in


@each_file
def test_known_by_content(name: str) -> None:
    """Every format of the allow-list is known by its content and comes out as a loaded RGB picture of its size."""
    kind, data = FILES[name]
    assert media_type(data) == kind
    picture = decode(data)
    assert (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))
    reference = pattern(MODES.get(name, "RGB")).convert("RGB")
    difference = np.asarray(picture, int) - np.asarray(reference, int)
    assert np.abs(difference).mean() < (20 if "palette" in name else 8)


@pytest.mark.parametrize(
    "data",
    [
        b"just some text",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>",
        b"8BPS\0\x01",
        b"\xff\x0a\xfa\x1f",  # JPEG XL
        encode(RGB, "ICO"),
        encode(RGB, "TGA"),
        b"\0",
        b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    ],
    ids=lambda data: repr(data[:8]),
)
def test_other_kinds_stay_out(data: bytes) -> None:
    """What is not on the allow-list reaches no decoder, whatever Pillow could do with it."""
    assert media_type(data) is None
    with pytest.raises(UnsupportedMedia, match=r"^cat\.jpg: .*JPEG, PNG") as caught:
        decode(data, item="cat.jpg")
    assert caught.value.item == "cat.jpg"


def test_empty_file() -> None:
    """An empty file is an ImageError that names the item."""
    with pytest.raises(ImageError, match=r"^a/b\.png: The file is empty"):
        decode(b"", item="a/b.png")


def test_heic_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pillow-heif a HEIC picture is unsupported, and the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedMedia, match=r"x\.heic: .*lookalike\[heic\]"):
        decode(FILES["heic"][1], item="x.heic")


def test_odd_formats_of_the_shared_corpus(shared: Path) -> None:
    """Real files of many formats are read; misleading names (a JPEG called .jp2) do no harm; the text file is not."""
    for path in sorted((shared / "golden" / "formats").iterdir()):
        if path.suffix == ".txt":
            with pytest.raises(UnsupportedMedia):
                decode(path.read_bytes(), item=path.name)
        else:
            assert decode(path.read_bytes(), item=path.name).mode == "RGB"


# Budgets


def test_byte_budget() -> None:
    """A file over max_bytes is refused with both numbers; one of exactly max_bytes is not."""
    data = FILES["png"][1]
    decode(data, ImagePolicy(max_bytes=len(data)))
    with pytest.raises(TooLarge) as caught:
        decode(data, ImagePolicy(max_bytes=len(data) - 1), item="big")
    assert (caught.value.actual, caught.value.limit, caught.value.item) == (len(data), len(data) - 1, "big")


@each_file
def test_pixel_budget(name: str) -> None:
    """A picture over max_pixels is refused, in every format; one of exactly max_pixels is not."""
    data = FILES[name][1]
    decode(data, ImagePolicy(max_pixels=WIDTH * HEIGHT))
    with pytest.raises(TooLarge, match="64 x 48 pixels") as caught:
        decode(data, ImagePolicy(max_pixels=WIDTH * HEIGHT - 1))
    assert (caught.value.actual, caught.value.limit) == (WIDTH * HEIGHT, WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("edge", [10_500, 13_000, 60_000])
def test_budget_is_checked_on_the_header(edge: int) -> None:
    """A small file that claims many pixels is refused before decoding, below and above Pillow's own two limits."""
    png = bytearray(FILES["png"][1])
    png[16:24] = struct.pack(">II", edge, edge)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    bmp = bytearray(FILES["bmp"][1])
    bmp[18:26] = struct.pack("<ii", edge, edge)
    for data in (bytes(png), bytes(bmp), b"P6\n%d %d\n255\n" % (edge, edge)):
        with pytest.raises(TooLarge):
            decode(data)


@pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "tiff lzw", "bmp", "ppm", "jp2", "avif", "heic", "gif"])
def test_limits_of_the_process_are_not_consulted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's process-wide limit neither warns (an error in these tests) nor refuses: the policy alone decides."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)
    assert decode(FILES[name][1]).size == (WIDTH, HEIGHT)


def test_webp_over_the_limit_of_the_process_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow insists on its own limit (WebP), the error is TooLarge all the same."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)
    with pytest.raises(TooLarge, match=r"^w: The image/webp file"):
        decode(FILES["webp"][1], item="w")


def test_the_size_of_a_codestream_counts() -> None:
    """JPEG 2000: the codestream is budgeted, although the box around it claims less."""
    data = bytearray(FILES["jp2"][1])
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 50_000, 50_000)
    with pytest.raises(TooLarge, match="50,000 x 50,000"):
        decode(bytes(data))


def test_tiles_of_a_tiff_count() -> None:
    """TIFF: a tile far larger than the picture is budgeted."""
    entries = [(256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    entries += [(322, 4, 60_000), (323, 4, 60_000), (324, 4, 8), (325, 4, 64)]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    with pytest.raises(TooLarge, match="60,000 x 60,000"):
        decode(data)


def test_too_little_memory_is_not_held_against_the_file(tmp_path: Path) -> None:
    """A sound picture for which there is no memory now is an error that may pass, and not one of a damaged file."""
    path = tmp_path / "large.png"
    path.write_bytes(encode(Image.new("RGB", (7000, 7000)), "PNG"))
    code = f"""if True:
        import resource
        from pathlib import Path
        from lookalike.errors import OutOfMemory
        from lookalike.image import decode
        data = Path({str(path)!r}).read_bytes()
        decode({FILES["png"][1]!r})
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000, resource.RLIM_INFINITY))
        try:
            decode(data, item="large.png")
        except OutOfMemory as error:
            print(error.retryable, error)"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("True large.png: There is too little memory to decode it now")


# Whole pictures only


def outcome(data: bytes) -> bytes | None:
    """The pixels of the picture, or None if it was refused."""
    try:
        return decode(data).tobytes()
    except (ImageError, UnsupportedMedia, TooLarge):
        return None


@pytest.fixture(params=[False, True], ids=["strict", "lenient process"])
def lenient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether another library has told Pillow to hand out partial pictures."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    return bool(request.param)


@each_file
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_cut_off_files(name: str, lenient: bool) -> None:
    """A file cut anywhere is refused, or nothing but what follows the pixels was cut off: never a partial picture."""
    data = FILES[name][1]
    whole = outcome(data)
    cuts = {*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 30, len(data))}
    cuts |= {i + 2 for i in range(1, len(data)) if data[i : i + 2] == b"\xff\x90"}  # JPEG 2000: where a tile begins
    found = {cut: outcome(data[:cut]) for cut in cuts}
    assert all(pixels is None or pixels == whole for pixels in found.values())
    if "animated" not in name and "pages" not in name:
        assert all(found[cut] is None for cut in cuts if cut < 0.8 * len(data))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


def test_png_without_its_end() -> None:
    """A PNG that stops in front of its end chunk is cut off, although Pillow would take it."""
    with pytest.raises(ImageError, match="its end is missing"):
        decode(FILES["png"][1][:-12])


def test_the_switch_of_the_process_survives_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch on, threads that decode at once all stay strict, and it is on again when the last is done."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = FILES["jpeg"][1]
    whole = outcome(data)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(outcome, [data, data[: len(data) // 2]] * 100))
    assert found == [whole, None] * 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_bytes_behind_a_whole_picture_do_not_matter() -> None:
    """A JPEG or PNG with something appended is the same picture."""
    for name in ("jpeg", "png", "gif", "bmp"):
        data = FILES[name][1]
        assert outcome(data + b"trailing \xff\xd9 bytes") == outcome(data)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_foreign_error_escapes(data: st.DataObject) -> None:
    """Whatever the bytes, decode returns an RGB picture within the budget or raises one of our input errors."""
    damaged = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))][1])
    for _ in range(data.draw(st.integers(1, 6))):
        # Most of what decoders trust is near the beginning.
        at = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, min(200, len(damaged) - 1)))
        length = data.draw(st.integers(0, 8))
        damaged[at : at + length] = data.draw(st.binary(max_size=8) | st.just(b"\xff" * length))
        damaged = damaged or bytearray(b"\0")
    policy = ImagePolicy(max_pixels=1_000_000)
    try:
        picture = decode(bytes(damaged), policy, item="it")
    except InputError as error:
        assert error.item == "it"
    else:
        assert picture.mode == "RGB"
        assert picture.width * picture.height <= policy.max_pixels


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([data[:12] for _, data in FILES.values()]), rest=st.binary(max_size=200))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_rubbish_behind_a_signature(start: bytes, rest: bytes) -> None:
    """A true signature with rubbish behind it is refused with an input error."""
    with pytest.raises(InputError):
        decode(start + rest, ImagePolicy(max_pixels=10_000))


# Orientation

TURNS = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,  # stored so that a turn by 270 degrees rights it
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def sideways(orientation: int) -> tuple[Image.Image, Image.Exif]:
    """A picture as a camera stores it, with the tag that rights it."""
    turn = TURNS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return (RGB if turn is None else RGB.transpose(turn)), exif


WRITERS: dict[str, Callable[[Image.Image, Image.Exif], bytes]] = {
    "jpeg": lambda image, exif: encode(image, "JPEG", exif=exif, quality=95),
    "png": lambda image, exif: encode(image, "PNG", exif=exif),
    "webp": lambda image, exif: encode(image, "WEBP", exif=exif, lossless=True),
    "tiff": lambda image, exif: encode(image, "TIFF", exif=exif),
    "tiff lzw": lambda image, exif: encode(image, "TIFF", exif=exif, compression="tiff_lzw"),
    "avif": lambda image, exif: encode(image, "AVIF", exif=exif, quality=95),
    "heic": lambda image, exif: heic(image, exif=exif.tobytes(), quality=95),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("writer", WRITERS)
def test_orientation_is_applied_once(writer: str, orientation: int) -> None:
    """A picture stored sideways comes out upright, also where the decoder turns it by itself (TIFF, HEIC)."""
    picture = decode(WRITERS[writer](*sideways(orientation)))
    assert picture.size == RGB.size
    assert np.abs(np.asarray(picture, int) - np.asarray(RGB, int)).mean() < 4
    assert ImageOps.exif_transpose(picture).tobytes() == picture.tobytes()  # nobody can turn it again


@pytest.mark.parametrize("writer", ["jpeg", "png", "webp", "tiff", "avif"])
def test_ignoring_orientation_is_what_pillow_does(writer: str) -> None:
    """With orientation "ignore" the picture is Image.open(...).convert("RGB"), bit for bit."""
    data = WRITERS[writer](*sideways(6))
    assert decode(data, IGNORE).tobytes() == Image.open(BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_orientation_out_of_range(orientation: int) -> None:
    """An orientation that does not exist turns nothing."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(encode(RGB, "PNG", exif=exif)).tobytes() == RGB.tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_damaged_exif_does_not_cost_the_picture() -> None:
    """A picture whose EXIF block is rubbish is read as it lies."""
    for exif in (b"Exif\0\0rubbish", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"):
        assert decode(encode(RGB, "JPEG", exif=exif)).tobytes() == decode(FILES["jpeg"][1]).tobytes()


# Transparency, depth and colour


@pytest.mark.parametrize(
    "kind", ["RGBA png", "LA png", "P png", "RGBA webp", "RGBA tiff", "PA tiff", "RGBA avif", "P gif"]
)
def test_hidden_colours_do_not_leak(kind: str) -> None:
    """Fully transparent pixels are white, whatever colour lies beneath."""
    mode, suffix = kind.split()
    for colour in ((200, 0, 0), (0, 0, 90)):
        image = Image.new("RGBA", (16, 16), (*colour, 0))
        options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
        if mode == "P":
            image = Image.new("P", (16, 16), 5)
            image.putpalette(bytes(colour) * 256)
            options["transparency"] = 5
        elif mode != "RGBA":
            image = image.convert(mode)
        assert decode(encode(image, suffix, **options)).getcolors() == [(256, (255, 255, 255))]


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (Image.new("RGB", (2, 1), (10, 20, 30)), (10, 20, 30)),
        (Image.new("L", (2, 1), 77), 77),
        (Image.new("1", (2, 1), 0), 0),
        (Image.fromarray(np.full((1, 2), 43_210, np.uint16)), 43_210),
        (pattern("P").crop((0, 0, 2, 1)), bytes(256)),
    ],
    ids=["RGB", "L", "1", "I;16", "P"],
)
def test_a_transparent_colour_becomes_white(image: Image.Image, transparent: Any) -> None:
    """PNG's single transparent colour (or palette alphas) is laid on white as well."""
    assert decode(encode(image, "PNG", transparency=transparent)).getcolors() == [(2, (255, 255, 255))]


def test_a_transparent_16_bit_colour_becomes_white() -> None:
    """The transparent colour of a 16-bit RGB picture is found although its low bytes are gone."""
    levels = np.full((1, 2, 3), 0, np.uint16)
    levels[:] = (40_000, 50_000, 60_000)
    data = png_16(levels, colour_type=2, transparent=levels[0, 0].astype(">u2").tobytes())
    assert decode(data).getcolors() == [(2, (255, 255, 255))]


@pytest.mark.parametrize(
    ("bits", "row", "key"), [(1, b"\x80", 1), (2, b"\x60", 1), (4, b"\x5a", 5), (8, b"\x05\xaa", 5)]
)
def test_a_transparent_grey_of_few_bits_becomes_white(bits: int, row: bytes, key: int) -> None:
    """The transparent level of grey is counted in the file's own bits, not in 255 steps; the other one stays."""
    data = png([row], 2, bits=bits, colour_type=0, transparent=struct.pack(">H", key))
    other = {1: 0, 2: 170, 4: 170, 8: 170}[bits]
    assert [pixel[0] for pixel in np.asarray(decode(data))[0].tolist()] == [255, other]


def test_a_dark_transparent_16_bit_colour_becomes_white() -> None:
    """A transparent colour whose levels are all below 256 is one of 16 bits all the same: nearly black."""
    levels = np.array([[(5, 6, 7), (0x505, 0x606, 0x707)]], np.uint16)
    data = png_16(levels, colour_type=2, transparent=struct.pack(">3H", 5, 6, 7))
    assert np.asarray(decode(data))[0].tolist() == [[255, 255, 255], [5, 6, 7]]


def test_half_transparent_is_mixed_with_white() -> None:
    """An alpha of one half is half the colour and half white."""
    image = Image.new("RGBA", (1, 1), (0, 100, 200, 128))
    assert decode(encode(image, "PNG")).getpixel((0, 0)) == (127, 177, 227)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_a_large_transparent_picture_is_as_if_laid_on_white_at_once(mode: str) -> None:
    """Tiles leave no seam: every pixel is what it would be in a small picture, at the edges of tiles as well."""
    levels = np.random.default_rng(0).integers(0, 256, (1030, 2050, 4), np.uint8)
    image = Image.fromarray(levels).convert("L" if mode == "P" else mode)
    options: dict[str, Any] = {"transparency": 7} if mode == "L" else {}
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(levels[0, :256, :3].tobytes())
        options = {"transparency": levels[1, :256, 0].tobytes()}
    data = encode(image, "PNG", compress_level=1, **options)
    rgba = Image.open(BytesIO(data)).convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    assert decode(data).tobytes() == expected.tobytes()


def test_a_large_transparent_picture_takes_little_more_than_itself(tmp_path: Path) -> None:
    """Laid on white, 36 megapixels take room for what was decoded and what comes out, and not for five of them."""
    path = tmp_path / "large.png"
    path.write_bytes(encode(Image.new("RGBA", (6000, 6000), (9, 9, 9, 128)), "PNG", compress_level=1))
    code = f"""if True:
        from pathlib import Path
        from resource import RUSAGE_SELF, getrusage
        from lookalike.image import decode
        data = Path({str(path)!r}).read_bytes()
        decode({encode(Image.new("RGBA", (1, 1)), "PNG")!r})
        before = getrusage(RUSAGE_SELF).ru_maxrss
        decode(data)
        print(getrusage(RUSAGE_SELF).ru_maxrss - before)"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) * 1024 < 2.3 * 4 * 6000 * 6000


RAMP = np.array([[0, 255, 256, 12_800, 32_768, 65_279, 65_280, 65_535]], np.uint16)


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(RAMP), "PNG"),
        encode(Image.fromarray(RAMP), "TIFF"),
        encode(Image.frombytes("I;16B", (8, 1), RAMP.astype(">u2").tobytes()), "TIFF"),
        tiff(8, RAMP.astype("<u2").tobytes()),
        tiff(8, (65_535 - RAMP).astype("<u2").tobytes(), photometric=0),
        tiff(8, packed_12(RAMP >> 4), bits=12),
        encode(Image.fromarray(RAMP), "JPEG2000"),
        b"P5 8 1 65535\n" + RAMP.astype(">u2").tobytes(),
        png_16(np.repeat(RAMP[..., None], 3, -1), colour_type=2),
    ],
    ids=["png", "tiff", "tiff big-endian", "tiff bare", "tiff white is zero", "tiff 12", "jp2", "pgm", "png colour"],
)
def test_16_bit_is_scaled_not_clipped(data: bytes) -> None:
    """16-bit levels keep their high bytes, in grey as in colour: 32,768 of 65,535 is the middle, not white.

    So do 12-bit ones, and those that run from white to black are turned round.
    """
    picture = np.asarray(decode(data))
    assert picture[0, :, 0].tolist() == [0, 0, 1, 50, 128, 254, 255, 255]
    assert (picture == picture[..., :1]).all()


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
        encode(Image.fromarray(RAMP.astype(np.int32)), "TIFF"),
        tiff(4, bytes(16), bits=32),
        tiff(4, bytes(8), bits=16, sample_format=2),
        tiff(4, bytes(4), bits=8, sample_format=2),
        tiff(4, bytes(16), bits=32, photometric=0, sample_format=3),
    ],
    ids=["float", "signed 32", "unsigned 32", "signed 16", "signed 8", "float, white is zero"],
)
def test_levels_without_a_known_range_are_refused(data: bytes) -> None:
    """What does not say which level is white is refused: 0 to 1, 0 to 255 or 0 to 4,294,967,295 would look alike."""
    with pytest.raises(UnsupportedMedia, match=r"^m\.tif: The TIFF has levels without a known range.* 8 or 16 bits"):
        decode(data, item="m.tif")


@pytest.mark.parametrize("name", [name for name in FILES if name != "heic"])
def test_opaque_pictures_are_as_pillow_has_them(name: str) -> None:
    """An opaque 8-bit picture is Image.open(...).convert("RGB"), bit for bit."""
    data = FILES[name][1]
    assert decode(data, IGNORE).tobytes() == Image.open(BytesIO(data)).convert("RGB").tobytes()


def test_adobe_cmyk_is_not_inverted() -> None:
    """A CMYK JPEG (Adobe stores it inverted) has the colours that went in."""
    red = Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK")
    pixel = decode(encode(red, "JPEG", quality=95)).getpixel((8, 8))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200 > 60 > max(pixel[1:])


@pytest.mark.parametrize("name", ["gif animated", "webp animated", "tiff pages"])
def test_first_frame(name: str) -> None:
    """Of several frames or pages the first is taken."""
    first, turned = (
        np.abs(np.asarray(decode(FILES[name][1]), int) - np.asarray(image, int)).mean()
        for image in (RGB, RGB.rotate(180))
    )
    assert first < 12 < turned


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_one_pixel_wide(kind: str, size: tuple[int, int]) -> None:
    """Pictures of one pixel's width or height are read."""
    picture = decode(encode(Image.new("RGB", size, (200, 30, 40)), kind))
    assert picture.size == size
    assert np.abs(np.asarray(picture, int) - (200, 30, 40)).max() < 12
