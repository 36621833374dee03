"""Amazon Bedrock: Titan and Nova, one input to a request, with a Bedrock API key instead of signed requests.

Shapes are those of docs.aws.amazon.com: bedrock/latest/userguide/model-parameters-titan-embed-mm.html and
nova/latest/userguide/embeddings-schema.html; errors those of API_runtime_InvokeModel.html (2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from lookalike.errors import ConfigError, LookalikeError, Refused
from lookalike.messages import Answer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import BOTH, Host, Known, KnownAdapter, Shape, count, known_one, open_known
from lookalike.providers.reference import ModelRef, ProviderSettings, Role
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality

KEY = "AWS_BEARER_TOKEN_BEDROCK"
TITAN = "amazon.titan-embed-image-v1"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"

MODELS: Mapping[str, Known] = {
    TITAN: Known(
        dim=1024,
        dims=(256, 384),
        modalities=BOTH,
        limits=Limits(texts=1, images=1, input_chars=2048, image_bytes=18_000_000, image_side_px=2048, concurrency=8),
    ),
    NOVA: Known(
        dim=3072,
        dims=(256, 384, 1024),
        modalities=BOTH,
        limits=Limits(texts=1, images=1, input_chars=8192, image_bytes=18_000_000, concurrency=8),
    ),
}
"""Titan: 256 tokens, eight characters at most each, English; 2048 x 2048 pixels. Nova: 8,192 characters. A request of
25 MB, which is a picture of 18 before base64."""

PURPOSES: Mapping[Role, str] = {"query": "IMAGE_RETRIEVAL", "document": "GENERIC_INDEX"}
"""What Nova is told: that a text looks for pictures, or is what is found."""

REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> KnownAdapter:
    """The adapter of one of Amazon's models.

    Raises:
        UnsupportedModel: There is no such model, or its requests are not known here.
        ConfigError: There is no key or no region, or an option does not fit the model.
    """
    model = known_one(ref, MODELS)
    ref = replace(ref, region=_region(ref, settings))
    shape: Shape = (
        _Titan(length=ref.dimensions or model.dim)
        if ref.model == TITAN
        else _Nova(task=PURPOSES[ref.role], length=ref.dimensions or model.dim)
    )
    host = Host(url=f"https://bedrock-runtime.{ref.region}.amazonaws.com", variable=KEY, for_pictures=TITAN)
    return open_known(ref, settings, model=model, shape=shape, host=host)


def _region(ref: ModelRef, settings: ProviderSettings) -> str:
    region = ref.region or settings.region
    if not region:
        raise ConfigError(f"{ref} does not say in which region: set AWS_REGION, or write ?region=us-east-1 behind it.")
    if not REGION.fullmatch(region):  # it becomes part of the host that gets the key
        raise ConfigError(f"{ref}: {region!r} is no region of AWS; one is us-east-1.")
    return region


@dataclass(frozen=True, slots=True, kw_only=True)
class _Titan:
    """Titan Multimodal Embeddings; see `known.Shape`. Text and picture in one request would be one averaged vector.

    Attributes:
        length: Of its vectors.
    """

    length: int

    @property
    def task(self) -> str:
        return ""

    def request(self, _: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        [item] = inputs
        body = {"inputImage": item.base64} if isinstance(item, Upload) else {"inputText": item}
        return _path(TITAN), {**body, "embeddingConfig": {"outputEmbeddingLength": self.length}}

    def read(self, answer: Answer, _: int) -> Reading:
        said = json.loads(answer.body)
        return Reading([said["embedding"]], tokens=count(said.get("inputTextTokenCount")))

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        return refusal(answer, asked, now_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nova:
    """Nova Multimodal Embeddings; see `known.Shape`. What is too long is refused instead of being cut off.

    Attributes:
        task: What texts are embedded for.
        length: Of its vectors.
    """

    task: str
    length: int

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        [item] = inputs
        params: dict[str, object] = {
            "embeddingPurpose": self.task if modality == "text" else PURPOSES["document"],
            "embeddingDimension": self.length,
        }
        if isinstance(item, Upload):
            source = {"bytes": item.base64}
            params["image"] = {"format": item.media_type.removeprefix("image/"), "source": source}
        else:
            params["text"] = {"truncationMode": "NONE", "value": item}
        body = {"schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING"}
        return _path(NOVA), {**body, "singleEmbeddingParams": params}

    def read(self, answer: Answer, _: int) -> Reading:
        return Reading([entry["embedding"] for entry in json.loads(answer.body)["embeddings"]])

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        return refusal(answer, asked, now_s)


def refusal(answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
    """The error that an answer of Bedrock stands for: its header x-amzn-errortype says which.

    Args:
        answer: What came back.
        asked: Who was asked for what.
        now_s: Seconds since the epoch.
    """
    kind = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    said = Said.of(answer)
    if _is_unknown_key(kind, said.message):
        answer = replace(answer, status=401)
    elif "model identifier is invalid" in said.message:
        answer = replace(answer, status=404)
    error = error_of(answer, said, asked, now_s)
    if kind == "ServiceQuotaExceededException":  # its status is 400, as if the input were to blame
        advice = "The account's quota is used up: ask for more in Service Quotas, or use another region."
        return Refused(f"{error} {advice}", provider=asked.provider, status=429)
    if error.status == 403:
        advice = "Ask for access to the model in Bedrock's console, in this very region; allow bedrock:InvokeModel."
        return Refused(f"{error} {advice}", provider=asked.provider, status=403)
    return error


def _is_unknown_key(kind: str, message: str) -> bool:
    """Whether a key is wrong or out of date, which AWS says with 403 as well; short-term keys last twelve hours."""
    return kind in ("UnrecognizedClientException", "ExpiredTokenException") or message.startswith(
        "Authentication failed"
    )


def _path(model: str) -> str:
    return f"/model/{quote(model, safe='')}/invoke"
