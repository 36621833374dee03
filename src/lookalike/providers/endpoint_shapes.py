"""What an Inference Endpoint is sent, and how its answers are read: one class for each kind of server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from lookalike.calls import error_of as input_error
from lookalike.errors import InputError, LookalikeError, Unavailable
from lookalike.messages import Answer, Request
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality
from lookalike.types import Failure


class EndpointShape(Protocol):
    """The requests and answers of one kind of server."""

    @property
    def limits(self) -> Limits:
        """What its requests may hold."""
        ...

    @property
    def describes_itself(self) -> bool:
        """Whether every answer says whose vectors it holds."""
        ...

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors, without the key."""
        ...

    def read(self, answer: Answer, n: int) -> Reading:
        """What a successful answer says of n inputs.

        Raises:
            ValueError, LookupError, TypeError, AttributeError, RecursionError: It has another shape.
        """
        ...

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """As `adapter.Adapter.refusal`."""
        ...


@dataclass(frozen=True, slots=True)
class ByHandler:
    """Our own handler; deploy/huggingface/README.md is the contract."""

    NAME: ClassVar[str] = "lookalike-clip/1"

    limits: ClassVar[Limits] = Limits(
        texts=128, images=32, request_bytes=16 * 2**20, image_bytes=16 * 2**20, allows_empty=True
    )
    describes_itself: ClassVar[bool] = True

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """Texts as they are, pictures in base64."""
        sent = [item.base64 if isinstance(item, Upload) else item for item in inputs]
        return _post("/", {"inputs": {modality: sent}, "parameters": {"orientation": "apply"}})

    def read(self, answer: Answer, n: int) -> Reading:
        """The vectors, why some inputs have none, and which texts were cut."""
        said = json.loads(answer.body)
        vectors, errors = said["embeddings"], {int(error["index"]): error for error in said["errors"]}
        if len(vectors) != n or {place for place, vector in enumerate(vectors) if vector is None} != errors.keys():
            raise ValueError("it does not say what became of each input")
        cut = "longer than the model reads; its end was left out."
        return Reading(
            [vector for vector in vectors if vector is not None],
            warnings=tuple((int(place), cut) for place in said["truncated"]),
            failures=tuple((place, _failure(error)) for place, error in sorted(errors.items())),
        )

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """A bad input has an error of its own: a 400 is a failure of the server, which may pass."""
        error = error_of(answer, Said.of(answer), asked, now_s)
        if answer.status == 400:
            return Unavailable(f"{error} It answers so to failures of its own.", provider=asked.provider, status=400)
        return error


@dataclass(frozen=True, slots=True)
class BySentenceTransformers:
    """The default server of a sentence-transformers model: texts together, a picture as the body of its own request.

    A picture never goes as JSON: a string in it, be it base64 or an address, would be embedded as a text.
    """

    limits: ClassVar[Limits] = Limits(texts=32, images=1, image_bytes=16 * 2**20)
    describes_itself: ClassVar[bool] = False

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """Texts as JSON, one picture as a file."""
        if modality == "text":
            return _post("/", {"inputs": list(inputs)})
        (picture,) = (item for item in inputs if isinstance(item, Upload))
        return Request("POST", "/", picture.data, {"Content-Type": picture.media_type})

    def read(self, answer: Answer, n: int) -> Reading:  # noqa: ARG002 (counted where all rows are)
        """The vectors; that of a picture is not in a list of its own."""
        rows = json.loads(answer.body)["embeddings"]
        if not isinstance(rows, list) or not rows:
            raise TypeError("vectors are lists")
        return Reading(rows if isinstance(rows[0], list) else [rows])

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """By its status; a 400 may be about an input, or a failure of the server, which something harmless tells."""
        return error_of(answer, Said.of(answer), asked, now_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTei:
    """Text Embeddings Inference; also what answers behind Hugging Face's router.

    Attributes:
        path: Where texts are embedded.
        dimensions: Length of the vectors; 0 for the model's own.
        texts: Texts of one request.
    """

    path: str = "/embed"
    dimensions: int = 0
    texts: int = 32
    describes_itself: ClassVar[bool] = False

    @property
    def limits(self) -> Limits:
        """What its requests may hold."""
        return Limits(texts=self.texts)

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:  # noqa: ARG002 (texts only)
        """Texts. One that is too long is to be refused: cut by default, it would not be said."""
        return _post(self.path, self.body(inputs))

    def body(self, inputs: Sequence[Prepared]) -> Mapping[str, object]:
        """What is sent: the parameters stand beside the inputs."""
        length = {"dimensions": self.dimensions} if self.dimensions else {}
        return {"inputs": list(inputs), "truncate": False, **length}

    def read(self, answer: Answer, n: int) -> Reading:  # noqa: ARG002 (counted where all rows are)
        """The vectors: a bare list."""
        rows = json.loads(answer.body)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
            raise TypeError("vectors are a list of lists")
        return Reading(rows)

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """By its status."""
        return error_of(answer, Said.of(answer), asked, now_s)


def _post(path: str, body: Mapping[str, object]) -> Request:
    return Request("POST", path, json.dumps(body).encode())


def _failure(error: Mapping[str, Any]) -> InputError:
    """The error of one input."""
    figures = [value for value in (error.get("actual"), error.get("limit")) if isinstance(value, int)]
    return input_error(Failure(0, "", str(error["error"]), str(error["kind"]), *figures))
