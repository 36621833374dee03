"""Who may call a route, as a dependency of FastAPI: lets a request pass, and hands the route what it works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from lookalike.http.context import Context
from lookalike.http.deadlines import PARAMETER
from lookalike.http.keys import Caller, Scope

BEARER, API_KEY = "bearer", "x-api-key"
"""The two ways to send a key, as the OpenAPI document calls them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, let in.

    Attributes:
        request: The request itself.
        shared: What every request shares; the same for as long as this one lasts.
        caller: Who asks.
        until: When the answer is due, on time.monotonic().
    """

    request: Request
    shared: Context
    caller: Caller
    until: float


class Door(SecurityBase):
    """A dependency that lets a request pass only with a key of this scope; None for any key.

    One object for all that a route is handed: FastAPI takes longer to resolve a dependency that rests on five others
    than a route takes to do its work.
    """

    def __init__(self, scope: Scope | None) -> None:
        self.model = HTTPBearer(description="`Authorization: Bearer KEY`")
        self.scheme_name = BEARER
        self._scope = scope

    async def __call__(self, request: Request) -> Call:
        """Let a request in, or raise what `Gatekeeper` raises."""
        shared: Context = request.state.context
        scheme, credentials = get_authorization_scheme_param(request.headers.get("authorization"))
        key = credentials if scheme.lower() == "bearer" and credentials else request.headers.get(API_KEY)
        caller = shared.gatekeeper.identify(key)
        request.state.caller = caller.name  # before it may be refused: the log says whose requests were too many
        address = request.client.host if request.client else ""
        shared.gatekeeper.admit(caller, self._scope, address=address)
        return Call(request, shared, caller, request.state.deadline)


Vectorizing = Annotated[Call, Depends(Door("embed"))]
"""A route's parameter, as are the others: `call: Vectorizing`."""

Searching = Annotated[Call, Depends(Door("search"))]
Writing = Annotated[Call, Depends(Door("write"))]
AnyKey = Annotated[Call, Depends(Door(None))]


def described(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with what holds for every route that has a `Door`: the other way to send a key, the deadline.

    Args:
        document: As FastAPI makes it; is left as it is.
    """
    components = document["components"]
    schemes = {
        **components["securitySchemes"],
        API_KEY: {"type": "apiKey", "in": "header", "name": API_KEY, "description": "`x-api-key: KEY`"},
    }
    paths = {
        path: {method: _described(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    return {**document, "components": {**components, "securitySchemes": schemes}, "paths": paths}


def _described(operation: dict[str, Any]) -> dict[str, Any]:
    if "security" not in operation:
        return operation
    return {
        **operation,
        "security": [*operation["security"], {API_KEY: []}],
        "parameters": [*operation.get("parameters", ()), PARAMETER],
    }
