"""Why a picture matches a query: its words and parts, what the picture is near to, and where the likeness lies."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from fastapi import APIRouter
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import LookalikeError
from lookalike.explain import Explanation, Piece, pieces
from lookalike.http.access import Call, Searching
from lookalike.http.contents import MAX_PARTS, public_name, require_image_search
from lookalike.http.items import ItemFacts, item_facts, small_copy
from lookalike.http.jobs import off_loop, outcomes
from lookalike.http.problems import responses
from lookalike.http.questions import QueryPart, part_of
from lookalike.http.schemas import inlined, parse
from lookalike.http.search import embedded
from lookalike.http.thumbnails import SIDES_PX
from lookalike.occlusion import covered, grid_of, losses
from lookalike.query import Part, Query
from lookalike.types import Embedded, Job

router = APIRouter(prefix="/search")


class ItemName(BaseModel):
    """Which picture."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    project: str | None = Field(None, description="Its project; that of the search if left out.")


class ExplainRequest(BaseModel):
    """A picture, and the query that it was found by, as in a search."""

    model_config = ConfigDict(extra="forbid", strict=True)

    picture: ItemName
    query: list[QueryPart] = Field([], max_length=MAX_PARTS, description="The parts of the query; may be left out.")
    project: str | None = Field(None, description="The project that was searched.")


class HeatmapRequest(ExplainRequest):
    """The same; without a query there is nothing to look for."""

    query: list[QueryPart] = Field(min_length=1, max_length=MAX_PARTS)


class WordFacts(BaseModel):
    """A word, or a run of words of a long text, and what is left when it is left out."""

    text: str
    similarity: float = Field(description="Cosine of the text without it to the picture.")
    confidence: float = Field(description="That of the text without it: what is missing to the whole, it brought.")


class PartFacts(BaseModel):
    """What a part of the query brings."""

    similarity: float = Field(description="Cosine of the part alone to the picture.")
    confidence: float = Field(description="That of the part alone.")
    share: float = Field(description="What it adds to the similarity of the whole; all shares add up to that.")
    words: list[WordFacts] = Field(description="Empty for pictures, and for a single word.")


class ConceptFacts(BaseModel):
    """Something that the picture is near to."""

    name: str
    similarity: float
    excess: float = Field(description="How far that is above half of what it scores on the collection.")


class Explained(BaseModel):
    """Why a picture matches a query."""

    picture: ItemFacts
    similarity: float | None = Field(description="Of the whole query; null without one.")
    confidence: float | None = Field(description="Of the whole query; null without one.")
    parts: list[PartFacts]
    concepts: list[ConceptFacts] = Field(description="The nearest first.")
    space: str
    model: str
    warnings: list[str]
    took_ms: float


class Heatmap(BaseModel):
    """Where in a picture its likeness to a query lies."""

    rows: int
    columns: int
    values: list[list[float]] = Field(
        description="By row: what the similarity loses where a cell of the upright picture is covered."
    )
    space: str
    model: str
    took_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be explained: an item, of a project, and the parts of a query in one."""

    item_id: str
    item_project: str | None
    parts: tuple[Part, ...]
    project: str | None


def _reads(model: type[ExplainRequest]) -> dict[str, object]:
    example = {"picture": {"id": "/photos/dress.jpg"}, "query": [{"text": "a red dress"}]}
    content = {"application/json": {"schema": inlined(model), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


async def _asked(model: type[ExplainRequest], call: Call) -> Question:
    body = await call.request.body()
    asked = await off_loop(len(body), lambda: parse(model, body))
    parts = await off_loop(
        len(body),
        lambda: tuple([part_of(part, f"query[{n}]", call.shared.settings) for n, part in enumerate(asked.query)]),
    )
    picture = Part(item=asked.picture.id, project=asked.picture.project)
    require_image_search(call.shared.settings, call.caller, asked.project, (picture, *parts))
    return Question(
        item_id=asked.picture.id,
        item_project=asked.picture.project or asked.project,
        parts=parts,
        project=asked.project,
    )


@router.post(
    "/explain",
    summary="Why a picture matches a query",
    response_model=Explained,
    openapi_extra=_reads(ExplainRequest),
)
async def explain(call: Searching) -> Explained:
    """What each word and part brings, and what the picture is near to.

    As far as vectors can tell: cosines, and what becomes of them when something is left out. A model has no reasons.
    """
    begun = time.monotonic()
    question = await _asked(ExplainRequest, call)
    parts, rests = await _taken_apart(question.parts, call)
    index = call.shared.index
    item, found = await index.ask(
        lambda view: view.explain((question.item_id, question.item_project), parts, rests, project=question.project),
        caller=call.caller,
        until=call.until,
    )
    space = await index.ask(lambda view: view.space, caller=call.caller, until=call.until)
    return Explained(
        picture=item_facts(item, call.request),
        similarity=round(found.hit.similarity, 6) if found.hit else None,
        confidence=round(found.hit.confidence, 4) if found.hit else None,
        parts=_part_facts(found),
        concepts=[
            ConceptFacts(name=one.name, similarity=round(one.similarity, 6), excess=round(one.excess, 6))
            for one in found.concepts
        ],
        space=space.id,
        model=public_name(space),
        warnings=list(found.warnings),
        took_ms=round((time.monotonic() - begun) * 1e3, 2),
    )


@router.post(
    "/heatmap",
    summary="Where in a picture its likeness to a query lies",
    response_model=Heatmap,
    responses=responses(410),
    openapi_extra=_reads(HeatmapRequest),
)
async def heatmap(call: Searching) -> Heatmap:
    """By covering it piece by piece: some fifty copies of the picture are embedded, behind whoever searches."""
    begun = time.monotonic()
    question = await _asked(HeatmapRequest, call)
    collection, until = call.shared.index, call.until
    parts = await embedded(question.parts, call)
    item, query, space = await collection.ask(
        lambda view: (
            view.item(question.item_id, project=question.item_project),
            view.query(parts, project=question.project),
            view.space,
        ),
        caller=call.caller,
        until=until,
    )
    data = await small_copy(item, SIDES_PX[-1], collection, until=until)
    rows, columns, copies = await collection.draw(lambda: _copies(data), until=until)
    jobs = [
        Job(modality="image", payload=copy, lane="bulk", caller=call.caller.name, deadline=until) for copy in copies
    ]
    vectors = [_vector_of(outcome) for outcome in await outcomes(call.shared.service, jobs)]
    space.require(vectors[0].tower.space, doing="Explaining")
    values = losses(np.stack([one.vector for one in vectors]), query.vector, rows=rows, columns=columns)
    return Heatmap(
        rows=rows,
        columns=columns,
        values=values.round(6).tolist(),
        space=space.id,
        model=public_name(space),
        took_ms=round((time.monotonic() - begun) * 1e3, 2),
    )


async def _taken_apart(
    parts: tuple[Part, ...], call: Call
) -> tuple[list[Part], Mapping[int, tuple[tuple[Piece, Query], ...]]]:
    """The parts as vectors, and the words without each of them: all in one batch."""
    cut = [(place, piece) for place, part in enumerate(parts) if part.text for piece in pieces(part.text)]
    found = await embedded([*parts, *(Part(text=piece.rest) for _, piece in cut)], call) if parts else []
    rests: dict[int, tuple[tuple[Piece, Query], ...]] = defaultdict(tuple)
    for (place, piece), made in zip(cut, found[len(parts) :], strict=True):
        assert isinstance(made.vector, Query)  # noqa: S101  that is what words become
        rests[place] += ((piece, made.vector),)
    return found[: len(parts)], rests


def _part_facts(found: Explanation) -> list[PartFacts]:
    return [
        PartFacts(
            similarity=round(part.similarity, 6),
            confidence=round(part.confidence, 4),
            share=round(part.share, 6),
            words=[
                WordFacts(text=word.text, similarity=round(word.similarity, 6), confidence=round(word.confidence, 4))
                for word in part.words
            ],
        )
        for part in found.parts
    ]


def _copies(data: bytes) -> tuple[int, int, list[bytes]]:
    """The copies of a picture to embed, and the grid. It is our own thumbnail: no stranger's file is decoded here."""
    with Image.open(BytesIO(data)) as image:
        rows, columns = grid_of(image.size)
        return rows, columns, covered(image.convert("RGB"))


def _vector_of(outcome: Embedded | LookalikeError) -> Embedded:
    if isinstance(outcome, LookalikeError):
        raise outcome
    return outcome
