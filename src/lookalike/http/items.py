"""What the index holds: an item, its picture, a small copy of that."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from lookalike.http.access import Call, Searching
from lookalike.http.collection import Collection
from lookalike.http.originals import Original, is_served, open_original, read_original
from lookalike.http.problems import responses
from lookalike.http.thumbnails import SIDES_PX, side_of
from lookalike.types import Item

CHUNK_BYTES, CHUNK_S = 1 << 18, 10.0
"""An original is read so many bytes at a time, which a drive has to give within so many seconds."""


class ItemId(Convertor[str]):
    """Any id, line breaks too: file names may have them, and Starlette's own `path` ends before one."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The id as it was sent."""
        return value

    def to_string(self, value: str) -> str:
        """The same."""
        return value


register_url_convertor("item", ItemId())


class RouteBelowItem(APIRoute):
    """A route options last word is not part of the item's id: "/items/a%2Fpicture" is the item "a/picture"."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Whether a request is for this route."""
        last = scope.get("raw_path", b"").rpartition(b"/")[2].decode("ascii", "replace")
        return super().matches(scope) if last == self.path.rpartition("/")[2] else (Match.NONE, {})


router = APIRouter()
below = APIRouter(route_class=RouteBelowItem)


class ItemOptions(BaseModel):
    """Which item of that id, in the query string."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(
        None, description="The item's project; the key's only one, else the service's own, if left out."
    )


class ThumbnailOptions(ItemOptions):
    """And how large a copy."""

    size: int = Field(256, ge=SIDES_PX[0], le=SIDES_PX[-1], description="Longer side in pixels, about.")


class ItemFacts(BaseModel):
    """One picture as its owner knows it."""

    id: str
    project: str
    uri: str = Field(description="Where the picture is: a path on the service's machine, s3://bucket/key, or a URL.")
    content: str = Field(description="sha256 of its bytes; several items may share one.")
    caption: str
    metadata: Mapping[str, str]
    picture: str | None = Field(description="The path of its picture here; null if it cannot be read from here.")
    thumbnail: str | None = Field(description="The path of a small copy; null if it cannot be read from here.")


def item_facts(item: Item, request: Request) -> ItemFacts:
    """An item with the paths of its pictures."""
    here = f"{request.scope.get('root_path', '')}/items/{quote(item.id, safe='')}"
    project = f"?project={quote(item.project, safe='')}"
    is_shown = is_served(item.uri, with_urls=request.state.context.settings.allow_urls)
    return ItemFacts(
        id=item.id,
        project=item.project,
        uri=item.uri,
        content=item.content,
        caption=item.caption,
        metadata=item.metadata,
        picture=f"{here}/picture{project}" if is_shown else None,
        thumbnail=f"{here}/thumbnail{project}" if is_shown else None,
    )


@below.head("/items/{item_id:item}/picture", include_in_schema=False)
@below.get(
    "/items/{item_id:item}/picture",
    summary="The picture of an item",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "Not changed."}, **responses(410, 413, 502)},
)
async def picture(item_id: str, call: Searching, options: Annotated[ItemOptions, Query()]) -> Response:
    """The original picture, as long as it is the one that was indexed. Its ETag is the sha256 of the content."""
    collection = call.shared.index
    item = await _found(item_id, options, call)
    if _is_known(call.request, item.content):
        return _unchanged(item.content)
    pictures, max_bytes = collection.pictures, collection.config.max_bytes
    original = await collection.read(
        lambda: open_original(item, pictures, max_bytes=max_bytes),
        until=call.until,
        unheard=lambda late: late.file.close(),
    )
    headers = {
        **_headers(item.content),
        "Content-Length": str(original.n_bytes),
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(Path(item.uri).name, safe='')}",
    }
    if call.request.method == "HEAD":  # whose answer ends with the headers: its pieces stay unread
        original.file.close()
        return Response(media_type=original.kind, headers=headers)
    return PictureResponse(original, _chunks(original.file, collection), headers=headers)


@below.head("/items/{item_id:item}/thumbnail", include_in_schema=False)
@below.get(
    "/items/{item_id:item}/thumbnail",
    summary="A small copy of the picture of an item",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, 304: {"description": "Not changed."}, **responses(410, 413, 502)},
)
async def thumbnail(item_id: str, call: Searching, options: Annotated[ThumbnailOptions, Query()]) -> Response:
    """WebP, upright, at most as large as asked for rounded up to 64, 128, 256 or 512 pixels. Made once and kept."""
    collection = call.shared.index
    side_px = side_of(options.size)
    item = await _found(item_id, options, call)
    tag = f"{item.content}-{side_px}"
    if _is_known(call.request, tag):
        return _unchanged(tag)
    data = await small_copy(item, side_px, collection, until=call.until)
    return Response(data, media_type="image/webp", headers=_headers(tag))


@router.get("/items/{item_id:item}", summary="One item", response_model=ItemFacts)
async def one_item(item_id: str, call: Searching, options: Annotated[ItemOptions, Query()]) -> ItemFacts:
    """What is known of an item. Write its id percent-encoded, slashes too: `/items/%2Fphotos%2Fa.jpg`."""
    return item_facts(await _found(item_id, options, call), call.request)


# What is below an item comes first: a path of any length fits the item's own route.
router.routes[:0] = below.routes


async def small_copy(item: Item, side_px: int, collection: Collection, *, until: float) -> bytes:
    """The thumbnail of an item, kept from before or made now; errors as of `thumbnails.make` and `open_original`."""
    thumbnails, pictures, max_bytes = collection.thumbnails, collection.pictures, collection.config.max_bytes
    data = await collection.read(lambda: thumbnails.kept(item.content, side_px), until=until)
    if data is not None:
        return data
    return await collection.draw(
        lambda: thumbnails.make(
            lambda: read_original(item, pictures, max_bytes=max_bytes), item.content, side_px, item=item.id
        ),
        until=until,
    )


class PictureResponse(StreamingResponse):
    """The pieces of an original, which is closed however this ends: a generator that never began closes nothing."""

    def __init__(self, original: Original, chunks: AsyncIterator[bytes], *, headers: Mapping[str, str]) -> None:
        super().__init__(chunks, media_type=original.kind, headers=headers)
        self._file = original.file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with self._file:
            await super().__call__(scope, receive, send)


async def _found(item_id: str, options: ItemOptions, call: Call) -> Item:
    return await call.shared.index.ask(
        lambda view: view.item(item_id, project=options.project), caller=call.caller, until=call.until
    )


async def _chunks(file: BinaryIO, collection: Collection) -> AsyncIterator[bytes]:
    """A file piece by piece, as fast as it is taken: slow readers of large pictures cost no memory."""
    while chunk := await collection.read(lambda: file.read(CHUNK_BYTES), until=time.monotonic() + CHUNK_S):
        yield chunk


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}


def _is_known(request: Request, tag: str) -> bool:
    """Whether the caller has said that it has this version already."""
    known = request.headers.get("if-none-match", "")
    return f'"{tag}"' in (part.strip().removeprefix("W/") for part in known.split(","))


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=_headers(tag))
