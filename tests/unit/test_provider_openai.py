"""OpenAI's API, Azure's and compatible servers': what is sent, how answers and refusals are read; no network."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from lookalike.errors import (
    ConfigError,
    LookalikeError,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
    UnsupportedModel,
)
from lookalike.messages import Answer
from lookalike.providers import azure, openai
from lookalike.providers.adapter import Upload
from lookalike.providers.believing import matrix
from lookalike.providers.openai import EmbeddingsApi
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.secret import Secret

KEY = "sk-never-to-be-seen"
SETTINGS = ProviderSettings(keys={"openai": Secret(KEY), "azure": Secret(KEY)})
PNG = Upload(b"\x89PNG", "image/png")
HERE = "?base_url=http://127.0.0.1:7997/v1"


def opened(name: str, settings: ProviderSettings = SETTINGS) -> EmbeddingsApi:
    ref = ModelRef.parse(name)
    assert ref is not None
    return (azure if ref.provider == "azure" else openai).open_adapter(ref, settings)


def body_of(adapter: EmbeddingsApi, *inputs: str | Upload, modality: Any = "text") -> Any:
    return json.loads(adapter.request(modality, inputs).body)


def answered(content: object, status: int = 200, **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, headers, body)


def data(*entries: tuple[object, object], **more: object) -> Answer:
    """A successful answer of (index, embedding)s; an index of None is left out."""
    rows = [{"embedding": row} | ({} if index is None else {"index": index}) for index, row in entries]
    return answered({"data": rows, **more})


def encoded(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def refused(status: int, error: dict[str, object], name: str = "openai:text-embedding-3-small") -> LookalikeError:
    return opened(name).refusal(answered({"error": error}, status), 0.0)


def test_a_request_is_what_the_specification_says() -> None:
    """The path, the key, and no field that OpenAI does not know; vectors are asked for in base64."""
    adapter = opened("openai:text-embedding-3-small")
    request = adapter.request("text", ["a", "b"])
    assert (request.method, adapter.base_url + request.path) == ("POST", "https://api.openai.com/v1/embeddings")
    assert request.headers == {"Authorization": f"Bearer {KEY}"}
    assert json.loads(request.body) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "encoding_format": "base64",
    }


def test_dimensions_are_sent_if_they_are_asked_for() -> None:
    """A chosen length is sent, and is that of the tower; of a model that has one length it is an error."""
    adapter = opened("openai:text-embedding-3-large?dimensions=256")
    assert body_of(adapter, "a")["dimensions"] == 256
    assert adapter.tower is not None
    assert adapter.tower.space.dim == 256
    assert body_of(opened(f"openai:bge-m3{HERE}&dimensions=64"), "a")["dimensions"] == 64
    for name in ("text-embedding-ada-002?dimensions=512", "text-embedding-3-small?dimensions=1537"):
        with pytest.raises(ConfigError, match="1536"):
            opened(f"openai:{name}")


def test_lengths_of_known_models_need_no_request() -> None:
    """OpenAI's own models have known lengths; those of any other server, whatever its models' names, are learned."""
    towers = [opened(f"openai:{name}").tower for name in openai.DIMS]
    assert [tower.space.dim for tower in towers if tower] == [1536, 3072, 1536]
    other = opened(f"openai:text-embedding-ada-002{HERE}")
    assert other.tower is None
    assert other.tower_of(384).space.dim == 384


def test_another_address_is_another_space() -> None:
    """The same name at two addresses is two spaces; the usual address by name or by variable is the usual space."""
    own = opened("openai:text-embedding-3-small").tower_of(1536).space
    by_variable = ProviderSettings(keys=SETTINGS.keys, base_urls={"openai": "https://api.openai.com/v1/"})
    assert opened("openai:text-embedding-3-small", by_variable).tower_of(1536).space == own
    other = opened(f"openai:text-embedding-3-small{HERE}").tower_of(1536).space
    assert other.key != own.key
    assert other.model == f"openai:text-embedding-3-small{HERE}"


def test_a_key_is_needed_by_openai_alone() -> None:
    """Without a key OpenAI's own models are an error that names the variable; another server is asked without one."""
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        opened("openai:text-embedding-3-small", ProviderSettings())
    assert opened(f"openai:bge-m3{HERE}", ProviderSettings()).request("text", ["a"]).headers == {}


def test_a_key_that_no_header_can_hold_is_refused_unseen() -> None:
    """A line break in a key is an error that names the variable and not the key."""
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        opened("openai:text-embedding-3-small", ProviderSettings(keys={"openai": Secret(f"{KEY}\n")}))
    assert KEY not in str(caught.value)


def test_pictures_are_sent_as_pictures_or_not_at_all() -> None:
    """A picture is a data URI with its modality, where the name says images=1; else UnsupportedModel, never a text."""
    adapter = opened(f"openai:clip{HERE}&images=1")
    assert body_of(adapter, PNG, modality="image") == {
        "model": "clip",
        "input": [f"data:image/png;base64,{base64.b64encode(PNG.data).decode()}"],
        "encoding_format": "base64",
        "modality": "image",
    }
    assert body_of(adapter, "data:image/png;base64,aaaa")["modality"] == "text"
    assert adapter.tower_of(8).space.modalities == ("image", "text")
    for name in ("openai:text-embedding-3-small", f"openai:clip{HERE}"):
        assert opened(name).tower_of(8).space.modalities == ("text",)
        with pytest.raises(UnsupportedModel, match="images=1"):
            opened(name).request("image", [PNG])
    with pytest.raises(ConfigError, match="texts only"):
        opened("openai:text-embedding-3-small?images=1")


def test_an_answer_is_read_in_base64_and_in_numbers() -> None:
    """Vectors come in base64 of little-endian float32 or as numbers, by their index; tokens as they are billed."""
    adapter = opened("openai:text-embedding-3-small")
    answer = data((1, [3, 4.5]), (0, encoded(1, 2)), usage={"prompt_tokens": 7, "total_tokens": 9})
    reading = adapter.read(answer, "text", 2)
    assert [list(row) for row in reading.rows] == [[1, 2], [3, 4.5]]
    assert reading.tokens == 7


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "many"}, {"prompt_tokens": 10**30}, [], "7"]
)
def test_an_answer_without_usage_counts_no_tokens(usage: object) -> None:
    """A server that does not say what it read is believed otherwise."""
    assert opened("openai:text-embedding-3-small").read(data((0, [1.0]), usage=usage), "text", 1).tokens == 0


def test_entries_without_an_index_are_in_order() -> None:
    """Where no entry, or only the first, has no index, the order of the entries counts."""
    adapter = opened("openai:text-embedding-3-small")
    for first, second in ((None, None), (None, 1)):
        assert adapter.read(data((first, [1.0]), (second, [2.0])), "text", 2).rows == [[1.0], [2.0]]


@pytest.mark.parametrize(
    "answer",
    [
        answered(b""),
        answered(b"<html>"),
        answered([]),
        answered({}),
        answered({"data": None}),
        answered({"data": [1, 2]}),
        answered(b"[" * 100_000),
        data((0, [1.0])),
        data((0, [1.0]), (1, [1.0]), (2, [1.0])),
        data((0, [1.0]), (0, [2.0])),
        data((0, [1.0]), (2, [2.0])),
        data(("0", [1.0]), ("1", [2.0])),
        data(([0], [1.0]), (1, [2.0])),
        data((0, [1.0, 2.0]), (1, [2.0])),
        data((0, [1.0, "0.5"]), (1, [2.0, 1.0])),
        data((0, [1.0, None]), (1, [2.0, 1.0])),
        data((0, None), (1, [2.0])),
        data((0, "AAAA!"), (1, "AAAAAA==")),
        data((0, "AAA="), (1, "AAA=")),
        data((0, [[1.0], [2.0]]), (1, [[1.0], [2.0]])),
    ],
)
def test_an_answer_of_another_shape_is_not_believed(answer: Answer) -> None:
    """Too few, too many, twice the same, cut, per token, no numbers: a ProviderError, never a guess."""
    with pytest.raises(ProviderError):
        matrix(opened("openai:text-embedding-3-small").read(answer, "text", 2), 2, provider="openai")


def test_a_used_up_quota_is_not_waited_for() -> None:
    """429 means a pause, unless the quota is used up, which no pause helps against."""
    passing = refused(429, {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"})
    assert isinstance(passing, RateLimited)
    lasting = refused(429, {"message": "Pay", "type": "insufficient_quota", "code": "insufficient_quota"})
    assert isinstance(lasting, Refused)
    assert not lasting.retryable


@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_unknown_model_is_named_whatever_the_status(status: int) -> None:
    """`model_not_found` is about the model, and no other input is tried for its sake."""
    error = refused(status, {"message": "No such model", "code": "model_not_found"})
    assert isinstance(error, Refused)
    assert error.status == 404
    assert "text-embedding-3-small" in str(error)


def test_dimensions_that_are_refused_are_a_wrong_setting() -> None:
    """A 400 about `dimensions` blames no input."""
    error = refused(400, {"message": "No", "param": "dimensions"}, f"openai:m{HERE}&dimensions=5")
    assert isinstance(error, ConfigError)
    assert "5" in str(error)


def test_a_refused_input_keeps_its_status() -> None:
    """A 400 about the inputs is Refused with that status, so that the others are tried without it."""
    error = refused(400, {"message": "maximum context length is 8192 tokens", "param": "input"})
    assert isinstance(error, Refused)
    assert error.status == 400
    assert "8192" in str(error)


def test_errors_of_other_servers_name_their_address() -> None:
    """Of a compatible server errors say which; flat ones are read as well."""
    overloaded = opened(f"openai:m{HERE}").refusal(
        answered({"message": "Model is overloaded", "code": 429, "error_type": "Overloaded"}, 429), 0.0
    )
    assert isinstance(overloaded, RateLimited)
    assert "127.0.0.1:7997" in str(overloaded)
    assert "Model is overloaded" in str(overloaded)
    assert isinstance(opened(f"openai:m{HERE}").refusal(answered({"message": "x", "code": 424}, 424), 0.0), Unavailable)


def test_no_adapter_shows_its_key() -> None:
    """What is printed of an adapter, its tower or its request has no key in it."""
    for name in ("openai:text-embedding-3-small", "azure:mine?base_url=https://x.openai.azure.com"):
        adapter = opened(name)
        assert KEY not in f"{adapter!r} {adapter.tower_of(3)!r} {adapter.request('text', ['a'])!r}"


@pytest.mark.parametrize("address", ["https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1/"])
def test_azure_has_two_kinds_of_address(address: str) -> None:
    """Without an API version it is the v1 API, with one the deployment stands in the path; the key has its header."""
    adapter = opened(f"azure:my model?base_url={address}")
    request = adapter.request("text", ["a"])
    assert adapter.base_url + request.path == "https://x.openai.azure.com/openai/v1/embeddings"
    assert request.headers == {"api-key": KEY}
    assert json.loads(request.body)["model"] == "my model"
    older = opened(f"azure:my model?base_url={address}&api_version=2024-10-21").request("text", ["a"])
    assert older.path == "/openai/deployments/my%20model/embeddings?api-version=2024-10-21"
    assert adapter.tower_of(3).space.model == "azure:my model?base_url=https://x.openai.azure.com"


def test_azure_needs_an_address_and_a_key() -> None:
    """What is missing is named by its variable."""
    with pytest.raises(ConfigError, match="AZURE_OPENAI_ENDPOINT"):
        opened("azure:mine")
    there = ProviderSettings(base_urls={"azure": "https://x.openai.azure.com"})
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY"):
        opened("azure:mine", there)
    with pytest.raises(ConfigError, match="texts only"):
        opened("azure:mine?images=1", ProviderSettings(keys=SETTINGS.keys, base_urls=there.base_urls))
