"""What a client asks for, as requests of HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from lookalike.errors import InputError
from lookalike.messages import Request


def post(path: str, body: Mapping[str, object]) -> Request:
    """A question in JSON."""
    return Request("POST", path, json.dumps(body).encode())


def get_item(item_id: str, part: str, project: str | None, *, size: int | None = None) -> Request:
    """A question about an item. InputError if its id or its project is no text that an address can carry."""
    given = {name: value for name, value in (("project", project), ("size", size)) if value is not None}
    try:
        path, query = f"/items/{quote(item_id, safe='')}{part}", urlencode(given)
    except UnicodeEncodeError as error:
        raise InputError("has half a character in it (a lone surrogate): nothing is called so.", item="id") from error
    return Request("GET", f"{path}{'?' if query else ''}{query}")
