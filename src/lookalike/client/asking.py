"""What a client asks for, as requests of HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from lookalike.client.inputs import PART_SIZE, Part, encoded
from lookalike.errors import InputError
from lookalike.messages import Request


def post(path: str, body: Mapping[str, object]) -> Request:
    """A question in JSON."""
    return Request("POST", path, json.dumps(body).encode())


def embed(path: str, inputs: Mapping[str, object]) -> Request:
    """A question for vectors: float32 in base64 has half the bytes of digits, and is read ten times as fast."""
    return post(path, {**inputs, "encoding_format": "base64"})


def embed_sentences(part: Part[str]) -> Request:
    """A question for the vectors of texts."""
    return embed("/embed/text", {"texts": part.payloads})


def embed_pictures(part: Part[bytes]) -> Request:
    """A question for the vectors of pictures: one that is large goes as it is, since base64 adds a third to it."""
    if part.size > PART_SIZE:  # then it is the only one
        return Request("POST", "/embed/image", part.payloads[0], {"Content-Type": "application/octet-stream"})
    return embed("/embed/image", {"images": [*map(encoded, part.payloads)]})


def get_item(item_id: str, part: str, project: str | None, *, size: int | None = None) -> Request:
    """A question about an item. InputError if its id or its project is no text that an address can carry."""
    given = {name: value for name, value in (("project", project), ("size", size)) if value is not None}
    try:
        path, query = f"/items/{quote(item_id, safe='')}{part}", urlencode(given)
    except UnicodeEncodeError as error:
        raise InputError("has half a character in it (a lone surrogate): nothing is called so.", item="id") from error
    return Request("GET", f"{path}{'?' if query else ''}{query}")
