"""Amazon Bedrock: one input to a request, regions in the host, errors by their header."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lookalike.errors import ConfigError, LookalikeError, RateLimited, Refused, Unavailable
from lookalike.providers.bedrock import NOVA, TITAN
from lookalike.providers.reference import ProviderSettings
from tests.adapters import JPEG, KEY, PNG, PNG_BASE64, SETTINGS, answered, asked, opened, refusal
from tests.doubles.bedrock import BedrockDouble
from tests.doubles.double import Seen, vector_of

HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"


def failed(status: int, kind: str, body: object) -> LookalikeError:
    """What becomes of an error of this kind."""
    header = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/" if kind else ""
    return refusal(f"bedrock:{TITAN}", body, status, x_amzn_errortype=header)


def test_titan_gets_a_text_or_a_picture() -> None:
    """Never both: that would be one averaged vector. Pictures are plain base64; the length is always said."""
    address, body = asked(f"bedrock:{TITAN}?dimensions=384", "a")
    assert address == f"{HOST}/model/{TITAN}/invoke"
    assert body == {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}}
    _, body = asked(f"bedrock:{TITAN}", PNG, modality="image")
    assert body == {"inputImage": PNG_BASE64, "embeddingConfig": {"outputEmbeddingLength": 1024}}


def test_text_and_picture_at_once_are_an_average() -> None:
    """The trap: the double answers both at once with one vector between them."""
    double, body = BedrockDouble(), {"inputText": "a", "inputImage": PNG_BASE64}
    body |= {"embeddingConfig": {"outputEmbeddingLength": 256}}
    seen = Seen("POST", f"/model/{TITAN}/invoke", {}, body, json.dumps(body).encode())
    [vector] = double.vectors(seen)
    assert np.allclose(vector, (np.array(vector_of("a", 256)) + vector_of(PNG.data, 256)) / 2)


def test_nova_is_told_what_texts_are_for() -> None:
    """A text looks for pictures or is found; pictures are found in every role; what is too long is not cut off."""
    address, body = asked(f"bedrock:{NOVA}", "a")
    assert address == f"{HOST}/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke"
    assert body == {
        "schemaVersion": "nova-multimodal-embed-v1",
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "IMAGE_RETRIEVAL",
            "embeddingDimension": 3072,
            "text": {"truncationMode": "NONE", "value": "a"},
        },
    }
    params = asked(f"bedrock:{NOVA}?role=document", "a")[1]["singleEmbeddingParams"]
    assert params["embeddingPurpose"] == "GENERIC_INDEX"
    params = asked(f"bedrock:{NOVA}", JPEG, modality="image")[1]["singleEmbeddingParams"]
    assert params["embeddingPurpose"] == "GENERIC_INDEX"
    assert params["image"] == {"format": "jpeg", "source": {"bytes": JPEG.base64}}
    assert "text" not in params


@pytest.mark.parametrize("name", [TITAN, NOVA])
def test_a_request_holds_one_input(name: str) -> None:
    """Neither model takes more, so no more are put together."""
    limits = opened(f"bedrock:{name}").limits
    assert (limits.texts, limits.images) == (1, 1)


def test_answers_of_both() -> None:
    """Titan's vector stands at the top, Nova's in a list; tokens are counted where they are told."""
    reading = opened(f"bedrock:{TITAN}").read(answered({"embedding": [1.0], "inputTextTokenCount": 3}), "text", 1)
    assert (reading.rows, reading.tokens) == ([[1.0]], 3)
    answer = answered({"embeddings": [{"embeddingType": "IMAGE", "embedding": [2.0]}]})
    assert opened(f"bedrock:{NOVA}").read(answer, "image", 1).rows == [[2.0]]


def test_the_region_is_part_of_the_host() -> None:
    """It is that of the name, else that of the variable; without one, or with what is none, nothing is asked."""
    assert opened(f"bedrock:{TITAN}?region=eu-west-1").base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert opened(f"bedrock:{TITAN}").base_url == HOST
    with pytest.raises(ConfigError, match="AWS_REGION"):
        opened(f"bedrock:{TITAN}", ProviderSettings(keys=SETTINGS.keys))
    for region in ("evil.example/", "us-east-1.evil.example", "x@evil.example", "us-east-1\n"):
        with pytest.raises(ConfigError, match="no region"):
            opened(f"bedrock:{TITAN}", ProviderSettings(keys=SETTINGS.keys, region=region))


def test_the_key_is_a_bearer_token() -> None:
    """A Bedrock API key needs no signature."""
    assert opened(f"bedrock:{TITAN}").request("text", ["a"]).headers == {"Authorization": f"Bearer {KEY}"}


def test_throttling_and_loading_are_waited_for() -> None:
    """Too many requests and a model that is not ready pass, as do failures behind Bedrock."""
    for kind in ("ThrottlingException", "ModelNotReadyException"):
        assert isinstance(failed(429, kind, {"message": "Too many requests"}), RateLimited)
    for status, kind in ((408, "ModelTimeoutException"), (424, "ModelErrorException"), (503, "ServiceUnavailable")):
        assert isinstance(failed(status, kind, {"message": "x"}), Unavailable)


def test_a_model_that_is_not_allowed_says_what_to_do() -> None:
    """Access to a model is granted in the console, for each region."""
    error = failed(403, "AccessDeniedException", {"message": "You don't have access to the model with this ID."})
    assert isinstance(error, Refused)
    assert not error.retryable
    assert "bedrock:InvokeModel" in str(error)
    assert "You don't have access" in str(error)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("UnrecognizedClientException", "The security token included in the request is invalid."),
        ("ExpiredTokenException", "The security token included in the request is expired"),
        ("", "Authentication failed: Please make sure your API Key is valid."),
    ],
)
def test_a_wrong_key_is_told_from_a_missing_right(kind: str, message: str) -> None:
    """AWS says 403 of both, with `Message` as well as `message`."""
    error = failed(403, kind, {"Message": message})
    assert isinstance(error, Refused)
    assert error.status == 401
    assert "AWS_BEARER_TOKEN_BEDROCK" in str(error)


def test_quotas_and_names_blame_no_input() -> None:
    """A used up quota and an unknown model are 400 at Bedrock; an input that cannot be read stays 400."""
    quota = failed(400, "ServiceQuotaExceededException", {"message": "x"})
    assert isinstance(quota, Refused)
    assert quota.status == 429
    unknown = failed(400, "ValidationException", {"message": "The provided model identifier is invalid."})
    assert isinstance(unknown, Refused)
    assert unknown.status == 404
    bad = failed(400, "ValidationException", {"message": "Failed to decode base64 image"})
    assert isinstance(bad, Refused)
    assert bad.status == 400
    assert "Failed to decode" in str(bad)


def test_no_refusal_repeats_the_key() -> None:
    """Whatever Bedrock says, the key is not in the error."""
    for status, kind in ((400, "ServiceQuotaExceededException"), (403, "AccessDeniedException"), (403, "")):
        assert KEY not in str(failed(status, kind, {"message": f"the key {KEY} is not allowed"}))
