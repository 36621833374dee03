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

    Raises:
        InputError: The header is no number of seconds, or not within the limits.
    """
    if header is None:
        return settings.request_timeout_s
    most = settings.max_request_timeout_s
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", header) or not MIN_TIMEOUT_S <= float(header) <= most:
        raise InputError(f"{HEADER} must be a number of seconds from {MIN_TIMEOUT_S} to {most:g}, as in 2.5.")
    return float(header)


async def deadline(
    request: Request,
    _: Annotated[
        str | None,
        Header(alias=HEADER, description="Seconds after which the answer is worth nothing; then it is 504."),
    ] = None,
) -> float:
    """When the request's answer is due, on time.monotonic(); `middleware` has read the header."""
    return cast(float, request.state.deadline)


Deadline = Annotated[float, Depends(deadline)]
"""A route's parameter: `until: Deadline`."""
