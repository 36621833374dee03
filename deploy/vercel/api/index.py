"""The function that Vercel runs: an ASGI application named `app`. See docs/deploy.md."""

from lookalike.serverless.asgi import app

__all__ = ["app"]
