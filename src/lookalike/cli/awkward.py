"""What two models are compared on: pictures and sentences that lead astray who reads them differently."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

from lookalike.calls import Inputs
from lookalike.encoders import samples

EXIF_ORIENTATION = 0x0112
QUARTER_TURN = 6


def texts() -> Inputs:
    """Sentences: long, short, in many scripts, each named after its beginning."""
    names = [repr(text if len(text) <= 40 else f"{text[:39]}…") for text in samples.TEXTS]
    return Inputs(modality="text", payloads=samples.TEXTS, names=names)


def pictures() -> Inputs:
    """The pictures of `samples` as PNG, and files of the kinds that libraries disagree about."""
    plain = {f"picture {n}": _file(Image.fromarray(levels)) for n, levels in enumerate(samples.pictures(), 1)}
    found = {**plain, **_kinds()}
    return Inputs(modality="image", payloads=list(found.values()), names=list(found))


def _kinds() -> dict[str, bytes]:
    # The last of the samples is smooth and coloured, as photos are, and differs from itself turned by a quarter.
    photo = Image.fromarray(samples.pictures()[-1])
    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = QUARTER_TURN
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L"))
    return {
        "turned by EXIF": _file(photo, "JPEG", exif=turned),
        "JPEG with halved colours": _file(photo, "JPEG", quality=60, subsampling="4:2:0"),
        "CMYK": _file(photo.convert("CMYK"), "JPEG"),
        "grey": _file(photo.convert("L")),
        "palette": _file(photo.quantize(32)),
        "transparent": _file(clear),
        "wide": _file(photo.resize((901, 67))),
        "tall": _file(photo.resize((61, 407))),
        "small": _file(photo.resize((17, 13))),
        "large": _file(photo.resize((1501, 1103)), "JPEG"),
        "one pixel wide": _file(photo.resize((1, 90))),
    }


def _file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
