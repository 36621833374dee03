"""Adapters of hosted models without a network: opened as the application opens them, given answers made up here."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from lookalike.errors import LookalikeError
from lookalike.messages import Answer
from lookalike.providers.adapter import Adapter, Prepared, Upload
from lookalike.providers.reference import PROVIDERS, ModelRef, ProviderSettings
from lookalike.secret import Secret
from lookalike.spaces import Modality

KEY = "sk-never-to-be-seen"
SETTINGS = ProviderSettings(keys={name: Secret(KEY) for name in PROVIDERS}, region="us-east-1")
PNG = Upload(b"\x89PNG", "image/png")
PNG_BASE64 = "iVBORw=="
JPEG = Upload(b"\xff\xd8\xff", "image/jpeg")


def opened(name: str, settings: ProviderSettings = SETTINGS) -> Adapter:
    """The adapter of a model by its name."""
    ref = ModelRef.parse(name)
    assert ref is not None
    adapter: Adapter = import_module(f"lookalike.providers.{ref.provider}").open_adapter(ref, settings)
    return adapter


def asked(name: str, *inputs: Prepared, modality: Modality = "text") -> tuple[str, Any]:
    """The whole address of a request for these inputs, and its body."""
    adapter = opened(name)
    request = adapter.request(modality, inputs)
    assert request.method == "POST"
    return adapter.base_url + request.path, json.loads(request.body)


def answered(content: object, status: int = 200, **headers: str) -> Answer:
    """An answer with this JSON; `retry_after="1"` is the header retry-after."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def refusal(name: str, content: object, status: int, **headers: str) -> LookalikeError:
    """What a model's adapter makes of an answer that is no success."""
    return opened(name).refusal(answered(content, status, **headers), 0.0)
