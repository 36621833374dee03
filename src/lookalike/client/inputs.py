"""What is sent: pictures and texts with the caller's names for them, in requests of a bearable size."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from lookalike.calls import failure_of
from lookalike.embed import ImageInput, OnError, names_of, several
from lookalike.errors import InputError, TooLarge
from lookalike.files import picture_bytes
from lookalike.policy import ImagePolicy
from lookalike.tokens import require_text
from lookalike.types import Failure

Payload = TypeVar("Payload", bytes, str)
Given = TypeVar("Given")

PART_ITEMS = 64
"""Inputs in one request: two of the service's batches, so that one waits while the other is computed."""

PART_SIZE = 16 * 2**20
"""Bytes of pictures, or characters of texts, with which a request is full; the service takes bodies of 64 MiB."""


class Part(Generic[Payload]):
    """The inputs of one request.

    Attributes:
        payloads: Bytes of pictures, or texts.
        names: For each, in the same order: its place in the caller's sequence, and what the caller calls it.
    """

    def __init__(self) -> None:
        self.payloads: list[Payload] = []
        self.names: dict[int, str] = {}
        self.size = 0

    def add(self, place: int, name: str, payload: Payload) -> None:
        """Take one more."""
        self.payloads.append(payload)
        self.names[place] = name
        self.size += len(payload)

    def at(self, places: Collection[int]) -> Part[Payload]:
        """The inputs of these places alone."""
        some: Part[Payload] = Part()
        for payload, (place, name) in zip(self.payloads, self.names.items(), strict=True):
            if place in places:
                some.add(place, name, payload)
        return some


def pictures(
    images: Sequence[ImageInput], names: Sequence[str], on_error: OnError, failures: list[Failure]
) -> Iterator[tuple[int, str, bytes]]:
    """(place, name, bytes) of each picture, read when its turn comes; what cannot be read is raised or collected."""
    images = several(images, "images")
    return _each(images, names_of(images, "images", names), picture, on_error, failures)


def picture(image: ImageInput, name: str) -> bytes:
    """The bytes of a picture. InputError if it is none; TooLarge if no service would take it."""
    most = ImagePolicy().max_bytes
    data = picture_bytes(image, ImagePolicy(), item=name)
    if len(data) > most:
        raise TooLarge(f"has {len(data):,} bytes; {most:,} are allowed.", item=name, actual=len(data), limit=most)
    return data


def sentences(
    texts: Sequence[str], names: Sequence[str], on_error: OnError, failures: list[Failure]
) -> Iterator[tuple[int, str, str]]:
    """(place, name, text) of each text; what is none is raised or collected."""
    texts = several(texts, "texts")
    return _each(texts, names_of(texts, "texts", names), sentence, on_error, failures)


def sentence(text: str, name: str) -> str:
    """The text itself. InputError if it is none: the service would refuse the whole request."""
    if not isinstance(text, str):
        raise InputError(f"is a {type(text).__name__}, not a text.", item=name)
    require_text(text, item=name)
    return text


def _each(
    given: Sequence[Given],
    names: Sequence[str],
    read: Callable[[Given, str], Payload],
    on_error: OnError,
    failures: list[Failure],
) -> Iterator[tuple[int, str, Payload]]:
    for place, (value, name) in enumerate(zip(given, names, strict=True)):
        try:
            yield place, name, read(value, name)
        except InputError as error:
            if on_error == "raise":
                raise
            failures.append(failure_of(place, name, error))


def require_texts(fields: Mapping[str, object], *, item: str = "") -> None:
    """InputError if a text of these fields, or of what is in them, holds half of a surrogate pair."""
    for name, value in fields.items():
        for text in (*value, *value.values()) if isinstance(value, dict) else (value,):
            if isinstance(text, str):
                require_text(text, what=f"The {name}", item=item)


def parts(inputs: Iterable[tuple[int, str, Payload]]) -> Iterator[Part[Payload]]:
    """The inputs, a request's worth at a time."""
    part: Part[Payload] = Part()
    for place, name, payload in inputs:
        if part.payloads and (len(part.payloads) == PART_ITEMS or part.size + len(payload) > PART_SIZE):
            yield part
            part = Part()
        part.add(place, name, payload)
    if part.payloads:
        yield part


@contextmanager
def alone(part: Part[Any], on_error: OnError, failures: list[Failure]) -> Iterator[None]:
    """What is refused of a request with a single input is that input's failure, under the caller's name for it."""
    try:
        yield
    except InputError as error:
        if len(part.names) > 1:
            raise
        ((place, name),) = part.names.items()
        if on_error == "raise":
            error.item, error.args = name, (f"{name}: {error.reason}",)
            raise
        failures.append(failure_of(place, name, error))


def encoded(image: bytes) -> str:
    """A picture as JSON can carry it."""
    return base64.b64encode(image).decode("ascii")
