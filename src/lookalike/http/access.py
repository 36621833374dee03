"""Who may call a route: the gatekeeper as a dependency of FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from lookalike.http.gate import Gatekeeper
from lookalike.http.keys import Caller, Scope

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer KEY`")
_header = APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="x-api-key", description="`x-api-key: KEY`")


def require(scope: Scope | None) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets a request pass only with a key of this scope; None for any key.

    Use it as `caller: Annotated[Caller, Depends(require("embed"))]`.
    """

    async def caller(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        header: Annotated[str | None, Security(_header)],
    ) -> Caller:
        gatekeeper = cast(Gatekeeper, request.state.context.gatekeeper)
        address = request.client.host if request.client else ""
        key = bearer.credentials if bearer else header
        found = gatekeeper.identify(key)
        request.state.caller = found.name  # before it may be refused: the log says whose requests were too many
        gatekeeper.admit(found, scope, address=address)
        return found

    return caller
