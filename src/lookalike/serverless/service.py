"""One request to one answer: what the platforms have in common."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lookalike.calls import error_of
from lookalike.config import Config
from lookalike.errors import InputError, LookalikeError, TooLarge, UnsupportedModel
from lookalike.http.contents import encoded, public_name, require_image_search, tower_facts
from lookalike.http.gate import Gatekeeper
from lookalike.http.keys import Caller, Scope
from lookalike.http.statuses import facts_of, headers_of, status_of
from lookalike.http.view import View
from lookalike.messages import Answer, Request
from lookalike.serverless.asking import ToEmbed, pictures_of, question_of, texts_of
from lookalike.types import Hits, Vectors

if TYPE_CHECKING:
    from lookalike.app import Embedder
    from lookalike.index import Index

NOT_FOUND = "There is nothing at this path; there are /embed/text, /embed/image, /search/images and /healthz."


@dataclass(frozen=True, slots=True)
class Platform:
    """What a platform lets through.

    Attributes:
        name: For messages.
        max_body_bytes: Of a request, and of an answer.
    """

    name: str
    max_body_bytes: int


class Service:
    """Answers as `lookalike serve` does, with a hosted model and an index, each opened when it is first needed.

    Safe to use from several threads at once. Nothing is read before the first request: not even the settings.

    Args:
        platform: What carries the requests.
        configure: Says the settings; the environment's if left out.
    """

    def __init__(self, platform: Platform, configure: Callable[[], Config] = Config.from_environ) -> None:
        self.platform = platform
        self._configure = configure
        self._lock = threading.RLock()

    def answer(self, request: Request, *, address: str = "") -> Answer:
        """The answer to a request; every error of lookalike is one.

        Args:
            request: Header names in lower case.
            address: Where it came from; counts where there are no keys.
        """
        try:
            status, document = self._routed(request, address)
            return self._written(status, document)
        except LookalikeError as error:
            return self.refuse(error)

    def refuse(self, error: LookalikeError) -> Answer:
        """An error as an answer."""
        status = status_of(error)
        return _answer(status, {"error": facts_of(error)}, headers_of(status, getattr(error, "retry_after_s", None)))

    def require_room(self, n_bytes: int, what: str = "body of the request") -> None:
        """Raise TooLarge if the platform does not let so many bytes through."""
        most = self.platform.max_body_bytes
        if n_bytes > most:
            raise TooLarge(
                f"The {what} has {n_bytes:,} bytes; {self.platform.name} lets {most:,} through: send smaller pictures, "
                "or fewer at a time, or ask for encoding_format 'base64'.",
                actual=n_bytes,
                limit=most,
            )

    @cached_property
    def config(self) -> Config:
        """The settings; no request to a provider may take longer than one to this service."""
        config = self._configure()
        timeout_s = min(config.providers.timeout_s, config.serve.request_timeout_s)
        return replace(config, providers=replace(config.providers, timeout_s=timeout_s))

    @cached_property
    def embedder(self) -> Embedder:
        """The model."""
        from lookalike.app import Embedder

        return Embedder.open(config=self.config)

    @cached_property
    def index(self) -> Index:
        """What is searched."""
        from lookalike.index import Index
        from lookalike.serverless.searching import InTime

        return Index.open(config=self.config, embedder=InTime(self.embedder, self.config.serve.request_timeout_s))

    @cached_property
    def _gatekeeper(self) -> Gatekeeper:
        return Gatekeeper.of(self.config.serve)

    def _routed(self, request: Request, address: str) -> tuple[int, Mapping[str, Any]]:
        path = urlsplit(request.path).path.rstrip("/")
        if path == "/healthz":
            return 200, {"status": "alive"}
        routes = _ROUTES.get(path)
        if routes is None:
            return 404, {"error": {"type": "NotFound", "message": NOT_FOUND, "retryable": False}}
        methods, scope, work = routes
        if request.method not in methods:
            message = f"This path takes {' and '.join(methods)} only."
            return 405, {"error": {"type": "MethodNotAllowed", "message": message, "retryable": False}}
        self.require_room(len(request.body))
        with self._lock:  # opened once; and callers are counted one after another
            caller = self._admit(request, scope, address)
            _ = self.index if scope == "search" else self.embedder
        return 200, work(self, request, caller)

    def _admit(self, request: Request, scope: Scope, address: str) -> Caller:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        key = bearer if kind.lower() == "bearer" else request.headers.get("x-api-key")
        caller = self._gatekeeper.identify(key)
        self._gatekeeper.admit(caller, scope, address=address)
        return caller

    def _texts(self, request: Request, _: Caller) -> Mapping[str, Any]:
        asked = texts_of(request, self.config.serve)
        return self._embedded(asked, self.embedder.embed_texts)

    def _images(self, request: Request, _: Caller) -> Mapping[str, Any]:
        tower = self.embedder.tower
        if "image" not in tower.modalities:
            name = tower.approximation.source if tower.approximation else public_name(tower.space)
            raise UnsupportedModel(f"The model {name!r} embeds texts only.", model=name)
        asked = pictures_of(request, self.config.serve)
        return self._embedded(asked, self.embedder.embed_images)

    def _embedded(self, asked: ToEmbed, embed: Callable[..., Vectors]) -> Mapping[str, Any]:
        errors = {place: one for place, one in enumerate(asked.payloads) if isinstance(one, InputError)}
        usable = [place for place in range(len(asked.payloads)) if place not in errors]
        names = [asked.names[place] for place in usable]
        vectors = embed(
            [asked.payloads[place] for place in usable],
            names=names,
            on_error="collect",
            timeout_s=self.config.serve.request_timeout_s,
        )
        errors |= {usable[failure.position]: error_of(failure) for failure in vectors.failures}
        if errors and not asked.is_batch:
            raise errors[0]
        rows = {usable[place]: row for place, row in zip(vectors.positions.tolist(), vectors.values, strict=True)}
        if not asked.is_batch:
            said = " ".join(warning.removeprefix(": ") for warning in vectors.warnings)
            warning = {"warning": said} if said else {}
            return {"embedding": encoded(rows[0], asked.encoding), **warning, **tower_facts(vectors.tower)}
        return {
            "embeddings": [
                encoded(rows[place], asked.encoding) if place in rows else None for place in range(len(asked.payloads))
            ],
            "errors": [{"index": place, **facts_of(errors[place])} for place in sorted(errors)],
            "warnings": _warnings(vectors.warnings, asked.names, sorted(rows)),
            **tower_facts(vectors.tower),
        }

    def _search(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        begun_s = time.perf_counter()
        asked = question_of(request, self.config.serve)
        require_image_search(self.config.serve, caller, asked.where.project, asked.parts)
        view = View(caller, self.index)
        hits = view.find(
            view.query(asked.parts, project=asked.where.project),
            limit=asked.limit,
            where=asked.where,
            min_confidence=asked.min_confidence,
        )
        took_ms = round((time.perf_counter() - begun_s) * 1e3, 2)
        return {**_found(hits), "took_ms": {"total": took_ms}}

    def _written(self, status: int, document: Mapping[str, Any]) -> Answer:
        answer = _answer(status, document)
        self.require_room(len(answer.body), "answer")
        return answer


_ROUTES: Mapping[str, tuple[Sequence[str], Scope, Callable[[Service, Request, Caller], Mapping[str, Any]]]] = {
    "/embed/text": (("POST",), "embed", Service._texts),
    "/embed/image": (("POST",), "embed", Service._images),
    "/search/images": (("GET", "POST"), "search", Service._search),
}


def _answer(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    request_id = uuid.uuid4().hex
    if "error" in document:
        document = {"error": {**document["error"], "request_id": request_id}}
    # A field's name may hold half a character, and is repeated in the sentence about it.
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    named = {"Content-Type": "application/json", "X-Request-ID": request_id, **(headers or {})}
    return Answer(status, {name.lower(): value for name, value in named.items()}, body)


def _warnings(sentences: Sequence[str], names: Sequence[str], answered: Sequence[int]) -> list[dict[str, Any]]:
    """Each warning with the place of the input that it begins with; one about the whole call with every place.

    Args:
        sentences: The warnings.
        names: What the inputs are called.
        answered: The places of those that have a vector.
    """
    places = {name: [place] for place, name in enumerate(names)}
    found = [(places.get(sentence.partition(": ")[0], answered), sentence) for sentence in sentences]
    return [{"index": index, "message": sentence} for about, sentence in found for index in about]


def _found(hits: Hits) -> dict[str, Any]:
    return {
        "hits": [
            {
                "item": {**asdict(hit.item), "picture": None, "thumbnail": None},
                "similarity": round(hit.similarity, 6),
                "confidence": round(hit.confidence, 4),
            }
            for hit in hits
        ],
        "space": hits.space.id,
        "model": public_name(hits.space),
        "considered": hits.considered,
        "warnings": list(hits.warnings),
        "approximation": hits.approximation.document if hits.approximation else None,
    }
