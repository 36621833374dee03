"""What two models are compared on: pictures and sentences that lead astray who reads them differently."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

from lookalike.calls import Inputs
from lookalike.encoders import samples
from lookalike.parity import Trait

EXIF_ORIENTATION = 0x0112
QUARTER_TURN = 6

LONG = 200
"""Characters that are more tokens than CLIP reads, or nearly."""


def texts() -> Inputs:
    """Sentences: long, short, in many scripts, each named after its beginning."""
    names = [repr(text if len(text) <= 40 else f"{text[:39]}…") for text in samples.TEXTS]
    return Inputs(modality="text", payloads=samples.TEXTS, names=names)


def pictures() -> Inputs:
    """The pictures of `samples` as PNG, and files of the kinds that libraries disagree about."""
    plain = {f"picture {n}": _file(Image.fromarray(levels)) for n, levels in enumerate(samples.pictures(), 1)}
    found = {**plain, **_kinds()}
    return Inputs(modality="image", payloads=list(found.values()), names=list(found))


def traits() -> list[Trait]:
    """What some of them have in common, and why these alone would differ."""
    named = texts()
    cases = dict(zip(named.names, samples.TEXTS, strict=True))
    causes: dict[str, set[str]] = {
        "what becomes of an empty text": {name for name, text in cases.items() if not text},
        "where long texts are cut": {name for name, text in cases.items() if len(text) > LONG},
        "what becomes of capital letters": {name for name, text in cases.items() if text.lower() != text},
        "how other scripts than the Latin are read": {name for name, text in cases.items() if not text.isascii()},
        "orientation: one of the two turns pictures as EXIF says, and the other does not": {"turned by EXIF"},
        "what transparent pixels are laid on": {"transparent"},
        "how CMYK becomes RGB": {"CMYK"},
        "how files that are not plain RGB are read": {"CMYK", "grey", "palette", "transparent"},
        "how JPEG is decoded": {"turned by EXIF", "JPEG with halved colours", "CMYK", "large"},
        "cropping: only pictures that are not square differ": {
            *("turned by EXIF", "wide", "tall", "small", "large", "one pixel wide"),
        },
    }
    return [Trait(names=frozenset(names), cause=cause) for cause, names in causes.items()]


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
