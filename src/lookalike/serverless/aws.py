"""AWS Lambda behind a function URL or an API Gateway HTTP API: their events of payload format 2.0."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from lookalike.errors import InputError
from lookalike.messages import Answer, Request
from lookalike.serverless.service import Platform, Service

LAMBDA = Platform("AWS Lambda", 6 << 20)
"""6 MB a request or answer, base64 included (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

Event = Mapping[str, Any]


class Handler:
    """Answers events.

    Args:
        service: What answers.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, event: Event, context: object) -> dict[str, Any]:  # noqa: ARG002  (Lambda hands it in)
        """The answer to an event (docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html)."""
        try:
            request, address = _request(event, self._service)
        except InputError as error:
            return _reply(self._service.refuse(error))
        return _reply(self._service.answer(request, address=address))


def _request(event: Event, service: Service) -> tuple[Request, str]:
    """The request of an event, and where it came from.

    Raises:
        InputError: The event is no HTTP request of this format, or too large.
    """
    about = event.get("requestContext")
    http = about.get("http") if isinstance(about, Mapping) else None
    if not isinstance(about, Mapping) or not isinstance(http, Mapping):
        raise InputError(
            "This event is no HTTP request of payload format 2.0: use a function URL or an HTTP API of API Gateway."
        )
    body = event.get("body") or ""
    service.require_room(len(body))
    stage = about.get("stage", "$default")
    path = str(event.get("rawPath", "/"))
    if stage != "$default":
        path = path.removeprefix(f"/{stage}")
    query = event.get("rawQueryString")
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    request = Request(
        str(http.get("method", "GET")),
        f"{path}?{query}" if query else path,
        _bytes(body, is_base64=bool(event.get("isBase64Encoded"))),
        headers,
    )
    return request, str(http.get("sourceIp", ""))


def _bytes(body: str, *, is_base64: bool) -> bytes:
    if not is_base64:
        return body.encode("utf-8")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise InputError("The event's body is not base64, though isBase64Encoded says so.") from error


def _reply(answer: Answer) -> dict[str, Any]:
    return {
        "statusCode": answer.status,
        "headers": dict(answer.headers),
        "body": answer.body.decode("utf-8"),
        "isBase64Encoded": False,
    }


handler = Handler(Service(LAMBDA))
