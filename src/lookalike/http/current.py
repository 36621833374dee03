"""The context that requests work with, and who still works with an older one after it was put in another's place."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.http.context import Context


class Current:
    """Lends each request one context for all of its life. May be used from several threads at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._users: Counter[int] = Counter()
        self._changed = threading.Condition()

    @property
    def context(self) -> Context:
        """What the next request gets."""
        return self._context

    @contextmanager
    def lent(self) -> Iterator[Context]:
        """The context of one request, while that lasts."""
        with self._changed:
            context = self._context
            self._users[id(context)] += 1
        try:
            yield context
        finally:
            with self._changed:
                self._users[id(context)] -= 1
                self._changed.notify_all()

    def swap(self, context: Context) -> Context:
        """Give every request from now on this context; the one before."""
        with self._changed:
            before, self._context = self._context, context
        return before

    def wait_unused(self, context: Context, timeout_s: float) -> bool:
        """Whether the last request with this context, which is not the current one, has ended by then."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._users[id(context)], timeout_s)


class Lending:
    """Innermost middleware: hands a request its context."""

    def __init__(self, app: ASGIApp, current: Current) -> None:
        self._app = app
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        with self._current.lent() as context:
            scope.setdefault("state", {})["context"] = context
            await self._app(scope, receive, send)
