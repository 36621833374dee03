"""Until when a request wants its answer."""

from __future__ import annotations

import re
from typing import Annotated, cast

from fastapi import Depends, Header, Request

from lookalike.config import ServeSettings
from lookalike.errors import InputError

HEADER = "X-Request-Timeout"
MIN_TIMEOUT_S = 0.05


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


async def deadline(
    request: Request,
    _: Annotated[
        float | None,
        Header(
            alias=HEADER,
            ge=MIN_TIMEOUT_S,
            description="Seconds after which the answer is worth nothing; then it is 504. More than the service allows "
            "counts as what it allows.",
            examples=[2.5],
        ),
    ] = None,
) -> float:
    """When the request's answer is due, on time.monotonic(); `middleware` has read the header."""
    return cast(float, request.state.deadline)


Deadline = Annotated[float, Depends(deadline)]
"""A route's parameter: `until: Deadline`."""
