"""Our own service: it says of itself whose vectors it makes, so they are of the very space of a model in this process.

It is asked by `GET /v1/models` when it is opened. Every answer names its space, so that another model behind the same
address is found out. Pictures go as the files that they are: the service has the same image door.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lookalike.calls import error_of as input_error
from lookalike.errors import ConfigError, InputError, LookalikeError, ProviderError, SpaceMismatch, Unavailable
from lookalike.messages import Answer, Request, address_of, bearer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.opening import questions
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.secret import Secret
from lookalike.spaces import Modality, Tower
from lookalike.types import Failure, Rows

KEY = "LOOKALIKE_API_KEY"

LIMITS = Limits(
    texts=64,
    images=64,
    request_bytes=16 * 2**20,
    allows_empty=True,
    any_file=True,
    timeout_header="X-Request-Timeout",
)
"""Two of the service's batches, so that one waits while the other is computed; a body may have 64 MiB."""

_Fields = Mapping[str, Any]


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> ServiceAdapter:
    """The adapter of a service, which is asked for its model.

    Raises:
        ConfigError: Its address or the key cannot be used, or its vectors have other dimensions than asked for.
        ProviderError: It cannot be reached, or does not say what it serves.
    """
    base_url, host = address_of(ref.model, setting=f"{ref.provider}:{ref.model}")
    key = settings.keys.get("lookalike") or Secret("")
    headers = bearer(key.reveal(), setting=KEY) if key else {}
    asked = Asked(provider=f"lookalike at {host}", model="the service's", variable=KEY, key=key)
    with questions(base_url, asked, settings) as ask:
        tower = _tower(ask(Request("GET", "/v1/models", headers=headers)), asked)
    if ref.dimensions not in (0, tower.space.dim):
        raise ConfigError(f"{ref}: the service's vectors have {tower.space.dim} numbers; leave out dimensions.")
    # The model's name is no part of what a space is; under this one an index opens the service again.
    named = replace(tower, space=replace(tower.space, model=f"{ref.provider}:{base_url}"))
    return ServiceAdapter(tower=named, asked=asked, base_url=base_url, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAdapter:
    """A lookalike service; see `adapter.Adapter`.

    Attributes:
        tower: The recipe of its vectors, as it says itself.
        asked: Who is asked, for errors.
        base_url: Where it is.
        headers: Sent with every request; they hold the key.
        limits: What its requests may hold.
    """

    tower: Tower
    asked: Asked
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    limits: Limits = LIMITS

    @property
    def name(self) -> str:
        """The provider's name."""
        return "lookalike"

    def tower_of(self, dim: int) -> Tower:  # noqa: ARG002 (known from the start)
        """The recipe."""
        return self.tower

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors; a single text goes ahead of all batches there, as a query."""
        wanted = [item.base64 if isinstance(item, Upload) else item for item in inputs]
        body = {"text": wanted[0]} if modality == "text" and len(wanted) == 1 else {f"{modality}s": wanted}
        content = json.dumps({**body, "encoding_format": "base64"}).encode()
        return Request("POST", f"/embed/{modality}", content, self.headers)

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:
        """The vectors of an answer, and why some inputs have none.

        Raises:
            SpaceMismatch: The service has another model by now.
            Unavailable: It had no time for some of the inputs.
        """
        who = self.asked.provider
        fields = _fields(answer, who)
        try:
            self._require_space(str(fields["space"]))
            written = fields["embeddings"] if "embeddings" in fields else [fields["embedding"]]
            errors = {int(entry["index"]): entry for entry in fields.get("errors") or ()}
            warnings = fields.get("warnings") or [{"index": 0, "message": text} for text in _single_warning(fields)]
            reading = Reading(
                [_row(vector) for vector in written if vector is not None],
                warnings=tuple((int(entry["index"]), _reason(entry, f"{modality}s")) for entry in warnings),
                failures=tuple((place, _error(entry, f"{modality}s", who)) for place, entry in errors.items()),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _stranger(who, "does not answer with vectors") from error
        if len(written) != n or {place for place, vector in enumerate(written) if vector is None} != errors.keys():
            raise _stranger(who, f"does not say what became of each of {n} inputs")
        return reading

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        """The error that any other answer stands for."""
        return error_of(answer, Said.of(answer), self.asked, now_s)

    def _require_space(self, found: str) -> None:
        expected = self.tower.space
        if found.rsplit("@", 1)[-1] != expected.key:
            raise SpaceMismatch(
                f"{self.asked.provider} answers with vectors of {found}, and had those of {expected.id} when it was "
                "opened: the two cannot be mixed. Go back to that model there, or embed everything again.",
                expected=expected.id,
                actual=found,
            )


def _tower(answer: Answer, asked: Asked) -> Tower:
    """The tower that the answer to `GET /v1/models` describes.

    Raises:
        ProviderError: It is a refusal, or describes none, or not the one whose id it has.
    """
    if answer.status != 200:
        raise error_of(answer, Said.of(answer), asked, 0.0)
    try:
        (model,) = _fields(answer, asked.provider)["data"]
        tower = Tower.from_dict(model["tower"])
        is_whole = model["space"].rsplit("@", 1)[-1] == tower.space.key and isinstance(tower.space.dim, int)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _stranger(asked.provider, "does not say what it serves") from error
    if not is_whole:
        raise _stranger(asked.provider, "describes its model in a way that this version does not know")
    return tower


def _fields(answer: Answer, who: str) -> _Fields:
    try:
        fields = json.loads(answer.body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise _stranger(who, "does not answer with JSON")
    return fields


def _row(vector: object) -> Rows | Sequence[float]:
    """A vector from base64 of little-endian float32."""
    return np.frombuffer(base64.b64decode(str(vector), validate=True), "<f4").astype(np.float32)


def _error(entry: _Fields, together: str, who: str) -> InputError:
    """The error of one input. Unavailable if it is the service that failed, and may not fail again."""
    if entry.get("retryable"):
        raise Unavailable(f"{who} had no answer for an input: {entry.get('message')}", provider=who, status=200)
    figures = [value for value in (entry.get("actual"), entry.get("limit")) if isinstance(value, int)]
    return input_error(Failure(0, "", _reason(entry, together), str(entry.get("type")), *figures))


def _reason(entry: _Fields, together: str) -> str:
    """A sentence without the service's name for the input."""
    return str(entry["message"]).removeprefix(f"{together}[{entry['index']}]: ")


def _single_warning(fields: _Fields) -> list[str]:
    warning = fields.get("warning")
    return [warning] if isinstance(warning, str) else []


def _stranger(who: str, what: str) -> ProviderError:
    return ProviderError(f"{who} {what}: is it a lookalike service of this version? Check its address.", provider=who)
