"""The application as a whole: its own document."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from fastapi import FastAPI

from lookalike.http.app import document


def test_the_document_is_not_made_on_the_event_loop() -> None:
    """It takes as long as ten searches, in which the loop would answer nobody; so a thread makes it."""

    class Spied(FastAPI):
        made_in: threading.Thread | None = None

        def openapi(self) -> dict[str, Any]:
            self.made_in = threading.current_thread()
            return {"components": {"securitySchemes": {}}, "paths": {}}

    app = Spied()
    assert "components" in json.loads(bytes(asyncio.run(document(app)).body))
    assert app.made_in not in (None, threading.current_thread())
