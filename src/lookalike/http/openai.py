"""OpenAI's embeddings API over the same model, so that its clients work unchanged; pictures as Infinity takes them.

Request and answer are those of OpenAI's specification (github.com/openai/openai-openapi, 2026-08-21). As there, one bad
input fails the whole request. What differs is said: token ids are refused, since every model has its own.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Response

from lookalike.config import ServeSettings
from lookalike.errors import InputError, LookalikeError, ModelNotFound
from lookalike.http.access import AnyKey, Call, Vectorizing
from lookalike.http.answers import JSON_BYTES, json_answer, warning_header
from lookalike.http.contents import Encoding, checked_text, encoded, names_of, public_name, require_room
from lookalike.http.embed import fetch_of, outcomes_of, served_tower
from lookalike.http.examples import OPENAI
from lookalike.http.inputs import Inputs, pictures, require_kind
from lookalike.http.jobs import off_loop
from lookalike.http.problems import responses
from lookalike.http.schemas import OpenAIEmbeddings, OpenAIModel, OpenAIModels, OpenAIRequest, Picture, parse
from lookalike.known import known_model
from lookalike.spaces import Space, Tower
from lookalike.types import Embedded

router = APIRouter(prefix="/v1")

MAX_TEXTS = 2_048
"""Inputs of a request in OpenAI's specification, which its clients count on; pictures have the settings' limit."""

MAX_SHOWN = 100
"""Characters of a model's name that an error repeats."""

_PICTURE = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
_URL = re.compile(r"https?://", re.IGNORECASE)


@router.post(
    "/embeddings",
    summary="Create embeddings",
    response_model=OpenAIEmbeddings,
    responses=responses(402, 404, 502, openai=True),
    openapi_extra=OPENAI,
)
async def create_embeddings(call: Vectorizing) -> Response:
    """OpenAI's route. With `modality: "image"`, or written as data URIs, inputs are pictures."""
    require_kind(call.request, "application/json")
    body = await call.request.body()
    wanted = await off_loop(len(body), lambda: _parsed(body))
    tower = served_tower(call.shared)
    space = tower.space
    _require_model(wanted.model, space)
    _require_dimensions(wanted.dimensions, space)
    inputs = await _inputs(call, wanted)
    is_query = isinstance(wanted.input, str) and isinstance(inputs.entries[0], str)
    found = []
    for outcome in await outcomes_of(call, inputs, "interactive" if is_query else "bulk", tower):
        if isinstance(outcome, LookalikeError):
            raise outcome
        found.append(outcome)
    n_bytes = len(found) * space.dim * JSON_BYTES
    encoding = wanted.encoding_format or "float"
    return await off_loop(n_bytes, lambda: json_answer(_document(found, encoding, space), warning_header(found)))


@router.get(
    "/models",
    summary="List models",
    response_model=OpenAIModels,
)
async def list_models(call: AnyKey) -> Response:
    """The model that is served."""
    return json_answer({"object": "list", "data": [_facts(served_tower(call.shared))]})


@router.get(
    "/models/{model:path}",
    summary="Retrieve a model",
    response_model=OpenAIModel,
    responses=responses(404, openai=True),
)
async def retrieve_model(model: str, call: AnyKey) -> Response:
    """The model of this name, if it is the one that is served; names may have slashes."""
    tower = served_tower(call.shared)
    _require_model(model, tower.space)
    return json_answer(_facts(tower))


def _parsed(body: bytes) -> OpenAIRequest:
    try:
        return parse(OpenAIRequest, body)
    except InputError as error:
        if not error.item.startswith("input"):
            raise
        raise InputError(
            "must be a text or a list of texts, and not empty. Token ids are not taken, since every model has its own "
            "(LangChain: check_embedding_ctx_length=False).",
            item="input",
        ) from None


def _require_model(name: str, space: Space) -> None:
    known = known_model(name)
    if (known.name if known else name) not in {space.model, public_name(space)}:
        raise ModelNotFound(
            f"The model {name[:MAX_SHOWN]!r} is not served here: this is {public_name(space)!r}.",
            model=name[:MAX_SHOWN],
        )


def _require_dimensions(wanted: int | None, space: Space) -> None:
    if wanted not in (None, space.dim):
        raise InputError(
            f"must be {space.dim} or left out: vectors of this model mean nothing when they are cut.", item="dimensions"
        )


async def _inputs(call: Call, wanted: OpenAIRequest) -> Inputs:
    settings = call.shared.settings
    is_batch = not isinstance(wanted.input, str)
    values = [wanted.input] if isinstance(wanted.input, str) else wanted.input
    names = names_of(values, "input") if is_batch else ("input",)
    places = [place for place, value in enumerate(values) if _is_picture(value, wanted.modality)]
    require_room(len(values), settings.max_batch_items if places else MAX_TEXTS, name="input")
    sent = [_picture(values[place]) for place in places]
    found = dict(zip(places, await pictures(sent, [names[place] for place in places], fetch_of(call)), strict=True))
    entries = tuple(
        found[place] if place in found else _text(value, settings, item=names[place])
        for place, value in enumerate(values)
    )
    return Inputs(entries=entries, names=names, is_batch=is_batch)


def _is_picture(value: str, modality: str | None) -> bool:
    """Whether an input is a picture: what the request says, else how it begins.

    Nobody writes a caption that begins as a whole header of a data URI does; and if what follows is no base64, it is an
    error and not a caption.
    """
    return modality == "image" if modality else _PICTURE.match(value) is not None


def _picture(value: str) -> Picture:
    return Picture(url=value) if _URL.match(value) else Picture(image=value)


def _text(value: str, settings: ServeSettings, *, item: str) -> str | InputError:
    if not value:
        return InputError("is empty, which OpenAI's API does not allow.", item=item)
    return checked_text(value, settings, item=item)


def _document(found: list[Embedded], encoding: Encoding, space: Space) -> dict[str, Any]:
    n_tokens = sum(outcome.n_tokens for outcome in found)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encoded(outcome.vector, encoding)}
            for index, outcome in enumerate(found)
        ],
        "model": public_name(space),
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }


def _facts(tower: Tower) -> dict[str, Any]:
    space = replace(tower.space, model=public_name(tower.space))
    owner, slash, _ = space.model.rpartition("/")
    return {
        "id": space.model,
        "object": "model",
        "created": 0,
        "owned_by": owner if slash else "lookalike",
        "dimensions": space.dim,
        "modalities": list(tower.modalities),
        "space": space.id,
        "tower": asdict(replace(tower, space=space)),
    }
