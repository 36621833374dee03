"""Models behind OpenAI's API and Azure's, over real sockets: vectors in their places, errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lookalike.cli import main
from lookalike.embed import Embedder
from lookalike.errors import ConfigError, InputError, LookalikeError, Refused, UnsupportedModel
from lookalike.messages import Answer
from lookalike.providers import azure, openai
from lookalike.providers.pacing import Patience
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.retry import RetryPolicy
from lookalike.secret import Secret
from lookalike.wire import Wire
from tests.doubles.azure import DEPLOYMENT, AzureDouble
from tests.doubles.azure import KEY as AZURE_KEY
from tests.doubles.double import Exchange, altered, limited, out_of_quota, poison, vector_of, without
from tests.doubles.openai import KEY, CompatibleDouble, OpenAIDouble
from tests.pictures import noise

SETTINGS = ProviderSettings(keys={"openai": Secret(KEY), "azure": Secret(AZURE_KEY)}, timeout_s=20.0)
SMALL = "text-embedding-3-small"
TEXTS = [f"text number {i}" for i in range(70)]


@contextmanager
def embedder_of(name: str, settings: ProviderSettings = SETTINGS) -> Iterator[Embedder]:
    """The model, asked again at once where it is asked again."""
    ref = ModelRef.parse(name)
    assert ref is not None
    adapter = (azure if ref.provider == "azure" else openai).open_adapter(ref, settings)
    patience = Patience(timeout_s=settings.timeout_s, retry=RetryPolicy(jitter=lambda: 0.0))
    vectorizer = RemoteVectorizer(
        adapter, wire=Wire(adapter.base_url, host=adapter.name, headers={}), patience=patience
    )
    try:
        yield Embedder(vectorizer)
    finally:
        vectorizer.close()


@pytest.fixture
def double() -> Iterator[OpenAIDouble]:
    with OpenAIDouble() as started:
        yield started


@pytest.fixture
def embedder(double: OpenAIDouble) -> Iterator[Embedder]:
    with embedder_of(f"openai:{SMALL}?base_url={double.base_url}") as opened:
        yield opened


@pytest.fixture
def compatible() -> Iterator[CompatibleDouble]:
    with CompatibleDouble() as started:
        yield started


def expected(*contents: str | bytes, dim: int = 8) -> np.ndarray:
    return np.array([vector_of(content, dim) for content in contents], np.float32)


def test_texts_become_the_vectors_that_the_server_has(double: OpenAIDouble, embedder: Embedder) -> None:
    """Every text has its own vector in its place, however many requests it takes; tokens are counted."""
    found = embedder.embed_texts(TEXTS)
    assert np.allclose(found.values, expected(*TEXTS), atol=1e-6)
    assert found.usage.tokens == 3 * len(TEXTS)
    assert sorted(len(seen.body["input"]) for seen in double.seen[1:]) == [6, 32, 32]


def test_a_server_that_knows_no_base64_is_read_as_well(double: OpenAIDouble, embedder: Embedder) -> None:
    """Vectors that come as numbers are the same; so are those whose entries come in another order."""
    double.rule = without("encoding_format")
    assert np.allclose(embedder.embed_texts(TEXTS).values, expected(*TEXTS), atol=1e-6)
    double.rule = altered(lambda said: {**said, "data": said["data"][::-1]})
    assert np.allclose(embedder.embed_texts(TEXTS).values, expected(*TEXTS), atol=1e-6)


def test_dimensions_are_those_that_were_asked_for(double: OpenAIDouble) -> None:
    """A server that shortens has vectors of that length; one that does not know the option is found out."""
    with embedder_of(f"openai:{SMALL}?base_url={double.base_url}&dimensions=4") as embedder:
        assert np.allclose(embedder.embed_texts(["a"]).values, expected("a", dim=4), atol=1e-6)
        double.rule = without("dimensions")
        with pytest.raises(LookalikeError, match="8 numbers"):
            embedder.embed_texts(["a"])


def test_bad_inputs_fail_alone(double: OpenAIDouble, embedder: Embedder) -> None:
    """What is no text, empty, or refused by the server is a failure with its name; all others have their vectors."""
    texts: list[str] = [*TEXTS[:10], "", "bad", 7]  # type: ignore[list-item]
    double.rule = poison("bad")
    found = embedder.embed_texts(texts, on_error="collect")
    assert np.allclose(found.values, expected(*TEXTS[:10]), atol=1e-6)
    assert [(failure.position, failure.item) for failure in found.failures] == [
        (place, f"texts[{place}]") for place in (10, 11, 12)
    ]
    with pytest.raises(InputError, match=r"texts\[11\]"):
        embedder.embed_texts(["a", *texts[1:10], "b", "bad"])


def test_the_command_prints_the_vectors_of_the_others(double: OpenAIDouble) -> None:
    """A text that is refused is named on standard error with its reason; what was paid for is printed."""
    double.rule = poison("bad")
    command = ["embed", "one", "bad", "three", "--model", f"openai:{SMALL}?base_url={double.base_url}"]
    ended = CliRunner().invoke(main, command, env={"OPENAI_API_KEY": KEY})
    assert ended.exit_code == 1
    assert [found["input"] for found in json.loads(ended.stdout)["results"]] == ["one", "three"]
    assert "bad: " in ended.stderr
    assert KEY not in ended.output


def test_a_pause_is_waited_for_and_a_used_up_quota_is_not(double: OpenAIDouble, embedder: Embedder) -> None:
    """After a 429 the request is sent again; after insufficient_quota it is not."""
    assert embedder.tower.space.dim == 8
    double.seen.clear()
    double.faults = [limited(retry_after_ms="1"), limited(retry_after_ms="1")]
    assert np.allclose(embedder.embed_texts(["a"]).values, expected("a"), atol=1e-6)
    assert len(double.seen) == 3
    double.faults = [out_of_quota]
    with pytest.raises(Refused, match="insufficient_quota"):
        embedder.embed_texts(["a"])
    assert len(double.seen) == 4


def test_a_wrong_key_says_what_to_set_and_is_not_shown(double: OpenAIDouble) -> None:
    """The server repeats the key in its words; the error names the variable instead."""
    wrong = "sk-wrong-and-never-to-be-seen"
    settings = ProviderSettings(keys={"openai": Secret(wrong)}, timeout_s=20.0)
    with (
        pytest.raises(Refused, match="OPENAI_API_KEY") as caught,
        embedder_of(f"openai:{SMALL}?base_url={double.base_url}", settings),
    ):
        pass
    assert wrong not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert len(double.seen) == 1


def test_an_unknown_model_is_named(double: OpenAIDouble) -> None:
    """A model that the server has not is an error with its name, at the first request."""
    with (
        pytest.raises(Refused, match="'text-embedding-4'"),
        embedder_of(f"openai:text-embedding-4?base_url={double.base_url}"),
    ):
        pass
    assert len(double.seen) == 1


def test_refused_dimensions_are_a_setting(double: OpenAIDouble) -> None:
    """A model that has one length says so; no input is blamed."""
    name = f"openai:text-embedding-ada-002?base_url={double.base_url}&dimensions=4"
    with embedder_of(name) as embedder, pytest.raises(ConfigError, match="dimensions"):
        embedder.embed_texts(["a", "b"])
    assert len(double.seen) == 1


def test_pictures_go_to_a_server_that_embeds_them(compatible: CompatibleDouble) -> None:
    """A picture arrives as the picture that it is; a text that looks like one arrives as a text."""
    pictures = [noise(seed) for seed in range(40)]
    with embedder_of(f"openai:org/clip?base_url={compatible.base_url}&images=1", ProviderSettings()) as embedder:
        assert np.allclose(embedder.embed_images(pictures).values, expected(*pictures), atol=1e-6)
        assert embedder.embed_images([noise(0, kind="GIF")]).values.shape == (1, 8)
        sent = compatible.inputs(compatible.seen[-1])[0]
        assert isinstance(sent, bytes)
        assert Image.open(BytesIO(sent)).format == "PNG"
        text = "data:image/png;base64,aaaa"
        assert np.allclose(embedder.embed_texts([text]).values, expected(text), atol=1e-6)


def test_a_picture_is_never_sent_as_a_text(compatible: CompatibleDouble, double: OpenAIDouble) -> None:
    """Without images=1 a picture is an error, and nothing is sent."""
    for name, server in ((f"openai:org/clip?base_url={compatible.base_url}", compatible),
                         (f"openai:{SMALL}?base_url={double.base_url}", double)):  # fmt: skip
        with embedder_of(name) as embedder:
            n_seen = len(server.seen)
            with pytest.raises(UnsupportedModel, match="texts"):
                embedder.embed_images([noise(0)])
            assert len(server.seen) == n_seen


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"message": "batch size 64 > maximum allowed batch size 32", "code": 413, "error_type": "Validation"},
            "batch",
        ),
        (
            {"detail": [{"loc": ["body", "input"], "msg": "Input should be a valid string", "type": "t"}]},
            "valid string",
        ),
        ({"detail": "No such thing"}, "No such thing"),
        (b"<html>nginx</html>", "HTTP 422"),
    ],
)
def test_errors_of_other_servers_are_read(compatible: CompatibleDouble, body: object, words: str) -> None:
    """Whatever shape a server's errors have, its words are in ours, with its address."""

    def refuse(exchange: Exchange) -> None:
        exchange.say(body, 422)

    with embedder_of(f"openai:org/clip?base_url={compatible.base_url}") as embedder:
        assert embedder.tower.space.dim == 8
        compatible.rule = refuse
        with pytest.raises(Refused, match=words) as caught:
            embedder.embed_texts(["a"])
        assert compatible.base_url in str(caught.value)


@pytest.mark.parametrize("version", ["", "&api_version=2024-10-21"])
def test_azure_is_asked_at_both_kinds_of_address(version: str) -> None:
    """The same vectors come from the v1 API and from the older one; a wrong deployment is named."""
    with AzureDouble() as double:
        with embedder_of(f"azure:{DEPLOYMENT}?base_url={double.url}{version}") as embedder:
            assert np.allclose(embedder.embed_texts(["a", "b"]).values, expected("a", "b"), atol=1e-6)
        with (
            pytest.raises(Refused, match="'another'"),
            embedder_of(f"azure:another?base_url={double.url}{version}"),
        ):
            pass
        wrong = ProviderSettings(keys={"azure": Secret("wrong")}, timeout_s=20.0)
        with (
            pytest.raises(Refused, match="AZURE_OPENAI_API_KEY"),
            embedder_of(f"azure:{DEPLOYMENT}?base_url={double.url}{version}", wrong),
        ):
            pass


def test_a_refusal_of_a_stranger_has_no_key() -> None:
    """A server that repeats the headers in its error does not get the key into ours."""
    ref = ModelRef.parse("openai:m?base_url=http://127.0.0.1:1/v1")
    assert ref is not None
    adapter = openai.open_adapter(ref, SETTINGS)
    for status in (400, 401, 403, 404, 413, 422, 429, 500, 503):
        answer = Answer(status, {}, f'{{"message": "Authorization: Bearer {KEY}"}}'.encode())
        assert KEY not in f"{adapter.refusal(answer, 0.0)!r}"
