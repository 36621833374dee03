"""The body of a request to the pictures that it hands in, whichever way they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from lookalike.config import ServeSettings
from lookalike.errors import InputError, LookalikeError
from lookalike.http.contents import names_of, pairs_of, picture_bytes, require_room
from lookalike.http.forms import read_form
from lookalike.http.inputs import media_type, require_kind
from lookalike.http.jobs import off_loop
from lookalike.http.schemas import parse


class NewItem(BaseModel):
    """One picture, and what its item shall be: exactly one of image, url and uri."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | None = Field(
        None, description="Its name, unique within the project; left out, where it is, or of bytes their sha256."
    )
    image: str | None = Field(None, description="The bytes of the picture's file as base64, or a data URI.")
    url: str | None = Field(None, description="An http(s) address; only where the service was told to fetch pictures.")
    uri: str | None = Field(None, description="An object of a bucket, such as s3://bucket/key; or such an address.")
    project: str | None = Field(
        None, description="The collection that it will belong to; the service's own if left out."
    )
    caption: str = Field("", description="Free text.")
    metadata: dict[str, str] = Field({}, description="Further facts, to filter by.")


class ItemsRequest(NewItem):
    """One picture, or a batch of them in `items`."""

    items: list[NewItem] | None = Field(
        None, min_length=1, fail_fast=True, description="A batch; beside it stands at most the project of all."
    )


class NewItemOptions(BaseModel):
    """What the item of a picture shall be that comes as bytes or in a form, in the query string."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(None, description="Its name; left out, that of its file, or else the sha256 of its bytes.")
    project: str | None = Field(None, description="The collection that it will belong to.")
    caption: str = Field("", description="Free text.")
    metadata: list[str] = Field([], description="Further facts, as 'key:value'; several of them, several times.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A picture that was handed in, not yet looked at.

    Attributes:
        name: What it is called in errors: "items[3]"; empty if it is the only one.
        data: Its bytes, None if it lies elsewhere; or why it cannot be used.
        uri: Where it lies; empty if it came as bytes.
        id: What its item shall be called; empty if that was not said.
        project: The collection that it shall belong to; None if that was not said.
        caption: Free text.
        metadata: Further facts.
    """

    name: str = ""
    data: bytes | LookalikeError | None = field(default=None, repr=False)
    uri: str = ""
    id: str = ""
    project: str | None = None
    caption: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What a request hands in, and whether it is a batch, be it of one."""

    pictures: tuple[Handed, ...]
    is_batch: bool


async def read_orders(request: Request, options: NewItemOptions, settings: ServeSettings) -> HandedIn:
    """The pictures that a request hands in: JSON, a form, or the bytes of one file.

    Raises:
        InputError: The body or a parameter is not what it should be; names it.
        TooLarge: There are too many pictures.
        UnsupportedMedia: It has another content type.
    """
    kind = media_type(request)
    if kind == "application/json":
        return await _json_orders(request, settings)
    if kind == "multipart/form-data":
        return await _form_orders(request, options, settings)
    require_kind(request, "application/json", "multipart/form-data", "application/octet-stream", "image/*")
    return HandedIn((_by_options(options, data=await request.body(), item_id=options.id or ""),), is_batch=False)


async def _json_orders(request: Request, settings: ServeSettings) -> HandedIn:
    if request.query_params:
        raise InputError("With a body in JSON everything stands in the body, nothing in the query string.")
    body = await request.body()
    asked = await off_loop(len(body), lambda: parse(ItemsRequest, body))
    if asked.items is None:
        return HandedIn((await off_loop(len(body), lambda: _handed(asked, "", asked.project)),), is_batch=False)
    alone = sorted(asked.model_fields_set - {"items", "project"})
    if alone:
        raise InputError(f"Put {alone[0]!r} into an entry of 'items', or leave 'items' out.")
    sent = asked.items
    require_room(len(sent), settings.max_batch_items, name="items")
    named = list(zip(sent, names_of(sent, "items"), strict=True))
    pictures = await off_loop(len(body), lambda: tuple([_handed(one, name, asked.project) for one, name in named]))
    return HandedIn(pictures, is_batch=True)


def _handed(asked: NewItem, name: str, project: str | None) -> Handed:
    """One picture; what is wrong with it stands in the place of its bytes."""
    data: bytes | LookalikeError | None = None
    given = [value for value in (asked.image, asked.url, asked.uri) if value is not None]
    try:
        if len(given) != 1 or not given[0]:
            raise InputError("needs one of 'image', 'url' and 'uri'.", item=name)
        if asked.image is not None:
            data = picture_bytes(asked.image, item=name)
    except InputError as error:
        data = error
    return Handed(
        name=name,
        data=data,
        uri=asked.url or asked.uri or "",
        id=asked.id or "",
        project=asked.project if asked.project is not None else project,
        caption=asked.caption,
        metadata=asked.metadata,
    )


async def _form_orders(request: Request, options: NewItemOptions, settings: ServeSettings) -> HandedIn:
    form = await read_form(request, settings, fields=(), together="items")
    is_batch = len(form.files) > 1
    if is_batch and options.id is not None:
        raise InputError("is for one picture, and there are several: name their files.", item="id")
    return HandedIn(
        tuple(
            _by_options(options, name=name, data=data, item_id=options.id or file_name)
            for name, data, file_name in zip(form.names, form.files, form.file_names, strict=True)
        ),
        is_batch=is_batch,
    )


def _by_options(options: NewItemOptions, *, data: bytes | InputError, item_id: str, name: str = "") -> Handed:
    metadata = pairs_of(options.metadata, item="metadata")
    return Handed(name=name, data=data, id=item_id, project=options.project, caption=options.caption, metadata=metadata)
