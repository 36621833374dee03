"""What a search asks for, wherever in the request it stands: the query string, JSON, a form, or a picture's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from lookalike.config import ServeSettings
from lookalike.errors import InputError, LookalikeError
from lookalike.http.contents import MAX_HITS, MAX_PARTS, checked_text, pairs_of, picture_bytes
from lookalike.http.examples import BINARY, PIXEL
from lookalike.http.inputs import media_type, read_images
from lookalike.http.jobs import off_loop
from lookalike.http.schemas import inlined, parse
from lookalike.query import Part, require_words
from lookalike.types import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        parts: What the query is composed of.
        limit: At most so many hits.
        where: Which items count; its project is also that of items in the query.
        min_confidence: Leave out what is less sure.
    """

    parts: Sequence[Part]
    limit: int
    where: Filter
    min_confidence: float


class Options(BaseModel):
    """Which answers are wanted, in the query string."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=MAX_HITS, description="At most so many hits.")
    project: str | None = Field(None, description="Only items of this project; also the project of items asked with.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Leave out what is less sure; 0.5 is 'related'.")
    where: list[str] = Field([], description="Only items with this metadata, as 'key:value'; several must all hold.")


class WordsOptions(Options):
    """Words, and which answers are wanted."""

    q: str = Field(description="What to look for, as a caption would say it.", examples=["a red dress"])


class ExampleOptions(Options):
    """Which answers are wanted to the picture in the body, and words beside it."""

    q: str | None = Field(None, description="Words beside the picture.")
    weight: float = Field(
        1.0, description="How much `q` counts beside the picture, which counts 1; below 0, away from it."
    )


class QueryPart(BaseModel):
    """One part of a query: exactly one of text, image, item and vector."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = Field(None, description="Words, as a caption would say them.")
    image: str | None = Field(None, description="The bytes of a picture's file as base64, or a data URI.")
    item: str | None = Field(None, description="The id of an item; it is left out of the answer.")
    vector: list[float] | None = Field(None, description="A vector of the index's space, of any length but 0.")
    project: str | None = Field(None, description="The item's project; that of the search if left out.")
    weight: float = Field(1.0, description="How much it counts; below 0, what is like it is moved away from.")


class SearchRequest(QueryPart):
    """A query of one part, or of several in `query`; and which answers are wanted."""

    query: list[QueryPart] | None = Field(None, min_length=1, max_length=MAX_PARTS, description="Several parts.")
    limit: int = Field(10, ge=1, le=MAX_HITS)
    project: str | None = None
    min_confidence: float = Field(0.0, ge=0, le=1)
    where: dict[str, str] = Field({}, description="Only items with all of this metadata.")


_EXAMPLES: dict[str, dict[str, Any]] = {
    "words": {"text": "a red dress", "limit": 5},
    "picture": {"image": PIXEL, "min_confidence": 0.5},
    "item": {"item": "/photos/dress.jpg", "project": "shop"},
    "composed": {"query": [{"item": "/photos/dress.jpg"}, {"text": "stripes", "weight": -2}]},
}

SEARCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": inlined(SearchRequest),
                "examples": {name: {"summary": name, "value": value} for name, value in _EXAMPLES.items()},
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": BINARY["schema"]},
                    "required": ["image"],
                    "additionalProperties": False,
                }
            },
            "application/octet-stream": BINARY,
            "image/*": BINARY,
        },
    }
}
"""What OpenAPI shows of the body of POST /search/images."""


def words_question(options: WordsOptions, settings: ServeSettings) -> Question:
    """Words in the query string."""
    return _question([Part(text=_words(options.q, settings, item="q"))], options)


async def read_question(request: Request, options: ExampleOptions, settings: ServeSettings) -> Question:
    """The question of a request with a body.

    Raises:
        InputError: The body or a parameter is not what it should be; names it.
        TooLarge: A text or the form has too much.
        UnsupportedMedia: It has another content type.
    """
    if media_type(request) == "application/json":
        return await _json_question(request, settings)
    inputs = await read_images(request, settings, None, form_fields=())
    parts = [Part(image=_usable(entry)) for entry in inputs.entries]
    if options.q is not None:
        parts.append(Part(text=_words(options.q, settings, item="q"), weight=options.weight))
    elif "weight" in options.model_fields_set:
        raise InputError("is that of the words in 'q', and there are none: add them, or leave it out.", item="weight")
    return _question(parts, options)


async def _json_question(request: Request, settings: ServeSettings) -> Question:
    if request.query_params:
        raise InputError("With a body in JSON everything stands in the body, nothing in the query string.")
    body = await request.body()
    asked = await off_loop(len(body), lambda: parse(SearchRequest, body))
    alone = sorted(asked.model_fields_set.intersection(QueryPart.model_fields) - {"project"})
    if asked.query is not None and alone:
        raise InputError(f"Put {alone[0]!r} into a part of 'query', or leave 'query' out.")
    named = {"": asked} if asked.query is None else {f"query[{n}]": part for n, part in enumerate(asked.query)}
    return Question(
        parts=await off_loop(len(body), lambda: [part_of(part, name, settings) for name, part in named.items()]),
        limit=asked.limit,
        where=Filter(project=asked.project, metadata=asked.where),
        min_confidence=asked.min_confidence,
    )


def part_of(asked: QueryPart, name: str, settings: ServeSettings) -> Part:
    """One part; errors have its name, and that of the field where one is to blame."""
    fields = {"text": asked.text, "image": asked.image, "item": asked.item, "vector": asked.vector}
    given = [field for field, value in fields.items() if value is not None]
    item = ".".join(filter(None, [name, *given])) if len(given) == 1 else name
    try:
        text = None if asked.text is None else _words(asked.text, settings, item=item)
        image = None if asked.image is None else picture_bytes(asked.image)
        return Part(
            text=text,
            image=image,
            item=asked.item,
            vector=asked.vector,
            weight=asked.weight,
            project=asked.project,
        )
    except InputError as error:
        if error.item:
            raise
        raise InputError(error.reason, item=item) from error


def _words(text: str, settings: ServeSettings, *, item: str) -> str:
    words: str = _usable(checked_text(require_words(text), settings, item=item))
    return words


def _usable(entry: Any) -> Any:
    if isinstance(entry, LookalikeError):
        raise entry
    return entry


def _question(parts: Sequence[Part], options: Options) -> Question:
    where = Filter(project=options.project, metadata=pairs_of(options.where, item="where"))
    return Question(parts=parts, limit=options.limit, where=where, min_confidence=options.min_confidence)
