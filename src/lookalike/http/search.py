"""Searching the index: by words, by a picture, by an item, by a vector, or by several of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from lookalike import query as queries
from lookalike.errors import LookalikeError
from lookalike.http.access import Call, Searching
from lookalike.http.contents import require_image_search
from lookalike.http.items import ItemFacts, item_facts
from lookalike.http.jobs import outcomes
from lookalike.http.problems import responses
from lookalike.http.questions import SEARCH_BODY, ExampleOptions, Question, WordsOptions, read_question, words_question
from lookalike.http.schemas import APPROXIMATION, Approximate
from lookalike.query import Part
from lookalike.types import Embedded, Hits, Job, QueryKind

router = APIRouter(prefix="/search")


class FoundItem(BaseModel):
    """One answer."""

    item: ItemFacts
    similarity: float = Field(description="Cosine, -1 to 1; not comparable between words and pictures.")
    confidence: float = Field(description="0 to 1; from 0.5 on it counts as related. Comparable.")


class Found(BaseModel):
    """The answer to a query, best first."""

    hits: list[FoundItem]
    space: str
    model: str
    considered: int = Field(description="How many items the filter let through.")
    warnings: list[str]
    approximation: Approximate | None = Field(None, description=APPROXIMATION)
    took_ms: Mapping[str, float] = Field(
        description="Milliseconds by stage.", examples=[{"embed": 8.1, "search": 1.2, "total": 9.3}]
    )


@router.get("/images", summary="Find pictures by words", response_model=Found)
async def by_words(call: Searching, options: Annotated[WordsOptions, Query()]) -> Found:
    """`/search/images?q=a+red+dress&limit=5`: the pictures of the index that these words describe, best first."""
    return await _find(words_question(options, call.shared.settings), call)


@router.post(
    "/images",
    summary="Find pictures by an example, or by several things at once",
    response_model=Found,
    responses=responses(415),
    openapi_extra=SEARCH_BODY,
)
async def by_example(call: Searching, options: Annotated[ExampleOptions, Query()]) -> Found:
    """JSON, with everything in it; or the bytes of a picture, or a form with some, and the rest in the query string."""
    question = await read_question(call.request, options, call.shared.settings)
    return await _find(question, call)


async def _find(question: Question, call: Call) -> Found:
    require_image_search(call.shared.settings, call.caller, question.where.project, question.parts)
    collection = call.shared.index
    await collection.require(until=call.until)
    begun = time.monotonic()
    parts = await embedded(question.parts, call)
    looked = time.monotonic()
    hits = await collection.ask(
        lambda view: view.find(
            view.query(parts, project=question.where.project),
            limit=question.limit,
            where=question.where,
            min_confidence=question.min_confidence,
        ),
        caller=call.caller,
        until=call.until,
    )
    found = time.monotonic()
    call.shared.metrics.observe("search", found - looked)
    return _answer(hits, call.request, {"embed": looked - begun, "search": found - looked, "total": found - begun})


async def embedded(parts: Sequence[Part], call: Call) -> list[Part]:
    """The parts, with words and pictures turned into vectors by the service."""
    wanted = [number for number, part in enumerate(parts) if part.text is not None or part.image is not None]
    jobs = [_job(parts[number], f"query[{number}]" if len(parts) > 1 else "", call) for number in wanted]
    done = list(parts)
    for number, outcome in zip(wanted, await outcomes(call.shared.service, jobs) if jobs else (), strict=True):
        if isinstance(outcome, LookalikeError):
            raise outcome
        done[number] = replace(parts[number], text=None, image=None, vector=_query_of(outcome, parts[number]))
    return done


def _job(part: Part, name: str, call: Call) -> Job:
    """Somebody waits for it: a picture to search by goes before those to be embedded."""
    if part.text is not None:
        return Job(modality="text", payload=part.text, item=name, caller=call.caller.name, deadline=call.until)
    assert isinstance(part.image, bytes)  # noqa: S101  paths do not come over HTTP
    return Job(modality="image", payload=part.image, item=name, caller=call.caller.name, deadline=call.until)


def _query_of(found: Embedded, part: Part) -> queries.Query:
    kind: QueryKind = "image" if part.text is None else "text"
    warnings = [found.warning] if found.warning else []
    return queries.made_query(found.vector, found.tower, kind, warnings=warnings)


def _answer(hits: Hits, request: Request, seconds: Mapping[str, float]) -> Found:
    return Found(
        hits=[
            FoundItem(
                item=item_facts(hit.item, request),
                similarity=round(hit.similarity, 6),
                confidence=round(hit.confidence, 4),
            )
            for hit in hits
        ],
        space=hits.space.id,
        model=hits.space.model,
        considered=hits.considered,
        warnings=list(hits.warnings),
        approximation=Approximate(**hits.approximation.document) if hits.approximation else None,
        took_ms={stage: round(took * 1e3, 2) for stage, took in seconds.items()},
    )
