"""What a request asks for: texts or pictures to embed, or a question to the index; written as for `lookalike serve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lookalike.config import ServeSettings
from lookalike.errors import InputError, TooLarge, UnsupportedMedia
from lookalike.http.contents import MAX_HITS, MAX_PARTS, Encoding, checked_text, names_of, picture_bytes
from lookalike.messages import Request
from lookalike.query import Part, require_words
from lookalike.serverless.fields import Fields
from lookalike.types import Filter

PART = ("text", "image", "item", "vector", "weight")
OPTIONS = ("limit", "project", "min_confidence", "where")


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """Texts or pictures.

    Attributes:
        payloads: The texts, or the bytes of the pictures; an error where one cannot be used.
        names: What each is called in errors; empty if it is the only one.
        is_batch: Whether the answer is a list, even of one.
        encoding: How vectors are written.
    """

    payloads: tuple[str | bytes | InputError, ...]
    names: tuple[str, ...]
    is_batch: bool
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Question:
    """A search."""

    parts: tuple[Part, ...]
    limit: int
    where: Filter
    min_confidence: float


def texts_of(request: Request, settings: ServeSettings) -> ToEmbed:
    """The texts of `POST /embed/text`."""
    _require_json(request)
    fields = Fields.of_json(request.body, ("text", "texts", "encoding_format"))
    is_batch = fields.one_of("text", "texts") == "texts"
    texts = fields.listed("texts", most=settings.max_batch_items) if is_batch else [fields.text("text")]
    names = names_of(texts, "texts" if is_batch else "")
    if not all(isinstance(text, str) for text in texts):
        raise InputError("must be a list of texts.", item="texts")
    payloads = tuple(checked_text(text, settings, item=name) for text, name in zip(texts, names, strict=True))
    return ToEmbed(payloads, names, is_batch, _encoding(fields))


def pictures_of(request: Request, settings: ServeSettings) -> ToEmbed:
    """The pictures of `POST /embed/image`: JSON, or the bytes of one file."""
    if not _is_json(request):
        return ToEmbed((_file(request),), ("",), is_batch=False, encoding="float")
    fields = Fields.of_json(request.body, ("image", "images", "encoding_format"))
    is_batch = fields.one_of("image", "images") == "images"
    sent = fields.listed("images", most=settings.max_batch_items) if is_batch else [fields.text("image")]
    names = names_of(sent, "images" if is_batch else "")
    payloads = tuple(_picture(value, name) for value, name in zip(sent, names, strict=True))
    return ToEmbed(payloads, names, is_batch, _encoding(fields))


def question_of(request: Request, settings: ServeSettings) -> Question:
    """The question of `/search/images`: words in the query string, JSON, or a picture with words beside it."""
    query = urlsplit(request.path).query
    if request.method == "GET":
        fields = Fields.of_query(query, ("q", *OPTIONS), several=("where",))
        return _question((Part(text=_words(fields.text("q"), "q", settings)),), fields)
    if not _is_json(request):
        fields = Fields.of_query(query, ("q", "weight", *OPTIONS), several=("where",))
        words = fields.optional("q")
        weight = fields.number("weight", 1.0)
        beside = () if words is None else (Part(text=_words(words, "q", settings), weight=weight),)
        return _question((Part(image=_file(request)), *beside), fields)
    if query:
        raise InputError("With a body in JSON everything stands in the body, nothing in the query string.")
    fields = Fields.of_json(request.body, (*PART, "query", *OPTIONS))
    if "query" not in fields:
        return _question((_part(fields, settings),), fields)
    alone = [name for name in PART if name in fields]
    if alone:
        raise InputError(f"Put {alone[0]!r} into a part of 'query', or leave 'query' out.")
    several = fields.listed("query", most=MAX_PARTS)
    return _question(tuple(_part(_entry(value, place), settings) for place, value in enumerate(several)), fields)


def _entry(value: object, place: int) -> Fields:
    if not isinstance(value, Mapping):
        raise InputError("must be an object.", item=f"query[{place}]")
    return Fields(value, (*PART, "project"), place=f"query[{place}]")


def _part(fields: Fields, settings: ServeSettings) -> Part:
    """One part; errors have its place and the field."""
    given = fields.one_of("text", "image", "item", "vector")
    item = fields.called(given)
    weight = fields.number("weight", 1.0)
    try:
        if given == "text":
            return Part(text=_words(fields.text("text"), item, settings), weight=weight)
        if given == "image":
            return Part(image=picture_bytes(fields.text("image"), item=item), weight=weight)
        if given == "item":
            return Part(item=fields.text("item"), weight=weight, project=fields.optional("project"))
        return Part(vector=fields.numbers("vector"), weight=weight)
    except InputError as error:
        raise error if error.item else InputError(error.reason, item=item) from error


def _question(parts: tuple[Part, ...], fields: Fields) -> Question:
    return Question(
        parts=parts,
        limit=fields.whole("limit", 10, least=1, most=MAX_HITS),
        where=Filter(project=fields.optional("project"), metadata=fields.texts_by_name("where")),
        min_confidence=fields.number("min_confidence", 0.0, least=0, most=1),
    )


def _words(text: str, item: str, settings: ServeSettings) -> str:
    words = checked_text(require_words(text), settings, item=item)
    if isinstance(words, TooLarge):
        raise words
    return words


def _picture(value: object, name: str) -> bytes | InputError:
    if not isinstance(value, str):
        return InputError("must be a text: base64 or a data URI.", item=name)
    try:
        return picture_bytes(value, item=name)
    except InputError as error:
        return error


def _encoding(fields: Fields) -> Encoding:
    wanted = fields.optional("encoding_format") or "float"
    if wanted not in ("float", "base64"):
        raise InputError("must be 'float' or 'base64'.", item="encoding_format")
    return "base64" if wanted == "base64" else "float"


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(request: Request) -> bool:
    return _kind(request) == "application/json"


def _require_json(request: Request) -> None:
    if not _is_json(request):
        raise UnsupportedMedia("The body must be application/json: say so in the header Content-Type.")


def _file(request: Request) -> bytes:
    """The body as the bytes of a picture's file."""
    kind = _kind(request)
    if kind != "application/octet-stream" and not kind.startswith("image/"):
        raise UnsupportedMedia(
            "The body must be application/json, application/octet-stream or image/*, no form: say so in the header "
            "Content-Type."
        )
    return request.body
