"""The client of a lookalike service.

What talks HTTP is imported with the first client: `import lookalike` stays quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lookalike.client.answers import SUCCESS, errors_of, fields_of, hits_of, item_of, vectors_of
from lookalike.client.asking import embed, embed_pictures, embed_sentences, get_item, post
from lookalike.client.handing import body_of, documents, job_of, jobs_of
from lookalike.client.inputs import Part as Batch
from lookalike.client.inputs import Payload, alone, parts, pictures, require_texts, sentence, sentences
from lookalike.client.question import question_of
from lookalike.client.refusals import is_lasting, passing_of, refusal
from lookalike.client.space import OneSpace
from lookalike.client.values import NewItem, RemoteHits, RemoteJob, RemoteJobs, RemoteVectors
from lookalike.embed import ImageInput, OnError
from lookalike.errors import ConfigError, InputError, LookalikeError
from lookalike.messages import Answer, Request, address_of, bearer
from lookalike.query import Part
from lookalike.retry import RetryPolicy
from lookalike.types import Failure, Item

OK = 200

ASKED_S = (0.05, 120.0)
"""The shortest and the longest time that the service lets itself be given, unless it was told otherwise."""

POLICY = RetryPolicy(base_s=0.2, cap_s=5.0)
"""When a client tries again: somebody is waiting, so sooner than a download does."""


class Client:
    """A lookalike service; safe to use from several threads. Close it, or use it in a `with` statement.

    Every call ends within its time, with an answer or an error of lookalike: the service's own errors are raised as
    the classes that they were there, and a service that cannot be reached or does not answer as it should is a
    `ProviderError`. A service that is full or not there yet is asked again as long as the time allows. Redirects
    are not followed and the proxies of the environment are not used, so that a key goes where it was meant to go.

    Args:
        base_url: Where the service is: "http://127.0.0.1:8000".
        api_key: Its key, if it needs one; never shown.
        timeout_s: When a call is over at the latest, all its requests and pauses included; each call can have its own.
        space: The id of the space that every answer must be of; that of the first answer if left out.
        policy: When to try again; its clocks are used for everything.

    Attributes:
        timeout_s: What was given.

    Raises:
        ConfigError: The address, the key or the time cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        space: str | None = None,
        policy: RetryPolicy = POLICY,
    ) -> None:
        from lookalike.wire import Wire

        self._base_url, self._host = address_of(base_url)
        if math.isnan(timeout_s):
            raise ConfigError("timeout_s is not a number: give seconds, or math.inf to wait for ever.")
        self.timeout_s = timeout_s
        self._policy = policy
        self._space = OneSpace(space, self._host)
        headers = {} if api_key is None else bearer(api_key, setting="api_key")
        self._wire = Wire(self._base_url, host=self._host, headers=headers)

    def __repr__(self) -> str:
        return f"Client({self._base_url!r})"

    def embed_image(self, image: ImageInput, *, timeout_s: float | None = None) -> RemoteVectors:
        """One picture (its bytes or path) to one row. Errors as `embed_images`."""
        name = "image" if isinstance(image, bytes | bytearray | memoryview) else str(image)
        return self.embed_images([image], names=[name], timeout_s=timeout_s)

    def embed_images(
        self,
        images: Sequence[ImageInput],
        *,
        names: Sequence[str] = (),
        on_error: OnError = "raise",
        timeout_s: float | None = None,
    ) -> RemoteVectors:
        """Embed pictures, in as many requests as they need.

        Args:
            images: Bytes or paths, in any mixture.
            names: What to call each in errors; its path, or "images[3]", if left out.
            on_error: "raise" the error of the first bad picture, or "collect" them in `.failures`.
            timeout_s: When the call is over at the latest, instead of the client's.

        Returns:
            (n, dim) float32 unit rows in the order of `images`, failed ones left out.

        Raises:
            InputError: A picture cannot be used (ImageError, TooLarge, UnsupportedMedia, HarmfulInput).
            SpaceMismatch: An answer is of another space than the ones before, or than the client's.
            ServiceError: The service was full or not ready as long as there was time, or the time was up.
            AccessDenied: The key is missing, unknown, or not allowed to do this.
            ProviderError: The service cannot be reached, or does not answer as it should.
        """
        until, failures = self._until(timeout_s), list[Failure]()
        found = list[RemoteVectors]()
        for part in parts(pictures(images, names, on_error, failures)):
            with alone(part, on_error, failures):
                found += self._vectors(part, embed_pictures, until, on_error)
        return RemoteVectors.joined(found, failures)

    def embed_text(self, text: str, *, timeout_s: float | None = None) -> RemoteVectors:
        """One text to one row; the service lets it go ahead of all batches. Errors as `embed_images`."""
        request = embed("/embed/text", {"text": sentence(text, "text")})
        return self._read(self._ask(request, self._until(timeout_s)), {0: "text"})

    def embed_texts(
        self,
        texts: Sequence[str],
        *,
        names: Sequence[str] = (),
        on_error: OnError = "raise",
        timeout_s: float | None = None,
    ) -> RemoteVectors:
        """Embed texts, in as many requests as they need; one that is longer than the model reads is cut, and a warning
        says so. Arguments, result and errors as `embed_images`; a name that is left out is "texts[3]".
        """
        until, failures = self._until(timeout_s), list[Failure]()
        found = list[RemoteVectors]()
        for part in parts(sentences(texts, names, on_error, failures)):
            found += self._vectors(part, embed_sentences, until, on_error)
        return RemoteVectors.joined(found, failures)

    def search(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        item: str | None = None,
        limit: int = 10,
        project: str | None = None,
        min_confidence: float = 0.0,
        timeout_s: float | None = None,
    ) -> RemoteHits:
        """Find pictures of the service's index by exactly one of: words, an example, an item; by more with `find`.

        Args:
            text: Words, as a caption would say them.
            image: A picture's bytes or path.
            item: The id of an item of the index.
            limit: At most so many hits.
            project: Only items of this project.
            min_confidence: Leave out hits that are less sure, 0 to 1; 0.5 is where "related" begins.
            timeout_s: When the call is over at the latest, instead of the client's.

        Returns:
            Hits, best first; none if nothing matches. Errors as `find`.
        """
        part = Part(text=text, image=image, item=item)
        return self.find([part], limit=limit, project=project, min_confidence=min_confidence, timeout_s=timeout_s)

    def find(
        self,
        parts: Sequence[Part],
        *,
        limit: int = 10,
        project: str | None = None,
        metadata: Mapping[str, str] | None = None,
        min_confidence: float = 0.0,
        timeout_s: float | None = None,
    ) -> RemoteHits:
        """Find pictures of the service's index by words, pictures, items and vectors, each with a weight.

        Args:
            parts: What the query is composed of: `[Part(image="dress.jpg"), Part(text="stripes", weight=-2)]`. Items
                are left out of the answer. A vector may be a row that the service has made.
            limit: At most so many hits.
            project: Only items of this project; that of the items among the parts, too.
            metadata: Only items with all of these values.
            min_confidence: Leave out hits that are less sure, 0 to 1; 0.5 is where "related" begins.
            timeout_s: When the call is over at the latest, instead of the client's.

        Returns:
            Hits, best first; none if nothing matches.

        Raises:
            ItemNotFound: There is no such item.
            StoreNotFound: The service has no index.
            LookalikeError: As `embed_images`.
        """
        where = {"project": project, "where": dict(metadata) if metadata else None}
        given = {name: value for name, value in where.items() if value is not None}
        require_texts(given)
        body = {**question_of(parts), **given, "limit": limit, "min_confidence": min_confidence}
        hits = hits_of(self._ask(post("/search/images", body), self._until(timeout_s)), self._host)
        self._space.require(hits.space)
        return hits

    def item(self, item_id: str, *, project: str | None = None, timeout_s: float | None = None) -> Item:
        """What the index knows of an item. ItemNotFound if there is none; other errors as `embed_images`."""
        answer = self._ask(get_item(item_id, "", project), self._until(timeout_s))
        return item_of(fields_of(answer, self._host), self._host)

    def picture(self, item_id: str, *, project: str | None = None, timeout_s: float | None = None) -> bytes:
        """The file of an item's picture, as it is. Errors as `item`."""
        return self._ask(get_item(item_id, "/picture", project), self._until(timeout_s)).body

    def thumbnail(
        self, item_id: str, *, project: str | None = None, side_px: int | None = None, timeout_s: float | None = None
    ) -> bytes:
        """A small copy of an item's picture, a WebP about `side_px` wide or high. Errors as `item`."""
        return self._ask(get_item(item_id, "/thumbnail", project, size=side_px), self._until(timeout_s)).body

    def add_items(
        self, items: Sequence[NewItem], *, on_error: OnError = "raise", timeout_s: float | None = None
    ) -> RemoteJobs:
        """Hand pictures in, in as many requests as they need; they are found once their jobs are done.

        Handing one in again does no harm: it is the same item, and its bytes are kept once.

        Args:
            items: `[NewItem(image="dress.jpg"), NewItem(uri="s3://photos/hat.jpg", metadata={"colour": "red"})]`.
            on_error: "raise" the error of the first that is not taken in, or "collect" them in `.failures`. Others may
                have been taken in when it is raised.
            timeout_s: When the call is over at the latest, instead of the client's.

        Raises:
            StoreNotFound: The service has no index.
            LookalikeError: As `embed_images`.
        """
        until, failures, jobs = self._until(timeout_s), list[Failure](), list[RemoteJob]()
        for part in parts(documents(items, on_error, failures)):
            with alone(part, on_error, failures):
                answer = self._ask(Request("POST", "/items", body_of(part)), until)
                found = jobs_of(answer, part.names, self._host)
                if found.failures and on_error == "raise":
                    raise errors_of(answer, part.names, self._host)[found.failures[0].position]
                jobs += found
                failures += found.failures
        return RemoteJobs(tuple(jobs), tuple(sorted(failures, key=lambda failure: failure.position)))

    def job(self, number: int, *, timeout_s: float | None = None) -> RemoteJob:
        """What has become of a picture that was handed in. JobNotFound if that is not known; others as `add_items`."""
        answer = self._ask(Request("GET", f"/jobs/{number}"), self._until(timeout_s))
        return job_of(fields_of(answer, self._host), self._host)

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the service can answer now; asks once.

        Raises:
            Unavailable: It cannot be reached.
            DeadlineExceeded: It does not answer in time.
        """
        return self._try(Request("GET", "/readyz"), self._until(timeout_s)).status == OK

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _vectors(
        self, part: Batch[Payload], question: Callable[[Batch[Payload]], Request], until: float, on_error: OnError
    ) -> list[RemoteVectors]:
        """The answers to a part: inputs that the service had no room for are asked for again, as a request would be."""
        found: list[RemoteVectors] = []

        def ask() -> Answer:
            nonlocal part
            answer = self._attempt(question(part), until)
            if answer.status in SUCCESS:
                found.append(self._read(answer, part.names))
                if passing := passing_of(errors_of(answer, part.names, self._host), on_error):
                    part = part.at(passing)
                    raise next(iter(passing.values()))
            return answer

        try:
            self._insist(ask, until)
        except LookalikeError as error:
            if not found or on_error == "raise" or not error.retryable:
                raise
        return found

    def _read(self, answer: Answer, names: Mapping[int, str]) -> RemoteVectors:
        """The vectors of an answer, of the one space."""
        found = vectors_of(answer, names, self._host)
        self._space.require(found.space, dim=found.values.shape[1])
        return found

    def _ask(self, request: Request, until: float) -> Answer:
        """The successful answer to a request."""
        return self._insist(lambda: self._attempt(request, until), until)

    def _insist(self, ask: Callable[[], Answer], until: float) -> Answer:
        """A successful answer, asked for as often as it takes and there is time."""
        answer = self._policy.run(ask, until=until, on_pause=lambda *_: None)
        if answer.status not in SUCCESS:
            raise refusal(answer, self._host, self._policy.wall_clock())
        return answer

    def _attempt(self, request: Request, until: float) -> Answer:
        """An answer that stays what it is; one that may pass is raised."""
        answer = self._try(request, until)
        if answer.status not in SUCCESS and not is_lasting(answer):
            raise refusal(answer, self._host, self._policy.wall_clock())
        return answer

    def _try(self, request: Request, until: float) -> Answer:
        asked_s = min(max(until - self._policy.clock(), ASKED_S[0]), ASKED_S[1])
        request = replace(request, headers={**request.headers, "X-Request-Timeout": f"{asked_s:.3f}"})
        return self._wire.ask(request, lambda: until - self._policy.clock())

    def _until(self, timeout_s: float | None) -> float:
        seconds = self.timeout_s if timeout_s is None else timeout_s
        if math.isnan(seconds):
            raise InputError("timeout_s is not a number: give seconds, or math.inf to wait for ever.")
        return self._policy.clock() + seconds
