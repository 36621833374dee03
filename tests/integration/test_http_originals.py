"""Pictures of items in a bucket, over HTTP: read when they are asked for, as long as they are the indexed ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from urllib.parse import quote

import pytest

from lookalike.config import Config
from lookalike.http.originals import is_served
from lookalike.store.embedded import open_store
from lookalike.types import Item
from tests.buckets import Bucket, new_bucket
from tests.catalogued import EMBEDDER, Catalogue, catalogue, shown
from tests.pictures import noise, picture
from tests.serving import Running


@pytest.fixture(scope="module")
def photos(s3_url: str) -> Bucket:
    return new_bucket(s3_url)


@pytest.fixture(scope="module")
def shop(photos: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    made = catalogue(tmp_path_factory.mktemp("shop"))
    access = Config.from_environ(dict(photos.variables)).bucket_access
    return replace(made, config=replace(made.config, bucket_access=access, max_bytes=100_000))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    with shown(shop) as running:
        yield running


def add(shop: Catalogue, photos: Bucket, key: str, data: bytes) -> str:
    """Put a picture into the bucket and into the index; the path of its item."""
    photos.put({key: data})
    uri = f"{photos.place}{key}"
    item = Item(id=uri, uri=uri, content=sha256(data).hexdigest())
    with open_store(shop.config.index, write=True) as store:
        store.add([item], [item.content], EMBEDDER.embed_texts([key]).values)
    return f"/items/{quote(uri, safe='')}"


def test_a_picture_in_a_bucket_is_shown_as_a_file_is(service: Running, shop: Catalogue, photos: Bucket) -> None:
    """Found with paths of its picture and of a small copy, which lead there."""
    data = picture("red", size=(300, 200), kind="JPEG")
    facts = service.client.get(add(shop, photos, "rooms/a b.jpg", data)).json()
    shown = service.client.get(facts["picture"])
    assert (shown.content, shown.headers["content-type"]) == (data, "image/jpeg")
    assert shown.headers["content-disposition"] == "inline; filename*=UTF-8''a%20b.jpg"
    small = service.client.get(facts["thumbnail"], params={"size": 64})
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    again = service.client.get(facts["picture"], headers={"if-none-match": shown.headers["etag"]})
    assert again.status_code == 304


def test_what_is_not_the_indexed_picture_any_more_is_gone(service: Running, shop: Catalogue, photos: Bucket) -> None:
    """Changed, taken away, or in a bucket that is not there: a sentence, and never another picture."""
    path = add(shop, photos, "changing.png", noise(1))
    photos.put({"changing.png": noise(2)})
    changed = [service.client.get(f"{path}/{what}") for what in ("picture", "thumbnail")]
    photos.delete("changing.png")
    gone = [service.client.get(f"{path}/{what}") for what in ("picture", "thumbnail")]
    assert {response.status_code for response in (*changed, *gone)} == {410}
    assert {"has changed" in response.text for response in changed} == {True}
    assert {"is not there" in response.text for response in gone} == {True}
    photos.put({"changing.png": noise(1)})
    assert service.client.get(f"{path}/picture").content == noise(1)


def test_a_picture_over_the_budget_is_not_read(service: Running, shop: Catalogue, photos: Bucket) -> None:
    """The service holds what comes from a bucket in memory, so its size is looked at first."""
    path = add(shop, photos, "large.png", noise(3, size=(400, 300)))
    refused = service.client.get(f"{path}/picture")
    assert refused.status_code == 413
    assert refused.json()["error"]["limit"] == 100_000


def test_a_bucket_that_refuses_is_the_buckets_failure(service: Running, shop: Catalogue) -> None:
    """502, and not that the picture is gone: it may be there again in a minute."""
    content = "ab" * 32
    with open_store(shop.config.index, write=True) as store:
        item = Item(id="elsewhere", uri="s3://no-such-bucket/a.png", content=content)
        store.add([item], [content], EMBEDDER.embed_texts(["x"]).values)
    refused = service.client.get("/items/elsewhere/picture")
    assert (refused.status_code, refused.json()["error"]["type"]) == (502, "Refused")


@pytest.mark.parametrize(
    ("uri", "is_shown"),
    [
        ("/photos/a.png", True),
        ("s3://photos/a.png", True),
        ("az://photos/a.png", True),
        ("https://example.com/a.png", False),
        ("ftp://example.com/a.png", False),
        ("relative.png", False),
        ("", False),
    ],
)
def test_only_what_can_be_read_has_a_link(uri: str, is_shown: bool) -> None:
    """A URL has one where the service fetches URLs."""
    assert is_served(uri, with_urls=False) == is_shown
    assert is_served(uri, with_urls=True) == (is_shown or uri.startswith("https://"))
