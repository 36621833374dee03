"""What the service says, read: vectors that are what they should be, and hits.

An answer is believed only after a look at it: a proxy answers too, and so does another program at the same address.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lookalike.client.refusals import error_of, number, stranger, without
from lookalike.client.values import RemoteHits, RemoteVectors
from lookalike.errors import LookalikeError, ProviderError
from lookalike.messages import Answer
from lookalike.spaces import Approximation
from lookalike.types import Failure, Hit, Item, Rows
from lookalike.vectors import UNIT_TOLERANCE

Fields = Mapping[str, Any]

SUCCESS = frozenset({200, 202})
"""Answered, and taken in."""


def fields_of(answer: Answer, host: str) -> Fields:
    """The JSON object of a successful answer. ProviderError if it is none."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if answer.status not in SUCCESS or not isinstance(value, dict):
        kind = answer.headers.get("content-type", "nothing that says what it is")
        raise stranger(host, f"answers HTTP {answer.status} with {kind[:80]}")
    return value


def vectors_of(answer: Answer, asked: Mapping[int, str], host: str) -> RemoteVectors:
    """The vectors of an answer to one or several inputs.

    Args:
        answer: What came back.
        asked: The inputs that were sent, in order: for each its place in the caller's sequence, and its name.
        host: Who answers.

    Raises:
        ProviderError: It is not an answer to this, or a vector is not finite, not of unit length, not that long.
    """
    fields = fields_of(answer, host)
    found = fields["embeddings"] if "embeddings" in fields else [fields.get("embedding")]
    space, model, dim = fields.get("space"), fields.get("model"), fields.get("dimensions")
    if not isinstance(space, str) or not isinstance(model, str) or not isinstance(dim, int) or dim < 1:
        raise stranger(host, "does not say which space its vectors belong to")
    if not isinstance(found, list) or len(found) != len(asked):
        raise stranger(host, f"does not answer {len(asked)} inputs with as many vectors")
    places = list(asked)
    rows = {
        place: _row(vector, dim, f"{host}, {asked[place]}", host)
        for place, vector in zip(places, found, strict=True)
        if vector is not None
    }
    failures = [failure_of(entry, places, asked, host) for entry in entries(fields, "errors")]
    if {failure.position for failure in failures} != set(places).difference(rows):
        raise stranger(host, "leaves inputs without a vector and without an error")
    return RemoteVectors(
        values=np.stack(list(rows.values())) if rows else np.empty((0, dim), np.float32),
        space=space,
        model=model,
        positions=np.array(list(rows), np.int64),
        warnings=tuple(_warnings(fields, places, asked)),
        failures=tuple(failures),
        approximation=_approximation(fields, host),
    )


def hits_of(answer: Answer, host: str) -> RemoteHits:
    """The answer to a query. ProviderError if it is none."""
    fields = fields_of(answer, host)
    space = fields.get("space")
    if not isinstance(space, str) or not isinstance(fields.get("hits"), list):
        raise stranger(host, "does not answer with hits of a space")
    considered = fields.get("considered")
    return RemoteHits(
        hits=tuple(hit_of(entry, host) for entry in fields["hits"]),
        space=space,
        considered=considered if isinstance(considered, int) else 0,
        warnings=tuple(str(warning) for warning in fields.get("warnings") or ()),
        approximation=_approximation(fields, host),
    )


def hit_of(fields: Fields, host: str) -> Hit:
    """One answer to a query."""
    try:
        return Hit(
            item=item_of(fields["item"], host),
            similarity=float(fields["similarity"]),
            confidence=float(fields["confidence"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise stranger(host, "does not describe what it found") from error


def item_of(fields: Fields, host: str) -> Item:
    """One item of the index."""
    try:
        texts = {name: str(fields[name]) for name in ("id", "content", "project", "uri", "caption") if name in fields}
        metadata = {str(name): str(value) for name, value in dict(fields.get("metadata") or {}).items()}
        return Item(**texts, metadata=metadata)
    except (LookupError, TypeError, ValueError) as error:
        raise stranger(host, "does not describe its items") from error


def _row(vector: object, dim: int, where: str, host: str) -> Rows:
    """(dim,) float32 of unit length, from numbers or from base64 of little-endian float32."""
    try:
        if isinstance(vector, str):
            row = np.frombuffer(base64.b64decode(vector, validate=True), dtype="<f4").astype(np.float32)
        else:
            with np.errstate(over="ignore"):  # an infinity is found below
                row = np.array(vector, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error):
        row = np.empty(0, np.float32)
    if row.shape != (dim,):
        raise ProviderError(f"{where}: the vector does not have the {dim} numbers that were announced.", provider=host)
    # A NaN or an infinity among them makes the length one too.
    length = float(np.sqrt(np.einsum("d,d->", row, row, dtype=np.float64)))
    if not abs(length - 1) <= UNIT_TOLERANCE:
        raise ProviderError(f"{where}: the vector has length {length:.4g}, not 1.", provider=host)
    return row


def failure_of(entry: Fields, places: list[int], asked: Mapping[int, str], host: str) -> Failure:
    """The failure of one input, under the caller's name for it. ProviderError if it was never sent."""
    place = place_of(entry, places, host)
    reason = without(str(entry.get("message", "failed.")), str(entry.get("item", "")))
    figures = (number(entry, "actual"), number(entry, "limit"))
    return Failure(place, asked[place], reason, str(entry.get("type", "InputError")), *figures)


def errors_of(answer: Answer, asked: Mapping[int, str], host: str) -> dict[int, LookalikeError]:
    """For each input that failed, by place: the error that the call for it alone would have raised."""
    told = {place_of(entry, list(asked), host): entry for entry in entries(fields_of(answer, host), "errors")}
    return {place: error_of(told[place], asked[place]) for place in sorted(told)}


def place_of(entry: Fields, places: list[int], host: str) -> int:
    """The place in the caller's sequence of what an entry is about. ProviderError if it was never sent."""
    index = entry.get("index")
    if not isinstance(index, int) or not 0 <= index < len(places):
        raise stranger(host, "reports on an input that it was not given")
    return places[index]


def _warnings(fields: Fields, places: list[int], asked: Mapping[int, str]) -> list[str]:
    """Sentences that begin with the caller's names: of a batch, or the one of a single input."""
    single = fields.get("warning")
    told = [{"index": 0, "message": single}] if isinstance(single, str) else entries(fields, "warnings")
    said = [(entry.get("index"), str(entry.get("message", ""))) for entry in told]
    return [
        f"{asked[places[index]]}: {without(message, f'texts[{index}]')}"
        for index, message in said
        if isinstance(index, int) and 0 <= index < len(places)
    ]


def _approximation(fields: Fields, host: str) -> Approximation | None:
    """What read the words; None if that is the model of the space, and for a service too old to say."""
    try:
        return Approximation.of(fields["approximation"]) if fields.get("approximation") else None
    except (LookupError, TypeError, ValueError) as error:
        raise stranger(host, "does not say what read the words") from error


def entries(fields: Fields, name: str) -> list[Fields]:
    """The objects in a list of an answer; none if there is no such list."""
    found = fields.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
