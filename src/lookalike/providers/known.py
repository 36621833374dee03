"""Models whose lengths, inputs and limits are known by their names, and the adapter that all of them share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from lookalike.errors import ConfigError, LookalikeError, ProviderError, UnsupportedModel
from lookalike.messages import Answer, Request, bearer, header_safe
from lookalike.providers.adapter import Limits, Prepared, Reading
from lookalike.providers.reference import ModelRef, ProviderSettings, placed, require_key
from lookalike.providers.refusals import Asked
from lookalike.providers.towers import hosted_tower
from lookalike.spaces import Modality, Tower

MOST_TOKENS = 100_000_000
"""More than any request has: who says more is not believed."""

BOTH: tuple[Modality, ...] = ("image", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A model as its provider describes it.

    Attributes:
        dim: Length of its vectors unless another is asked for; 0 if the first answer will show it.
        dims: The lengths that can be asked for; empty if it has only one, or if that is not known.
        modalities: What it embeds, sorted.
        limits: What its requests may hold.
        space: The name of the space that several models share, where the provider says so; empty for the model's own.
    """

    dim: int = 0
    dims: Collection[int] = ()
    modalities: tuple[Modality, ...] = ("text",)
    limits: Limits
    space: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Who serves it.

    Attributes:
        url: Its usual address.
        variable: The variable that holds the key.
        key_header: The header that shows the key, if it is not that of bearer tokens.
        for_pictures: A model there that embeds pictures, for errors.
    """

    url: str
    variable: str
    key_header: str = ""
    for_pictures: str


class Shape(Protocol):
    """What is left to say for one model: the JSON of its requests, and what its answers mean."""

    @property
    def task(self) -> str:
        """What texts are embedded for, as it is sent; empty if the model does not ask."""
        ...

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        """The path below the address, and the body."""
        ...

    def read(self, answer: Answer, n: int) -> Reading:
        """The vectors for n inputs, and as `tokens` what was billed for them, be they texts or pictures.

        Raises:
            ValueError, LookupError, TypeError, AttributeError, RecursionError: It has another shape.
        """
        ...

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """As `adapter.Adapter.refusal`."""
        ...


def open_known(ref: ModelRef, settings: ProviderSettings, *, model: Known, shape: Shape, host: Host) -> KnownAdapter:
    """The adapter of a model.

    Raises:
        ConfigError: There is no key, or an option does not fit the model.
    """
    _require_fit(ref, model)
    ref, base_url = placed(ref, settings, usual=host.url)
    key = require_key(settings, ref.provider, host.variable)
    who = f"{ref.provider} at {base_url}" if ref.base_url else ref.provider
    shown = key.reveal()
    return KnownAdapter(
        ref=ref,
        asked=Asked(provider=who, model=ref.model, variable=host.variable, key=key),
        base_url=base_url,
        headers={host.key_header: header_safe(shown, setting=host.variable)}
        if host.key_header
        else bearer(shown, setting=host.variable),
        model=model,
        shape=shape,
        for_pictures=host.for_pictures,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAdapter:
    """An adapter of one model; see `adapter.Adapter`.

    Attributes:
        ref: The model, with its address where that is not the usual one.
        asked: Who is asked, for errors.
        base_url: Where it is.
        headers: Sent with every request; they hold the key.
        model: What is known of it.
        shape: Its requests and answers.
        for_pictures: A model of the same provider that embeds pictures, for errors.
    """

    ref: ModelRef
    asked: Asked
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    model: Known
    shape: Shape
    for_pictures: str

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.ref.provider

    @property
    def tower(self) -> Tower | None:
        """The recipe; None if the length of the vectors is not known."""
        dim = self.ref.dimensions or self.model.dim
        return self.tower_of(dim) if dim else None

    def tower_of(self, dim: int) -> Tower:
        """The recipe, with vectors of this length."""
        recipe = {"task": self.shape.task} if self.shape.task else {}
        return hosted_tower(self.ref, dim=dim, modalities=self.model.modalities, recipe=recipe, model=self.model.space)

    @property
    def limits(self) -> Limits:
        """What its requests may hold."""
        return self.model.limits

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors."""
        if modality not in self.model.modalities:
            raise UnsupportedModel(
                f"{self.ref} embeds texts only: for pictures choose {self.ref.provider}:{self.for_pictures}.",
                model=str(self.ref),
            )
        path, body = self.shape.request(modality, inputs)
        return Request("POST", path, json.dumps(body).encode(), self.headers)

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:
        """What an answer says."""
        try:
            said = self.shape.read(answer, n)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            who = self.asked.provider
            raise ProviderError(
                f"The answer of {who} has not the shape of its API: check the address.", provider=who, status=200
            ) from error
        return said if modality == "text" else Reading(said.rows, image_tokens=said.tokens)

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        """The error that any other answer stands for."""
        return self.shape.refusal(answer, self.asked, now_s)


def known_one(ref: ModelRef, models: Mapping[str, Known]) -> Known:
    """The row of a model.

    Raises:
        UnsupportedModel: There is none, and without it nobody knows what to send.
    """
    model = models.get(ref.model)
    if model is None:
        raise UnsupportedModel(
            f"{ref.provider}:{ref.model} is not known: {ref.provider} has {', '.join(models)}.", model=str(ref)
        )
    return model


def pausing(answer: Answer, pause_s: float | None) -> Answer:
    """The answer with the pause that its body asks for, unless its headers ask for one or there is none."""
    if pause_s is None or answer.headers.keys() & {"retry-after", "retry-after-ms"}:
        return answer
    return replace(answer, headers={**answer.headers, "retry-after-ms": str(1000 * pause_s)})


def count(value: object) -> int:
    """A number of tokens as an answer tells it; 0 if it does not, or more than any request has."""
    return value if isinstance(value, int) and 0 < value <= MOST_TOKENS else 0


def _require_fit(ref: ModelRef, model: Known) -> None:
    """Raise ConfigError unless the model has what the name asks for."""
    if ref.images and model.dim:
        raise ConfigError(f"{ref}: what {ref.model} embeds is known; leave out images=1.")
    if ref.dimensions and model.dim and ref.dimensions not in (model.dim, *model.dims):
        raise ConfigError(f"{ref}: the vectors of {ref.model} have {_lengths(model)} numbers; choose one, or none.")


def _lengths(model: Known) -> str:
    if isinstance(model.dims, range):
        return f"from {model.dims[0]} to {model.dims[-1]}"
    *some, last = map(str, sorted({model.dim, *model.dims}))
    return f"{', '.join(some)} or {last}" if some else last
