"""The application: routes, errors and middleware put together."""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

import lookalike
from lookalike.http import (
    adding,
    browsing,
    comparing,
    embed,
    explaining,
    health,
    hooks,
    items,
    mapping,
    openai,
    ordered,
    search,
)
from lookalike.http.access import described
from lookalike.http.current import Current
from lookalike.http.middleware import add_middleware
from lookalike.http.page import PageFiles, page_router
from lookalike.http.problems import add_handlers, responses

TAGS = [
    {"name": "embed", "description": "Pictures and texts to vectors."},
    {"name": "openai", "description": "The same in the shape of OpenAI's API: the `openai` client works unchanged."},
    {"name": "search", "description": "Find pictures by words, by an example, or by both."},
    {"name": "items", "description": "What the index holds, and what shall be added to it."},
    {"name": "jobs", "description": "What becomes of pictures that were handed in."},
    {"name": "health", "description": "How the service is."},
]
DESCRIPTION = """Turns images and text into embeddings, and finds pictures by words or by example.

Every error is a sentence, with `retryable` and the request's id; `X-Request-Timeout` says how long an answer is worth
waiting for; a batch answers each item for itself."""

ALWAYS = (401, 403, 408, 413, 422, 429, 500, 503, 504)
"""Statuses that every route with a key may answer with."""


def create_app(current: Current) -> FastAPI:
    """The application over the current context; closes nothing when it ends: that belongs to the caller."""
    app = FastAPI(
        title="lookalike",
        summary="Embeddings and image search",
        description=DESCRIPTION,
        version=lookalike.__version__,
        openapi_tags=TAGS,
        # Their pages load scripts from somebody else's server, into the origin where keys are typed in.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # FastAPI's own route makes the document on the event loop: 60 ms in which nobody is answered
        # It would send whoever has no key on to the host that the request names, which the client chooses.
        redirect_slashes=False,
    )
    app.include_router(embed.router, tags=["embed"], responses=responses(402, *ALWAYS))
    app.include_router(openai.router, tags=["openai"], responses=responses(400, *ALWAYS, openai=True))
    app.include_router(search.router, tags=["search"], responses=responses(402, 404, 409, *ALWAYS))
    app.include_router(explaining.router, tags=["search"], responses=responses(402, 404, 409, *ALWAYS))
    app.include_router(mapping.router, tags=["items"], responses=responses(404, *ALWAYS))
    app.include_router(browsing.router, tags=["items"], responses=responses(404, *ALWAYS))
    app.include_router(comparing.comparing_router(), tags=["items"], responses=responses(404, *ALWAYS))
    app.include_router(adding.router, tags=["items"], responses=responses(404, 409, *ALWAYS))
    app.include_router(items.router, tags=["items"], responses=responses(404, *ALWAYS))
    app.include_router(ordered.router, tags=["jobs"], responses=responses(404, *ALWAYS))
    app.include_router(hooks.router, tags=["jobs"], responses=responses(404, *ALWAYS))
    app.include_router(health.router, tags=["health"])
    app.add_api_route("/openapi.json", partial(document, app), include_in_schema=False)
    app.include_router(page_router(PageFiles.read()))
    add_handlers(app)
    add_middleware(app, current)
    return app


async def document(app: FastAPI) -> Response:
    """The OpenAPI document; made in a thread when it is first asked for."""
    return await asyncio.to_thread(lambda: JSONResponse(described(app.openapi())))
