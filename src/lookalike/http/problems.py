"""Errors as answers: the one place that turns what went wrong into a status and a body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from lookalike.errors import InputError, LookalikeError
from lookalike.http.statuses import facts_of, headers_of, status_of
from lookalike.http.validation import invalid

DEFECT = HTTPException(500, "Something in the service failed; its log says more under this request's id.")
"""What the caller is told of an error that nobody foresaw."""

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses, of errors that are not lookalike's own, after which the same request may succeed."""

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What routes may take."""


class ProblemFacts(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The error's class.", examples=["ImageError"])
    message: str = Field(description="A sentence.", examples=["The picture is cut off: send the whole file."])
    item: str | None = Field(None, description="Which item of a batch it is about.", examples=["images[3]"])
    retryable: bool = Field(description="Whether the same request may succeed later.")
    actual: int | str | None = Field(
        None, description="TooLarge: what the input has. SpaceMismatch: the id of the space that was offered."
    )
    limit: int | None = Field(None, description="TooLarge: what is allowed, in the unit that the message names.")
    expected: str | None = Field(None, description="SpaceMismatch: the id of the space that is in use.")
    retry_after_s: float | None = Field(None, description="When there should be an answer, in seconds, where known.")
    request_id: str = Field(description="Names the request in the service's log; also in `X-Request-ID`.")


class Problem(BaseModel):
    """The body of every error, but for those below /v1."""

    error: ProblemFacts


class OpenAIFacts(BaseModel):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = None
    code: str | None = Field(None, examples=["image_error"])


class OpenAIProblem(BaseModel):
    """The body of every error below /v1."""

    error: OpenAIFacts


def problem(
    error: LookalikeError | HTTPException, *, path: str, request_id: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that failed.

    Args:
        error: Why.
        path: The path of the request: below /v1 errors look as OpenAI's do.
        request_id: The id of the request.
        headers: More headers of the answer.
    """
    if isinstance(error, LookalikeError):
        status, facts = status_of(error), facts_of(error)
    else:
        status = error.status_code
        facts = {"type": _kind(status), "message": _sentence(error), "retryable": status in RETRYABLE_STATUS}
    if path.startswith("/v1/") and status in {415, 422} and isinstance(error, InputError):
        status = 400  # OpenAI has no 415 or 422
    if path.startswith("/v1/"):
        content = openai_problem(status, facts["type"], facts["message"], facts.get("item", ""))
    else:
        content = {"error": {**facts, "request_id": request_id}}
    return JSONResponse(content, status, headers={**_headers(error, status), **(headers or {})})


def openai_problem(status: int, kind: str, message: str, item: str = "") -> dict[str, Any]:
    """An error as OpenAI's embeddings route has it (platform.openai.com/docs/guides/error-codes)."""
    group = "rate_limit_error" if status == HTTPStatus.TOO_MANY_REQUESTS else "invalid_request_error"
    code = "invalid_api_key" if status == HTTPStatus.UNAUTHORIZED else _snake_case(kind)
    return {
        "error": {
            "message": message,
            "type": "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else group,
            "param": item or None,
            "code": code,
        }
    }


def add_handlers(app: FastAPI) -> None:
    """Let every error of an app be answered from here, but for defects: `middleware` answers them with `DEFECT`."""
    app.add_exception_handler(LookalikeError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


def responses(*statuses: int, openai: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route in the OpenAPI document: these statuses, with the body that errors have."""
    model = OpenAIProblem if openai else Problem
    return {status: {"model": model, "description": _MEANING[status]} for status in statuses}


_MEANING = {
    400: "The request cannot be read.",
    401: "There is no such API key.",
    402: "The next request to a hosted model would cost more than is allowed.",
    403: "The API key lacks the scope.",
    404: "There is no such item, or no index.",
    405: "The path does not take this method.",
    408: "The body came too slowly.",
    409: "Vectors of two spaces would be mixed.",
    410: "The picture is not at its place, or is another one by now.",
    413: "The body or a picture is too large.",
    415: "Not a kind of picture that is taken.",
    422: "What was sent cannot be used; the message says why.",
    429: "The caller has sent too much; Retry-After says when to go on.",
    500: "A defect of the service; its log has more under the request's id.",
    502: "The host of a URL failed, or asks for a pause.",
    503: "The service is not ready, or full; Retry-After says when to ask again.",
    504: "There was no answer within the request's deadline.",
}


async def _answer(request: Request, error: Exception) -> JSONResponse:
    # FastAPI wraps what is raised while it reads a body as "400 There was an error parsing the body".
    cause = error.__cause__
    if isinstance(error, HTTPException) and isinstance(cause, LookalikeError):
        error = cause
    if not isinstance(error, LookalikeError | HTTPException):
        raise error
    not_taken = isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    headers = {"Allow": _allowed(request)} if not_taken else {}
    return problem(error, path=request.url.path, request_id=_request_id(request), headers=headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return await _answer(request, invalid(found))


def _allowed(request: Request) -> str:
    """The methods that a path takes. Starlette would name those of the first route that fits it, and of no other."""
    found = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(found)


def _headers(error: LookalikeError | HTTPException, status: int) -> dict[str, str]:
    return {**headers_of(status, getattr(error, "retry_after_s", None)), **(getattr(error, "headers", None) or {})}


def _sentence(error: HTTPException) -> str:
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        return "There is nothing at this path; /openapi.json lists what there is."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return "This path does not take this method; the header Allow lists those that it does."
    return detail if detail.endswith(".") else f"{detail}."


def _kind(status: int) -> str:
    """408 -> "RequestTimeout"."""
    return re.sub(r"[^A-Za-z]", "", HTTPStatus(status).phrase.title())


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))
