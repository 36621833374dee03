"""The client against the real service: what it answers is what the library answers in one's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lookalike import Client, Embedder, Index, Part, aio
from lookalike.config import ServeSettings
from lookalike.errors import (
    AccessDenied,
    ImageError,
    InputError,
    ItemNotFound,
    Overloaded,
    SpaceMismatch,
    StoreNotFound,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from lookalike.retry import RetryPolicy
from tests.integration.conftest import Catalogue
from tests.pictures import picture
from tests.serving import Running, serving


@pytest.fixture
def client(catalogue: Catalogue) -> Iterator[Client]:
    with Client(catalogue.running.url, api_key=catalogue.key) as client:
        yield client


def test_vectors_are_those_of_the_model(client: Client, catalogue: Catalogue) -> None:
    """Pictures and texts, alone and in batches: the rows, order and space that the same model has in this process."""
    embedder = Embedder.open(config=catalogue.config)
    texts = [f"a {colour} picture" for colour in ("red", "blue", "green")] * 30
    paths = sorted(catalogue.folder.iterdir())
    of_texts, of_images = client.embed_texts(texts), client.embed_images(paths)
    assert np.allclose(of_texts.values, embedder.embed_texts(texts).values, atol=1e-5)
    assert np.allclose(of_images.values, embedder.embed_images(paths).values, atol=1e-5)
    assert of_texts.space == of_images.space == embedder.space.id
    assert of_texts.positions.tolist() == list(range(90))
    assert np.allclose(client.embed_text(texts[0]).values[0], of_texts.values[0], atol=1e-5)
    assert np.allclose(client.embed_image(paths[0].read_bytes()).values[0], of_images.values[0], atol=1e-5)


def test_bad_inputs_are_their_own_errors(client: Client, catalogue: Catalogue) -> None:
    """Each bad picture of a batch is named as the caller names it, and the good ones have their vectors."""
    good = picture("red")
    found = client.embed_images([good[:80], good, b"no picture"], names=["cut", "good", "text"], on_error="collect")
    assert found.positions.tolist() == [1]
    assert [(failure.item, failure.kind) for failure in found.failures] == [
        ("cut", "ImageError"),
        ("text", "UnsupportedMedia"),
    ]
    with pytest.raises(ImageError, match=r"^image: "):
        client.embed_image(good[:80])
    with pytest.raises(UnsupportedMedia):
        client.embed_image(b"no picture")
    for refused in (lambda: client.embed_text("x" * 40_000), lambda: client.embed_texts(["ok", "x" * 40_000])):
        with pytest.raises(TooLarge) as caught:
            refused()
        assert (caught.value.actual, caught.value.limit) == (40_000, 32_768)
    (failure,) = client.embed_texts(["ok", "x" * 40_000], on_error="collect").failures
    assert (failure.item, failure.actual, failure.limit) == ("texts[1]", 40_000, 32_768)


def test_a_long_text_is_cut_and_says_so(client: Client) -> None:
    """The warning has the caller's name for the text."""
    long = "word " * 500
    assert client.embed_texts(["short", long], names=["a", "b"]).warnings[0].startswith("b: ")
    assert client.embed_text(long).warnings


def test_a_search_finds_what_the_index_finds(client: Client, catalogue: Catalogue) -> None:
    """By words, by a picture, by an item: the same hits with the same confidence."""
    red = catalogue.folder / "red.png"
    with Index.open(config=catalogue.config) as index:
        for query in ({"text": "a red picture"}, {"image": red}, {"item": str(red)}):
            here = index.search(**query, limit=3)  # type: ignore[arg-type]
            there = client.search(**query, limit=3)  # type: ignore[arg-type]
            assert [hit.item for hit in there] == [hit.item for hit in here]
            assert np.allclose([hit.confidence for hit in there], [hit.confidence for hit in here], atol=1e-3)
            assert (there.space, there.considered) == (here.space.id, here.considered)
    assert len(client.search(text="a red picture", project="another")) == 0


def test_a_query_of_several_parts_finds_what_the_index_finds(client: Client, catalogue: Catalogue) -> None:
    """Pictures, words, items and a vector of the service, plus and minus: the same hits with the same confidence."""
    red, blue = (catalogue.folder / f"{colour}.png" for colour in ("red", "blue"))
    parts = [
        Part(image=red),
        Part(text="a green picture", weight=2),
        Part(item=str(blue), weight=-0.5),
        Part(vector=client.embed_text("white").values[0]),
    ]
    with Index.open(config=catalogue.config) as index:
        here = index.find(index.query(parts))
    there = client.find(parts)
    assert [hit.item for hit in there] == [hit.item for hit in here]
    assert np.allclose([hit.confidence for hit in there], [hit.confidence for hit in here], atol=1e-3)
    assert there.considered == 4
    assert client.find(parts, metadata={"colour": "red"}).considered == 0
    with pytest.raises(InputError, match="cancel each other out"):
        client.find([Part(text="red"), Part(text="red", weight=-1)])


def test_items_have_their_pictures(client: Client, catalogue: Catalogue) -> None:
    """An item by its id, its file byte for byte, and a small copy that a browser shows."""
    path = catalogue.folder / "red.png"
    item = client.item(str(path))
    assert (item.uri, item.project) == (str(path), "default")
    assert client.picture(item.id, project=item.project) == path.read_bytes()
    thumbnail = Image.open(BytesIO(client.thumbnail(item.id, side_px=64)))
    assert thumbnail.format == "WEBP"
    assert max(thumbnail.size) <= 64
    with pytest.raises(ItemNotFound, match="no such item"):
        client.item("no such item")


def test_a_key_is_needed(catalogue: Catalogue) -> None:
    """None and a wrong one are refused; whether the service is ready anybody may ask."""
    for key in (None, "another-key-of-16-characters"):
        with Client(catalogue.running.url, api_key=key) as client:
            assert client.ready()
            with pytest.raises(AccessDenied) as caught:
                client.embed_text("a")
            assert not caught.value.known


def test_the_space_can_be_insisted_on(catalogue: Catalogue) -> None:
    """A service with another model than the caller's vectors are of is refused at the first answer."""
    options = {"api_key": catalogue.key, "space": "clip-vit-base-patch32-512@0f3a9c4d21b7"}
    with Client(catalogue.running.url, **options) as client, pytest.raises(SpaceMismatch):  # type: ignore[arg-type]
        client.embed_text("a")


def test_a_service_without_an_index_says_so(running: Running) -> None:
    """Searching it is StoreNotFound, asked once."""
    with Client(running.url) as client, pytest.raises(StoreNotFound, match="lookalike index"):
        client.search(text="a")


def test_a_rate_limit_is_waited_for_if_there_is_time() -> None:
    """A caller that is over its rate pauses for as long as the service says, or is told at once that it is too long."""
    pauses: list[float] = []
    policy = RetryPolicy(tries=2, sleep=pauses.append, jitter=lambda: 0.0)
    with (
        serving(settings=ServeSettings(requests_per_minute=2)) as running,
        Client(running.url, policy=policy) as client,
    ):
        assert len(client.embed_texts(["a", "b"])) == len(client.embed_text("c")) + 1
        for timeout_s, expected in ((5, []), (60, [pytest.approx(30, abs=10)])):
            with pytest.raises(Overloaded) as caught:
                client.embed_text("d", timeout_s=timeout_s)
            assert caught.value.own
            assert pauses == expected


def test_a_service_that_has_stopped_is_unavailable() -> None:
    """The next call on a kept connection says that nobody is there."""
    policy = RetryPolicy(tries=2, sleep=lambda _: None)
    with serving() as running:
        client = Client(running.url, policy=policy)
        client.embed_text("a")
    with client, pytest.raises(Unavailable):
        client.embed_text("a")


def test_a_deadline_beyond_the_services_own_is_no_error(running: Running) -> None:
    """An hour is more than the service gives itself: the call is made all the same."""
    with Client(running.url, timeout_s=3600) as client:
        assert len(client.embed_text("a")) == 1


def test_the_async_client_answers_many_at_once(catalogue: Catalogue) -> None:
    """Calls of one loop run beside each other."""

    async def run() -> None:
        async with aio.Client(catalogue.running.url, api_key=catalogue.key) as client:
            found = await asyncio.gather(*(client.embed_text(f"text {number}") for number in range(20)))
            assert len({vectors.space for vectors in found}) == 1
            assert (await client.search(text="red", limit=1)).considered == 4
            assert (await client.find([Part(text="red"), Part(text="blue")], limit=1)).considered == 4

    asyncio.run(run())
