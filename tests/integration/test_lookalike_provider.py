"""Our own service as a provider: the very vectors and the very space of the same model in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lookalike import Embedder
from lookalike.config import ServeSettings
from lookalike.embed import Embedder as AnyEmbedder
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ConfigError, ProviderError, Refused, SpaceMismatch, TooLarge
from lookalike.providers import lookalike
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.table import open_vectorizer
from lookalike.secret import Secret
from lookalike.wire import Wire
from tests.doubles.double import says
from tests.doubles.openai import OpenAIDouble
from tests.integration.test_http_embed import tiny_service
from tests.pictures import noise
from tests.serving import InlineService, Running, serving

SETTINGS = ProviderSettings(timeout_s=20.0)
KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """A service with the built-in model."""
    with tiny_service(ServeSettings(max_text_chars=3_000)) as started:
        yield started


@pytest.fixture(scope="module")
def local() -> Embedder:
    """The same model in this process."""
    return Embedder.open("tiny")


@contextmanager
def embedder_of(url: str, settings: ProviderSettings = SETTINGS) -> Iterator[AnyEmbedder]:
    vectorizer = open_vectorizer(ModelRef(provider="lookalike", model=url), settings)
    try:
        yield AnyEmbedder(vectorizer)
    finally:
        vectorizer.close()


@pytest.fixture(scope="module")
def remote(service: Running) -> Iterator[AnyEmbedder]:
    with embedder_of(service.url) as embedder:
        yield embedder


def photo(*, orientation: int) -> bytes:
    """A JPEG that lies on its side, as EXIF says."""
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(BytesIO(noise(3, size=(64, 32)))).convert("RGB").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_its_space_is_that_of_the_local_model(remote: AnyEmbedder, local: Embedder, service: Running) -> None:
    """Space and recipe are the local model's, so both write into one index and one cache; the name opens it again."""
    assert remote.space.key == local.space.key
    assert remote.tower.fingerprint == local.tower.fingerprint
    assert remote.space.model == f"lookalike:{service.url}"


def test_its_pictures_are_those_of_the_local_model(remote: AnyEmbedder, local: Embedder) -> None:
    """Whatever the kind and however it lies, a picture's vector is that of the model in this process."""
    pictures = [
        noise(seed, size=(70, 50), kind=kind) for seed, kind in enumerate(("PNG", "JPEG", "GIF", "WEBP", "BMP"))
    ]
    pictures += [photo(orientation=6), *(noise(seed) for seed in range(100))]
    assert np.allclose(remote.embed_images(pictures).values, local.embed_images(pictures).values, atol=1e-6)


def test_its_texts_are_those_of_the_local_model(remote: AnyEmbedder, local: Embedder) -> None:
    """Texts, the empty one and long ones too, have the vectors of the model in this process; what was cut is named."""
    texts = ["a red dress", "", "שמלה אדומה", "x " * 1_000, *(f"text {i}" for i in range(100))]
    for batch in (texts, [""], ["y " * 1_000]):
        here, there = local.embed_texts(batch), remote.embed_texts(batch)
        assert np.allclose(there.values, here.values, atol=1e-6)
        assert [text.partition(": ")[0] for text in there.warnings] == [
            text.partition(": ")[0] for text in here.warnings
        ]


def test_bad_inputs_are_the_errors_that_they_are_there(remote: AnyEmbedder, local: Embedder) -> None:
    """An input that the service refuses is a failure of that very class and sentence; the others have vectors."""
    good, cut = noise(1, kind="JPEG"), noise(2, size=(300, 300), kind="JPEG")[:-500]
    pictures = [good, b"no picture", good, cut]
    here, there = (embedder.embed_images(pictures, on_error="collect") for embedder in (local, remote))
    assert there.failures == here.failures
    assert there.positions.tolist() == [0, 2]
    assert np.allclose(there.values, here.values, atol=1e-6)
    every = remote.embed_images([cut, cut], on_error="collect")
    assert [failure.kind for failure in every.failures] == ["ImageError"] * 2
    with pytest.raises(TooLarge, match=r"texts\[1\]") as caught:
        remote.embed_texts(["a", "x" * 3_001, "b"])
    assert (caught.value.actual, caught.value.limit) == (3_001, 3_000)


def test_another_model_behind_the_address_is_found_out(service: Running) -> None:
    """A service whose model was changed since it was opened is SpaceMismatch, never a vector."""
    inline = InlineService(AnyEmbedder(LocalVectorizer(FakeEncoder())))
    adapter = lookalike.open_adapter(ModelRef(provider="lookalike", model=service.url), SETTINGS)
    with serving(inline) as other:
        vectorizer = RemoteVectorizer(adapter, wire=Wire(other.url, host="other", headers={}))
        with pytest.raises(SpaceMismatch) as caught:
            AnyEmbedder(vectorizer).embed_texts(["a"])
        vectorizer.close()
    inline.close(drain_s=0)
    assert caught.value.expected.endswith(adapter.tower.space.key)


def test_its_key_is_asked_for_by_name() -> None:
    """Without a key, or with a wrong one, the variable is named; with the right one it answers."""
    inline = InlineService(AnyEmbedder(LocalVectorizer(FakeEncoder())))
    with serving(inline, settings=ServeSettings(api_keys=f"shop embed {KEY}")) as running:
        for keys in ({}, {"lookalike": Secret("wrong-and-never-seen")}):
            with (
                pytest.raises(Refused, match="LOOKALIKE_API_KEY") as caught,
                embedder_of(running.url, ProviderSettings(keys=keys, timeout_s=20.0)),
            ):
                pass
            assert "never-seen" not in str(caught.value)
        with embedder_of(running.url, ProviderSettings(keys={"lookalike": Secret(KEY)}, timeout_s=20.0)) as embedder:
            assert len(embedder.embed_texts(["a", "b"])) == 2
    inline.close(drain_s=0)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        [],
        {"data": []},
        {"data": [{"id": "gpt"}]},
        {"data": [{"space": "tiny-128@0", "tower": {"space": 1}}]},
    ],
)
def test_what_is_no_lookalike_service_is_said(content: object) -> None:
    """Another program at the address is a ProviderError when it is opened."""
    with OpenAIDouble() as double:
        double.rule = says(content)
        with pytest.raises(ProviderError, match="lookalike service"), embedder_of(double.url):
            pass


def test_an_address_is_needed(service: Running) -> None:
    """What is no address, and dimensions that the model has not, are settings that cannot be used."""
    for name in ("tiny", f"{service.url}/?a=b"):
        with pytest.raises(ConfigError, match="address"), embedder_of(name):
            pass
    ref = ModelRef(provider="lookalike", model=service.url, dimensions=3)
    with pytest.raises(ConfigError, match="128"):
        lookalike.open_adapter(ref, SETTINGS)
