"""The HTTP of huggingface-inference-toolkit around a custom handler, in a process of its own.

    python -m tests.doubles.toolkit HANDLER.py MODEL_FOLDER

prints its address and answers until its standard input is closed. Whatever a handler raises is told as 400, as there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.loopback import LoopbackHandler, LoopbackServer

Handler = Callable[[dict[str, Any]], Any]

HANDLER = Path(__file__).resolve().parents[2] / "deploy" / "huggingface" / "handler.py"
"""The handler that we ship."""


class _Connection(LoopbackHandler):
    def respond(self) -> None:
        if self.command == "GET":
            self.answer(b"Ok" if self.path in ("/", "/health") else b"Not Found", 200 if self.path == "/" else 404)
            return
        try:
            body = json.loads(self.body())
            if "inputs" not in body:
                raise ValueError(f"Body needs to provide a inputs key, recieved: {body}")
            answer, status = self.owner.call(body), 200
        except Exception as error:  # as the original does
            answer, status = {"error": str(error)}, 400
        self.answer(answer, status)


class Toolkit(LoopbackServer):
    """Serves a handler."""

    def __init__(self, call: Handler) -> None:
        super().__init__(_Connection)
        self.call = call


def handler_module(path: Path = HANDLER) -> Any:
    """The module of a handler, read from its file as the original does."""
    spec = importlib.util.spec_from_file_location("handler", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    with Toolkit(handler_module(Path(sys.argv[1])).EndpointHandler(sys.argv[2])) as server:
        print(server.url, flush=True)
        sys.stdin.read()
