"""What OpenAPI shows of the requests that FastAPI does not read itself: their kinds of body, schemas and examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lookalike.http.orders import ItemsRequest
from lookalike.http.schemas import ImageRequest, OpenAIRequest, TextRequest, inlined

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""A PNG of one red pixel, in base64."""

BINARY = {"schema": {"type": "string", "format": "binary"}}


def _json(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: {"summary": name, "value": value} for name, value in examples.items()}
    return {"application/json": {"schema": inlined(model), "examples": named}}


def _body(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


FORM = {
    "schema": {
        "type": "object",
        "properties": {
            "image": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
            "encoding_format": {"type": "string", "enum": ["float", "base64"]},
        },
        "required": ["image"],
        "additionalProperties": False,
    }
}

EMBED_TEXT = _body(
    _json(
        TextRequest,
        {
            "one": {"text": "a red bicycle"},
            "batch": {"texts": ["a red bicycle", "two dogs on a beach"]},
            "base64": {"texts": ["a red bicycle"], "encoding_format": "base64"},
        },
    )
)

EMBED_IMAGE = _body(
    {
        **_json(
            ImageRequest,
            {
                "base64": {"image": PIXEL},
                "data URI": {"image": f"data:image/png;base64,{PIXEL}"},
                "URL": {"url": "https://example.com/bicycle.jpg"},
                "batch": {"images": [PIXEL, {"url": "https://example.com/bicycle.jpg"}]},
            },
        ),
        "multipart/form-data": FORM,
        "application/octet-stream": BINARY,
        "image/*": BINARY,
    }
)

ADD_ITEMS = _body(
    {
        **_json(
            ItemsRequest,
            {
                "base64": {"id": "dress.png", "image": PIXEL, "caption": "a red dress", "metadata": {"colour": "red"}},
                "bucket": {"uri": "s3://photos/dress.jpg", "project": "shop"},
                "URL": {"url": "https://example.com/bicycle.jpg"},
                "batch": {"project": "shop", "items": [{"id": "a", "image": PIXEL}, {"uri": "s3://photos/b.jpg"}]},
            },
        ),
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
                },
                "required": ["image"],
                "additionalProperties": False,
            }
        },
        "application/octet-stream": BINARY,
        "image/*": BINARY,
    }
)

OPENAI = _body(
    _json(
        OpenAIRequest,
        {
            "text": {"model": "openai/clip-vit-base-patch32", "input": "a red bicycle"},
            "batch": {"model": "openai/clip-vit-base-patch32", "input": ["a red bicycle", "two dogs on a beach"]},
            "picture": {
                "model": "openai/clip-vit-base-patch32",
                "input": f"data:image/png;base64,{PIXEL}",
                "modality": "image",
            },
        },
    )
)
