"""Vectors as answers: JSON with numbers, JSON with base64, or raw float32."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from pydantic_core import to_json

from lookalike.errors import InputError, LookalikeError
from lookalike.http.contents import encoded, public_name, tower_facts
from lookalike.http.inputs import Inputs
from lookalike.http.jobs import Outcome, off_loop
from lookalike.http.statuses import facts_of
from lookalike.spaces import Tower
from lookalike.types import Embedded

RAW = "application/octet-stream"
JSON_BYTES = 32
"""What it costs to write a number as JSON, in units of `jobs.QUICK_BYTES`."""

MAX_WARNING_CHARS = 1_000


def wants_raw(request: Request) -> bool:
    """Whether the answer should be raw float32: the header Accept names it, and not JSON."""
    accepted = request.headers.get("accept", "").lower()
    return RAW in accepted and "application/json" not in accepted


def json_answer(document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """A document as JSON."""
    return Response(to_json(document), media_type="application/json", headers=headers)


async def answer(request: Request, inputs: Inputs, outcomes: Sequence[Outcome], tower: Tower) -> Response:
    """The answer of the embedding routes.

    Args:
        request: Says by its header Accept how vectors are wanted.
        inputs: What was asked.
        outcomes: A vector or an error for each input; of a single one a vector.
        tower: Of every vector.

    Raises:
        LookalikeError: The single input's error; or, of a batch, the service's if it failed for every input.
        InputError: An input failed, and raw float32 was wanted, which has no place to say so.
    """
    failed = [outcome for outcome in outcomes if isinstance(outcome, LookalikeError)]
    if failed and (not inputs.is_batch or not any(map(_is_about_the_item, outcomes))):
        raise failed[0]
    if wants_raw(request):
        return _raw(inputs, outcomes, tower)
    n_bytes = len(outcomes) * tower.space.dim * JSON_BYTES
    return await off_loop(n_bytes, lambda: json_answer(_document(inputs, outcomes) | tower_facts(tower)))


def _is_about_the_item(outcome: Outcome) -> bool:
    return isinstance(outcome, Embedded | InputError)


def _document(inputs: Inputs, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    if not inputs.is_batch and isinstance(only := outcomes[0], Embedded):
        warning = {"warning": only.warning} if only.warning else {}
        return {"embedding": encoded(only.vector, inputs.encoding), **warning}
    rows = [encoded(found.vector, inputs.encoding) if isinstance(found, Embedded) else None for found in outcomes]
    return {"embeddings": rows, "errors": _errors(inputs, outcomes), "warnings": _warnings(outcomes)}


def _errors(inputs: Inputs, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [
        {"index": index, **facts_of(error), "item": inputs.names[index]}
        for index, error in enumerate(outcomes)
        if isinstance(error, LookalikeError)
    ]


def _warnings(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [
        {"index": index, "message": found.warning}
        for index, found in enumerate(outcomes)
        if isinstance(found, Embedded) and found.warning
    ]


def _raw(inputs: Inputs, outcomes: Sequence[Outcome], tower: Tower) -> Response:
    bad = [inputs.names[index] for index, outcome in enumerate(outcomes) if isinstance(outcome, LookalikeError)]
    if bad:
        raise InputError(
            f"{len(bad)} of {len(outcomes)} have no vector, which raw float32 cannot say: ask for JSON to see why, or "
            "send the others alone.",
            item=", ".join(bad),
        )
    found = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
    space, near = tower.space, tower.approximation
    headers = {
        "X-Count": str(len(found)),
        "X-Dimensions": str(space.dim),
        "X-Space": _ascii(space.id),
        "X-Model": _ascii(public_name(space)),
        **warning_header(found),
        **({"X-Approximation": json.dumps(near.document)} if near else {}),
    }
    rows = b"".join(outcome.vector.astype("<f4", copy=False).tobytes() for outcome in found)
    return Response(rows, media_type=RAW, headers=headers)


def warning_header(found: Sequence[Embedded]) -> dict[str, str]:
    """What is to be said of the vectors of an answer that has no other place for it; each sentence once."""
    warning = " ".join(dict.fromkeys(outcome.warning for outcome in found if outcome.warning))[:MAX_WARNING_CHARS]
    return {"X-Warning": _ascii(warning)} if warning else {}


def _ascii(text: str) -> str:
    """A text as headers may carry it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
