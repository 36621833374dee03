"""Until when a request wants its answer."""

from __future__ import annotations

import re
from typing import Any

from lookalike.config import ServeSettings
from lookalike.errors import InputError

HEADER = "X-Request-Timeout"
MIN_TIMEOUT_S = 0.05

PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Seconds after which the answer is worth nothing; then it is 504. More than the service allows "
    "counts as what it allows.",
    "schema": {"type": "number", "minimum": MIN_TIMEOUT_S, "examples": [2.5]},
}
"""The header as an OpenAPI document has it."""


def timeout_s(header: str | None, settings: ServeSettings) -> float:
    """The seconds that a request gives the service: its header's, or the setting's if it has none.

    More than the settings allow is as much as they allow: a client cannot know how much that is.

    Raises:
        InputError: The header is no number of seconds, or too small a one.
    """
    if header is None:
        return settings.request_timeout_s
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", header) or float(header) < MIN_TIMEOUT_S:
        raise InputError(f"{HEADER} must be a number of seconds, {MIN_TIMEOUT_S} at least, as in 2.5.")
    return min(float(header), settings.max_request_timeout_s)
