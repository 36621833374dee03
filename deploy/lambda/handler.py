"""The function that AWS Lambda calls: set its handler to `handler.handler`. See docs/deploy.md."""

from lookalike.serverless.aws import handler

__all__ = ["handler"]
