"""OpenAI's models at Azure, as they were recorded: both kinds of address, the key in its own header."""

from __future__ import annotations

from pathlib import Path

from tests.doubles.double import Seen
from tests.doubles.openai import OpenAIDouble

KEY = "azure-never-to-be-seen-0123456789"
DEPLOYMENT = "mine"


class AzureDouble(OpenAIDouble):
    """POST /openai/v1/embeddings, and /openai/deployments/DEPLOYMENT/embeddings?api-version=..."""

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.key = ""  # not the one that OpenAI looks for

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"error": {"code": code or str(status), "message": message}}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        if seen.headers.get("api-key") != KEY:
            return 401, self.error(401, "Access denied due to invalid subscription key or wrong API endpoint.")
        places = {f"/openai/deployments/{DEPLOYMENT}/embeddings?api-version=2024-10-21"}
        if seen.body.get("model") == DEPLOYMENT:
            places.add("/openai/v1/embeddings")
        if seen.path not in places:
            message = "The API deployment for this resource does not exist."
            return 404, self.error(404, message, "DeploymentNotFound")
        self.models = (seen.body["model"],)
        return super().complaint(seen)
