"""Addresses of Hugging Face's Inference Endpoints: what answers there is asked, and proven by the answer.

Three kinds can be used: our own handler (deploy/huggingface/handler.py), which names itself; Text Embeddings Inference,
which describes itself; and the default server of a sentence-transformers model. What embeds a picture's address or
base64 as a text, or returns no vectors at all (the default endpoint of a CLIP), is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ConfigError, LookalikeError, ProviderError, UnsupportedModel
from lookalike.messages import Answer, Request, address_of, bearer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.believing import matrix
from lookalike.providers.endpoint_shapes import ByHandler, BySentenceTransformers, ByTei, EndpointShape
from lookalike.providers.opening import Ask, questions
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.refusals import Asked, Said, error_of, quoted_of
from lookalike.providers.sight import eye_chart, is_seen
from lookalike.providers.towers import hosted_tower
from lookalike.secret import Secret
from lookalike.spaces import Modality, Tower, digest_of

SHIPPED = "deploy/huggingface/handler.py"

TEXTS = ("a photo", "two dogs")

CLOSED = frozenset({401, 402, 403, 404, 410, *range(300, 400)})
"""Nothing that is asked at this address will be answered."""


def open_endpoint(ref: ModelRef, settings: ProviderSettings, *, variable: str) -> EndpointAdapter:
    """The adapter of an address, which is asked what it is.

    Args:
        ref: Its `model` is the address.
        settings: The key, and the time that the questions may take.
        variable: The variable that holds the key.

    Raises:
        ConfigError: The address or the key cannot be used, or its vectors have other dimensions than asked for.
        UnsupportedModel: It returns no vectors, or none of pictures where images=1 asks for them.
        ProviderError: It cannot be reached, or refuses the key.
    """
    base_url, host = address_of(ref.model, setting=f"{ref.provider}:{ref.model}")
    key = settings.keys.get(ref.provider) or Secret("")
    asked = Asked(provider=f"{ref.provider} at {host}", model="the endpoint's", variable=variable, key=key)
    door = Door(
        ref=replace(ref, model=base_url),
        asked=asked,
        headers=bearer(key.reveal(), setting=variable) if key else {},
    )
    with questions(base_url, asked, settings) as ask:
        try:
            adapter = recognised(door, ask)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ProviderError(
                f"{asked.provider} says of itself what cannot be read: deploy {SHIPPED} or Text Embeddings Inference "
                "there, as they come.",
                provider=asked.provider,
            ) from error
    dim = adapter.tower.space.dim
    if ref.dimensions not in (0, dim):
        raise ConfigError(f"{ref}: the endpoint's vectors have {dim} numbers; leave out dimensions.")
    return adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An address, and who asks there.

    Attributes:
        ref: Its `model` is the address.
        asked: Who is asked, for errors.
        headers: Sent with every request; they hold the key.
    """

    ref: ModelRef
    asked: Asked
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAdapter:
    """An endpoint whose kind is known; see `adapter.Adapter`.

    Attributes:
        tower: The recipe of its vectors.
        door: Where it is.
        shape: Its requests and answers.
    """

    tower: Tower
    door: Door
    shape: EndpointShape

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.door.ref.provider

    @property
    def base_url(self) -> str:
        """Where it is."""
        return self.door.ref.model

    @property
    def limits(self) -> Limits:
        """What its requests may hold."""
        return self.shape.limits

    def tower_of(self, dim: int) -> Tower:  # noqa: ARG002 (known from the start)
        """The recipe."""
        return self.tower

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors."""
        if modality not in self.tower.space.modalities:
            raise UnsupportedModel(
                f"{self.door.ref} is used for texts only. If a sentence-transformers CLIP runs there, say so with "
                f"images=1 behind its name, and it is tested; else deploy {SHIPPED}, which embeds both.",
                model=str(self.door.ref),
            )
        return _with_key(self.shape.request(modality, inputs), self.door)

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:  # noqa: ARG002 (both are alike)
        """What an answer says."""
        who = self.door.asked.provider
        try:
            reading = self.shape.read(answer, n)
            return replace(reading, tower=tower_in(answer, self.door)) if self.shape.describes_itself else reading
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ProviderError(
                f"{who} does not answer any more as it did when it was opened: was another model deployed there?",
                provider=who,
                status=answer.status,
            ) from error

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        """The error that any other answer stands for."""
        return self.shape.refusal(answer, self.door.asked, now_s)


def recognised(door: Door, ask: Ask) -> EndpointAdapter:
    """The adapter that fits what answers at an address. Errors as `open_endpoint`."""
    answer = _answer(ByHandler().request("text", TEXTS), door, ask)
    if _fields(answer).get("handler") is not None:
        return EndpointAdapter(tower=tower_in(answer, door), door=door, shape=ByHandler())
    if info := _tei_info(ask(_with_key(Request("GET", "/info"), door))):
        return _tei(info, door, ask)
    return _sentence_transformers(door, ask)


def tower_in(answer: Answer, door: Door) -> Tower:
    """The recipe of our handler's vectors, as every answer of it says. The space is that of the weights, wherever.

    Raises:
        UnsupportedModel: The handler is of another version.
        ValueError, LookupError, TypeError: It does not say.
    """
    said = _fields(answer)
    if said["handler"] != ByHandler.NAME:
        raise UnsupportedModel(
            f"{door.asked.provider} runs the handler {said['handler']!r}; this version of lookalike speaks with "
            f"{ByHandler.NAME!r}: deploy {SHIPPED} as it came with it.",
            model=str(door.ref),
        )
    digest, preprocessing = str(said["weights"]), digest_of(said["preprocessing"])
    recipe = {"dtype": str(said["dtype"]), "orientation": str(said["orientation"])}
    dim = int(said["dimensions"])
    tower = hosted_tower(door.ref, dim=dim, modalities=("image", "text"), recipe=recipe, model=digest)
    return replace(tower, space=replace(tower.space, preprocessing=preprocessing))


def _tei(info: Mapping[str, Any], door: Door, ask: Ask) -> EndpointAdapter:
    """Text Embeddings Inference, with its own limits."""
    if "embedding" not in (info.get("model_type") or ()):
        raise _useless(door, f"it serves {info['model_id']}, which makes no embeddings")
    _require_texts_only(door, "Text Embeddings Inference")
    shape = ByTei(dimensions=door.ref.dimensions, texts=int(info["max_client_batch_size"]))
    dim = _dim(shape, door, ask)
    # With the commit of its weights a model is the same wherever it runs; without, who knows.
    model = (
        f"{info['model_id']}@{info['model_sha']}" if info.get("model_sha") else f"{door.ref.model} {info['model_id']}"
    )
    recipe = {"dtype": str(info.get("model_dtype"))}
    tower = hosted_tower(door.ref, dim=dim, modalities=("text",), recipe=recipe, model=model)
    return EndpointAdapter(tower=tower, door=door, shape=shape)


def _sentence_transformers(door: Door, ask: Ask) -> EndpointAdapter:
    """The default server of a sentence-transformers model; with images=1 it has to prove that it sees pictures."""
    shape = BySentenceTransformers()
    dim = _dim(shape, door, ask)
    if door.ref.images:
        _require_sight(shape, door, ask)
    modalities: tuple[Modality, ...] = ("image", "text") if door.ref.images else ("text",)
    return EndpointAdapter(tower=hosted_tower(door.ref, dim=dim, modalities=modalities), door=door, shape=shape)


def _dim(shape: EndpointShape, door: Door, ask: Ask) -> int:
    """The length of the vectors of two texts. UnsupportedModel if none come back."""
    answer = _answer(shape.request("text", TEXTS), door, ask)
    if answer.status != 200:
        raise _useless(door, quoted_of(answer, Said.of(answer), door.asked))
    try:
        rows = matrix(shape.read(answer, len(TEXTS)), len(TEXTS), provider=door.asked.provider)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        labels = "labels and scores" if b'"score"' in answer.body else "something else"
        raise _useless(door, f"it answers with {labels}") from error
    return len(rows[0])


def _require_sight(shape: EndpointShape, door: Door, ask: Ask) -> None:
    """Raise UnsupportedModel unless pictures are seen; see `sight`."""
    rows = np.concatenate([_picture_row(picture, shape, door, ask) for picture in eye_chart()])
    if not is_seen(rows):
        what = "answers with vectors that do not depend on what is in a picture: it embeds something of it as a text"
        raise _blind(door, what)


def _picture_row(picture: Upload, shape: EndpointShape, door: Door, ask: Ask) -> NDArray[np.float64]:
    """(1, dim) as it came."""
    answer = _answer(shape.request("image", [picture]), door, ask)
    if answer.status != 200:
        raise _blind(door, f"takes none ({quoted_of(answer, Said.of(answer), door.asked)})")
    try:
        return matrix(shape.read(answer, 1), 1, provider=door.asked.provider)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _blind(door, "answers without vectors") from error


def _require_texts_only(door: Door, what: str) -> None:
    if door.ref.images:
        raise _blind(door, f"has none: {what} embeds texts only")


def _tei_info(answer: Answer) -> Mapping[str, Any]:
    """What Text Embeddings Inference says of itself; empty if somebody else answers."""
    said = _fields(answer) if answer.status == 200 else {}
    return said if {"model_id", "max_client_batch_size", "max_input_length"} <= said.keys() else {}


def _fields(answer: Answer) -> Mapping[str, Any]:
    """The JSON of an answer; empty if it is none, or no object."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {}


def _answer(request: Request, door: Door, ask: Ask) -> Answer:
    """What is said to a request for vectors. ProviderError if nobody here will ever say more."""
    answer = ask(_with_key(request, door))
    if answer.status in CLOSED:
        raise error_of(answer, Said.of(answer), door.asked, 0.0)
    return answer


def _with_key(request: Request, door: Door) -> Request:
    return replace(request, headers={**request.headers, **door.headers})


def _useless(door: Door, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{door.asked.provider} returns no vectors ({why}). The default endpoint of a CLIP never does, whatever it is "
        f"sent: deploy {SHIPPED} with the model. If it did before, its log says what happened: Hugging Face's server "
        "answers 400 to failures of its own, too.",
        model=str(door.ref),
    )


def _blind(door: Door, what: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{door.asked.provider} is asked for vectors of pictures and {what}. Deploy {SHIPPED} with a CLIP, which "
        "embeds both, or leave out images=1 to embed texts there.",
        model=str(door.ref),
    )
