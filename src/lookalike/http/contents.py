"""What requests and answers say, whatever carries them; loads nothing of the web framework."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.config import ServeSettings
from lookalike.errors import FeatureOff, InputError, TooLarge
from lookalike.http.keys import Caller
from lookalike.query import Part
from lookalike.spaces import Space, Tower
from lookalike.types import Rows

Encoding = Literal["float", "base64"]

MAX_PARTS = 16
"""Parts of one query."""

MAX_HITS = 1_000
"""What one search may ask for."""

DIGITS = 9
"""Significant digits that tell every float32 from its neighbours (IEEE 754-2019, 5.12.2: 1 + ceil(24 log10(2)))."""

_WHITESPACE = re.compile(r"\s+", re.ASCII)


def names_of(entries: Sequence[object], together: str) -> tuple[str, ...]:
    """What each is called: "images[0]", "images[1]" ... for "images"; nothing if they have no name together."""
    return tuple(f"{together}[{index}]" if together else "" for index in range(len(entries)))


def picture_bytes(text: str, *, item: str = "") -> bytes:
    """The bytes that base64 or a data URI stands for; white space between its letters counts for nothing.

    Raises:
        InputError: It is neither. Foreign letters are not skipped: what is left would be another picture.
    """
    if text[:5].lower() == "data:":
        header, comma, text = text.partition(",")
        if not comma or not header.lower().endswith(";base64"):
            raise InputError("is a data URI without base64: write data:image/jpeg;base64,...", item=item)
    with suppress(ValueError):
        return binascii.a2b_base64(text, strict_mode=True)
    try:
        return binascii.a2b_base64(_WHITESPACE.sub("", text), strict_mode=True)
    except ValueError as error:
        raise InputError("is neither base64 nor a data URI, or is cut off.", item=item) from error


def checked_text(text: str, settings: ServeSettings, *, item: str = "") -> str | TooLarge:
    """The text, or the error that it is too long; how much a model reads of it is another matter."""
    if len(text) <= settings.max_text_chars:
        return text
    return TooLarge(
        f"The text has {len(text):,} characters; {settings.max_text_chars:,} are allowed.",
        actual=len(text),
        limit=settings.max_text_chars,
        item=item,
    )


def pairs_of(texts: Sequence[str], *, item: str) -> dict[str, str]:
    """What several of "key:value" say. InputError, naming the parameter, if one is not that, or two say otherwise."""
    pairs: dict[str, str] = {}
    for key, colon, value in (text.partition(":") for text in texts):
        if not colon:
            raise InputError("must be 'key:value'.", item=item)
        if pairs.setdefault(key, value) != value:
            raise InputError("has two values of one key, and no item has: leave one out.", item=item)
    return pairs


def require_image_search(settings: ServeSettings, caller: Caller, project: str | None, parts: Sequence[Part]) -> None:
    """Raise FeatureOff if this project, or that of an item that is asked with, cannot be searched.

    The settings may name projects: whoever may not see one is not told by that either.
    """
    strangers = replace(settings.image_search, projects=())
    named = [part.project for part in parts if part.project is not None]
    for name in (caller.project_of(project), *named):
        known = name is None or caller.sees(name)
        (settings.image_search if known else strangers).require("Image search", name)


def searches_together(settings: ServeSettings, caller: Caller) -> bool:
    """Whether a search that names no project is answered."""
    try:
        require_image_search(settings, caller, None, ())
    except (FeatureOff, InputError):
        return False
    return True


def require_room(n: int, limit: int, *, name: str) -> None:
    """Raise TooLarge if a batch has more entries than are allowed."""
    if n > limit:
        raise TooLarge(
            f"has {n:,} entries; {limit:,} are allowed: send several requests.", item=name, actual=n, limit=limit
        )


def public_name(space: Space) -> str:
    """The model's name for strangers: of a model in a folder of this machine only the folder's name."""
    path = PurePath(space.model)
    return path.name if path.is_absolute() else space.model


def tower_facts(tower: Tower) -> dict[str, Any]:
    """What an answer says of all of its vectors."""
    space, near = tower.space, tower.approximation
    approximation = {"approximation": near.document} if near else {}
    return {"dimensions": space.dim, "space": space.id, "model": public_name(space), **approximation}


def encoded(vector: Rows, encoding: Encoding) -> list[float] | str:
    """(dim,) float32 -> what JSON has of it; reads back to the same float32."""
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode("ascii")
    return shortened(vector).tolist()  # type: ignore[no-any-return]


def shortened(vector: Rows) -> NDArray[np.float64]:
    """(dim,) float32 -> float64 near it that are written with nine digits, where float32's own would take seventeen."""
    values = vector.astype(np.float64)
    magnitude = np.log10(np.abs(values), out=np.zeros_like(values), where=values != 0)
    scale = 10.0 ** (DIGITS - 1 - np.floor(magnitude))
    return np.rint(values * scale) / scale
