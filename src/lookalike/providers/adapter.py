"""What a provider's file has to say: the shape of its requests and answers, and its limits. All else is in `remote`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookalike.errors import InputError, LookalikeError
from lookalike.messages import Answer, Request
from lookalike.spaces import Modality, Tower
from lookalike.types import Rows


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as a provider gets it: whole, upright, of a kind and size that it takes.

    Attributes:
        data: The bytes of the file.
        media_type: "image/jpeg" or "image/png".
    """

    data: bytes = field(repr=False)
    media_type: str

    @property
    def base64(self) -> str:
        """The bytes in base64."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_uri(self) -> str:
        """The bytes as a data URI (RFC 2397)."""
        return f"data:{self.media_type};base64,{self.base64}"


Prepared = str | Upload
"""A text, or a picture ready to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold, and how fast requests may follow; 0 where there is no limit.

    Attributes:
        texts: Texts in one request.
        images: Pictures in one request.
        request_tokens: Tokens in one request, all texts together, as they are estimated before it is sent.
        input_chars: Characters of one text; a longer one is refused here.
        request_bytes: Bytes of a request's pictures, before they are written in base64.
        image_bytes: Bytes of one picture as it is sent.
        image_side_px: The longer side of a picture as it is sent; a larger one is made smaller.
        requests_per_minute: Of one key.
        tokens_per_minute: Of one key.
        texts_per_minute: Of one key, however they are put into requests.
        images_per_minute: The same of pictures.
        concurrency: Requests of several inputs' calls under way at the same time.
        queries: Calls of a single input under way at the same time, beside them: somebody waits for each.
        allows_empty: Whether an empty text has a vector.
        any_file: Whether a picture is sent as the file that it is, of any kind, since the provider has an image door
            like ours.
        timeout_header: The header that tells the provider for how many seconds an answer is worth waiting for.
    """

    texts: int
    images: int = 0
    request_tokens: int = 0
    input_chars: int = 0
    request_bytes: int = 0
    image_bytes: int = 0
    image_side_px: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    texts_per_minute: int = 0
    images_per_minute: int = 0
    concurrency: int = 4
    queries: int = 32
    allows_empty: bool = False
    any_file: bool = False
    timeout_header: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What an answer says, not yet believed.

    Attributes:
        rows: A vector for each input that has no failure, in the inputs' order, of any length: (n, dim) float32, or n
            lists of numbers.
        tokens: Tokens of text that the provider billed; 0 if it does not tell.
        image_tokens: The same of pictures, where it bills them by tokens.
        tower: What the answer itself says about who made it, where it does (our own service); else None.
        warnings: Sentences about inputs, as (place in the request, sentence).
        failures: The inputs that have no vector, where an answer says so of some of them: (place in the request, why).
    """

    rows: Rows | Sequence[Sequence[float] | Rows]
    tokens: int = 0
    image_tokens: int = 0
    tower: Tower | None = None
    warnings: tuple[tuple[int, str], ...] = ()
    failures: tuple[tuple[int, InputError], ...] = ()


class Adapter(Protocol):
    """One provider's wire shapes: values in, values out; no network, no clock, no retries."""

    @property
    def name(self) -> str:
        """Who it is, for errors and reports ("openai")."""
        ...

    @property
    def base_url(self) -> str:
        """Where it is, without a slash at the end and without anything secret."""
        ...

    @property
    def tower(self) -> Tower | None:
        """The recipe; None if the length of its vectors is not known before the first answer."""
        ...

    def tower_of(self, dim: int) -> Tower:
        """The recipe, once a first answer has shown the length of its vectors."""
        ...

    @property
    def limits(self) -> Limits:
        """What its requests may hold."""
        ...

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors; its headers hold the key.

        Raises:
            UnsupportedModel: The model has no such modality.
        """
        ...

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:
        """What a successful answer (2xx) says about the n inputs of its request.

        Raises:
            ProviderError: It has not the provider's shape.
        """
        ...

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        """The error that any other answer stands for: a sentence that says what to do, never with a key in it.

        Refused for what the provider will never serve: its `status` 400, 413 or 422 means that one of the inputs may be
        to blame, and the others are tried without it. RateLimited and Unavailable for what may pass.

        Args:
            answer: What came back.
            now_s: Seconds since the epoch: a Retry-After may be a date.
        """
        ...
