"""The body of a request to the pictures and texts in it, whichever way they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from fastapi import Request

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, InputError, LookalikeError, UnsupportedMedia
from lookalike.http.contents import Encoding, checked_text, names_of, picture_bytes, require_room
from lookalike.http.forms import read_form
from lookalike.http.jobs import off_loop
from lookalike.http.schemas import ImageRequest, Picture, TextRequest, parse

Fetch = Callable[[str], Awaitable[bytes]]
"""Reads the picture at a URL, within the request's deadline; raises errors of lookalike."""

FETCHES_AT_ONCE = 4
"""URLs of one batch that are fetched at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a request wants the vectors of.

    Attributes:
        entries: The bytes of pictures and the texts, in the request's order; an error where one cannot be used.
        names: What each is called in errors: "images[3]"; empty if it is the only one.
        is_batch: Whether the answer is a list, even of one.
        encoding: How vectors are written in JSON.
    """

    entries: tuple[bytes | str | LookalikeError, ...]
    names: tuple[str, ...]
    is_batch: bool
    encoding: Encoding = "float"


async def read_texts(request: Request, settings: ServeSettings) -> Inputs:
    """The texts of a request in JSON.

    Raises:
        InputError: The body is not such a request.
        TooLarge: It has too many texts.
    """
    require_kind(request, "application/json")
    body = await request.body()
    parsed = await off_loop(len(body), lambda: parse(TextRequest, body))
    given = parsed.model_fields_set & {"text", "texts"}
    if len(given) != 1:
        raise InputError("Send either 'text' or 'texts'.")
    is_batch = "texts" in given
    texts = parsed.texts if is_batch else [parsed.text]
    require_room(len(texts), settings.max_batch_items, name="texts")
    names = names_of(texts, "texts" if is_batch else "")
    entries = tuple(checked_text(text, settings, item=name) for text, name in zip(texts, names, strict=True))
    return Inputs(entries=entries, names=names, is_batch=is_batch, encoding=parsed.encoding_format)


async def read_images(
    request: Request, settings: ServeSettings, fetch: Fetch | None, *, form_fields: Sequence[str] = ("encoding_format",)
) -> Inputs:
    """The pictures of a request: JSON, a form, or the bytes of one file.

    Args:
        request: The request.
        settings: Its limits.
        fetch: Reads the picture at a URL; None where that is not allowed.
        form_fields: What a form may have beside its files.

    Raises:
        InputError: The body is not such a request.
        TooLarge: It has too many pictures.
        UnsupportedMedia: It has another content type.
        AccessDenied: It names a URL where that is not allowed.
    """
    kind = media_type(request)
    if kind == "application/json":
        return await _json_images(await request.body(), settings, fetch)
    if kind == "multipart/form-data":
        return await _form_images(request, settings, form_fields)
    require_kind(request, "application/json", "multipart/form-data", "application/octet-stream", "image/*")
    return Inputs(entries=(await request.body(),), names=("",), is_batch=False)


async def pictures(
    entries: Sequence[str | Picture], names: Sequence[str], fetch: Fetch | None
) -> tuple[bytes | LookalikeError, ...]:
    """The bytes of pictures that came as base64, as data URIs or by URL; an error for each that cannot be had.

    Args:
        entries: The pictures; a text is base64 or a data URI.
        names: What each is called in errors.
        fetch: Reads the picture at a URL; None where that is not allowed.

    Raises:
        AccessDenied: There is a URL, and `fetch` is None.
    """
    several = [Picture(image=entry) if isinstance(entry, str) else entry for entry in entries]
    if fetch is None and any("url" in entry.model_fields_set for entry in several):
        raise AccessDenied(
            "This service does not fetch pictures from URLs: send the picture itself, or start the service with "
            "LOOKALIKE_ALLOW_URLS=1.",
            known=True,
        )
    places = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def one(entry: Picture, name: str) -> bytes | LookalikeError:
        try:
            if len(entry.model_fields_set & {"image", "url"}) != 1:
                raise InputError("needs either 'image' or 'url'.", item=name)
            if fetch is None or "url" not in entry.model_fields_set:
                return await off_loop(len(entry.image), lambda: picture_bytes(entry.image, item=name))
            async with places:
                return await fetch(entry.url)
        except LookalikeError as error:
            return error

    return tuple(await asyncio.gather(*map(one, several, names)))


def media_type(request: Request) -> str:
    """The content type of a request in small letters, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_kind(request: Request, *kinds: str) -> None:
    """Raise UnsupportedMedia unless the body is of one of these content types ("image/*" for all of a sort)."""
    kind = media_type(request)
    if kind not in kinds and f"{kind.partition('/')[0]}/*" not in kinds:
        raise UnsupportedMedia(f"The body must be {' or '.join(kinds)}: say so in the header Content-Type.")


async def _json_images(body: bytes, settings: ServeSettings, fetch: Fetch | None) -> Inputs:
    parsed = await off_loop(len(body), lambda: parse(ImageRequest, body))
    given = parsed.model_fields_set & {"image", "url", "images"}
    if len(given) != 1:
        raise InputError("Send one of 'image', 'url' and 'images'.")
    is_batch = "images" in given
    require_room(len(parsed.images), settings.max_batch_items, name="images")
    sent: Sequence[str | Picture] = parsed.images if is_batch else [parsed]
    names = names_of(sent, "images" if is_batch else "")
    entries = await pictures(sent, names, fetch)
    return Inputs(entries=entries, names=names, is_batch=is_batch, encoding=parsed.encoding_format)


async def _form_images(request: Request, settings: ServeSettings, fields: Sequence[str]) -> Inputs:
    form = await read_form(request, settings, fields=fields, together="images")
    encoding = form.fields.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InputError("must be 'float' or 'base64'.", item="encoding_format")
    return Inputs(entries=form.files, names=form.names, is_batch=len(form.files) > 1, encoding=cast(Encoding, encoding))
