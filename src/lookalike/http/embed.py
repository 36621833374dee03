"""The routes that turn pictures and texts into vectors."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lookalike.errors import LookalikeError, NotReady, UnsupportedModel
from lookalike.http.access import Call, Vectorizing
from lookalike.http.answers import RAW, answer
from lookalike.http.contents import public_name
from lookalike.http.context import Context
from lookalike.http.examples import EMBED_IMAGE, EMBED_TEXT
from lookalike.http.inputs import Fetch, Inputs, read_images, read_texts
from lookalike.http.jobs import Outcome, outcomes
from lookalike.http.problems import responses
from lookalike.http.schemas import Embedding, Embeddings
from lookalike.spaces import Tower
from lookalike.types import Job, Lane

router = APIRouter(prefix="/embed")

RAW_ROWS = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "X-Count rows of X-Dimensions little-endian float32.",
    }
}


def fetch_of(call: Call) -> Fetch | None:
    """What reads pictures by URL for a request; None if the service does not."""
    fetcher = call.shared.fetcher
    return None if fetcher is None else fetcher.within(call.until, hold=call.request.state.hold)


async def outcomes_of(call: Call, inputs: Inputs, lane: Lane, tower: Tower) -> list[Outcome]:
    """What became of each input.

    Raises:
        UnsupportedModel: There is a picture or a text among them, and the model embeds none.
        ServiceError: The service could take none of them.
    """
    jobs = [
        Job(
            modality="image" if isinstance(entry, bytes) else "text",
            payload=entry,
            item=inputs.names[index],
            lane=lane,
            caller=call.caller.name,
            deadline=call.until,
        )
        for index, entry in enumerate(inputs.entries)
        if not isinstance(entry, LookalikeError)
    ]
    for job in jobs:
        if job.modality not in tower.modalities:
            name = tower.approximation.source if tower.approximation else public_name(tower.space)
            raise UnsupportedModel(f"The model {name!r} embeds {tower.modalities[0]}s only.", model=name)
    found = iter(await outcomes(call.shared.service, jobs) if jobs else ())
    return [entry if isinstance(entry, LookalikeError) else next(found) for entry in inputs.entries]


def served_tower(shared: Context) -> Tower:
    """The recipe of every vector.

    Raises:
        NotReady: No worker has loaded the model yet.
    """
    status = shared.service.status()
    if status.tower is None:
        raise NotReady(status.reason)
    return status.tower


@router.post(
    "/image",
    summary="Pictures to vectors",
    response_model=Embedding | Embeddings,
    response_description="`Embedding` of a single picture, `Embeddings` of a batch; or raw float32.",
    responses={200: {"content": {RAW: RAW_ROWS}}, **responses(415, 502)},
    openapi_extra=EMBED_IMAGE,
)
async def embed_image(call: Vectorizing) -> Response:
    """Takes JSON with base64, a data URI or (where enabled) a URL; a form with files; or the bytes of one file.

    A batch answers each picture for itself: null in `embeddings` and an entry of `errors` where one failed.
    """
    inputs = await read_images(call.request, call.shared.settings, fetch_of(call))
    tower = served_tower(call.shared)
    return await answer(call.request, inputs, await outcomes_of(call, inputs, "bulk", tower), tower)


@router.post(
    "/text",
    summary="Texts to vectors",
    response_model=Embedding | Embeddings,
    response_description="`Embedding` of a single text, `Embeddings` of a batch; or raw float32.",
    responses={200: {"content": {RAW: RAW_ROWS}}, **responses(415)},
    openapi_extra=EMBED_TEXT,
)
async def embed_text(call: Vectorizing) -> Response:
    """Takes one text or a batch. A text that is longer than the model reads is cut, and a warning says so."""
    inputs = await read_texts(call.request, call.shared.settings)
    tower = served_tower(call.shared)
    found = await outcomes_of(call, inputs, "bulk" if inputs.is_batch else "interactive", tower)
    return await answer(call.request, inputs, found, tower)
