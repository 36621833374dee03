"""Items over HTTP: what they are, their pictures as long as these are theirs, thumbnails."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from lookalike.encoders.fake import COLOURS
from lookalike.http.middleware import GRACE_S
from lookalike.store.embedded import open_store
from lookalike.types import Item
from tests.catalogued import EMBEDDER, Catalogue, catalogue, shown
from tests.pictures import noise, picture
from tests.serving import Running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    with shown(shop) as running:
        yield running


def at(item_id: str, what: str = "") -> str:
    """The path of an item, as the answers have it."""
    return f"/items/{quote(item_id, safe='')}{what}"


def seen(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def test_an_item_is_found_by_its_id_encoded_or_not(service: Running, shop: Catalogue) -> None:
    """The path as it is, and with its slashes encoded: the same item."""
    for path in (at(shop.path("blue")), f"/items/{shop.path('blue')}"):
        document = service.client.get(path).json()
        assert document["id"] == shop.path("blue")
        assert document["metadata"]["colour"] == "blue"


def test_the_project_is_a_parameter(service: Running, shop: Catalogue) -> None:
    """An item of another project is another item."""
    assert service.client.get(at(shop.path("red"))).status_code == 404
    response = service.client.get(at(shop.path("red")), params={"project": "warm"})
    assert response.json()["project"] == "warm"
    assert service.client.get(response.json()["picture"]).status_code == 200


@pytest.mark.parametrize("what", ["", "/picture", "/thumbnail"])
def test_an_unknown_parameter_is_refused(service: Running, shop: Catalogue, what: str) -> None:
    """A misspelt project would silently be the service's own, and its item another picture."""
    response = service.client.get(at(shop.path("blue"), what), params={"projct": "warm"})
    assert response.status_code == 422
    assert response.json()["error"]["item"] == "projct"


def test_figures_name_routes_as_the_document_does(service: Running, shop: Catalogue) -> None:
    """`/items/{item_id}` in /metrics as in OpenAPI: how a path is matched is nobody's business."""
    service.client.get(at(shop.path("blue")))
    service.client.get(at(shop.path("blue"), "/picture"))
    figures = service.client.get("/metrics").text
    described = service.client.get("/openapi.json").json()["paths"]
    for route in ("/items/{item_id}", "/items/{item_id}/picture"):
        assert f'lookalike_http_requests_total{{method="GET",route="{route}",status="200"}}' in figures
        assert route in described


ODD_IDS = (
    *("with space", "ümläut/日本", "100%", "%2F", "a?b=c&d", "a#b", "a+b", "a/../b", "\"';<>", "/", "a//b/"),
    *("x/picture", "x/thumbnail", "https://example.com/a.png?b=c#d"),
    *("line\nbreak", "\n", "ends in one\n", "ends in one", "x/picture\n", "\r\nSet-Cookie: a=b"),
)


@pytest.mark.parametrize("number", range(len(ODD_IDS)), ids=ODD_IDS)
def test_any_id_round_trips(service: Running, shop: Catalogue, number: int) -> None:
    """Whatever is in an id: its own links lead to it, to its picture and to its thumbnail."""
    item = shop.add(f"odd{number}", noise(number), id=ODD_IDS[number], project=f"odd {ODD_IDS[number]}")
    document = service.client.get(at(item.id), params={"project": item.project}).json()
    assert document["id"] == item.id
    assert service.client.get(document["picture"]).content == noise(number)
    assert service.client.get(document["thumbnail"]).status_code == 200


def test_a_line_break_is_part_of_the_id(service: Running, shop: Catalogue) -> None:
    """An indexed file whose name holds one is found; one too many at the end is another item, which is not there."""
    item = shop.add("two\nlines", noise(90))
    document = service.client.get(at(item.id)).json()
    assert document["id"] == item.id
    assert service.client.get(document["picture"]).content == noise(90)
    for path in (at(shop.path("blue")), document["picture"].partition("?")[0], at(shop.path("blue"), "/thumbnail")):
        assert service.client.get(path + "%0A").status_code == 404


def test_an_id_without_an_item_is_cut_in_the_message(service: Running) -> None:
    """However long the id and the project are, the sentence is short and has the ends of both."""
    answer = service.client.get(at("i" * 20_000), params={"project": "p" * 5000})
    message = answer.json()["error"]["message"]
    assert answer.status_code == 404
    assert "'iiii" in message and "'pppp" in message
    assert len(message) < 1000


def test_a_picture_is_the_file_itself(service: Running, shop: Catalogue) -> None:
    """Its bytes, its kind, a name to save it under, and nothing that a browser could run."""
    response = service.client.get(at(shop.path("blue"), "/picture"))
    assert response.content == Path(shop.path("blue")).read_bytes()
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-disposition"] == "inline; filename*=UTF-8''blue.png"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("what", ["/picture", "/thumbnail"])
def test_pictures_tell_of_themselves_without_being_sent(service: Running, shop: Catalogue, what: str) -> None:
    """HEAD is answered with the headers of GET; what is not there, with the same status."""
    whole = service.client.get(at(shop.path("blue"), what))
    head = service.client.head(at(shop.path("blue"), what))
    told = [{**answer.headers, "date": "", "x-request-id": ""} for answer in (whole, head)]
    assert (head.status_code, head.content, told[1]) == (200, b"", told[0])
    assert service.client.head(at(shop.path("nothing"), what)).status_code == 404


def test_a_large_picture_is_sent_whole_or_given_up(service: Running, shop: Catalogue) -> None:
    """Megabytes arrive as they are; who goes in the middle holds nothing open."""
    data = noise(5, size=(1500, 1000))
    item = shop.add("large", data)
    assert len(data) > 4_000_000
    assert service.client.get(at(item.id, "/picture")).content == data
    for _ in range(20):
        with service.client.stream("GET", at(item.id, "/picture")) as response:
            next(response.iter_raw(1000))
    assert service.client.get(at(item.id, "/picture")).content == data
    ended = time.monotonic() + 20
    while item.uri in open_files() and time.monotonic() < ended:
        threading.Event().wait(0.02)
    assert item.uri not in open_files()


def test_a_slow_line_gets_the_whole_of_a_large_picture(service: Running, shop: Catalogue) -> None:
    """The deadline is for the beginning of the answer: what follows may take as long as a body of its size."""
    data = noise(6, size=(3000, 2000))
    path = at(shop.add("huge", data).id, "/picture")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the system takes all of it at once
        client.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
        headers = ["Host: x", "X-Request-Timeout: 0.3", "Connection: close", "", ""]
        client.sendall("\r\n".join([f"GET {path} HTTP/1.1", *headers]).encode())
        threading.Event().wait(0.3 + GRACE_S + 0.3)
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert received.partition(b"\r\n\r\n")[2] == data


def open_files() -> set[str]:
    """The paths of the files that this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found


def test_what_a_caller_has_is_not_sent_again(service: Running, shop: Catalogue) -> None:
    """An ETag is the content; with it the answer is 304 without a body, and 200 with another one."""
    for what in ("/picture", "/thumbnail?size=64"):
        first = service.client.get(at(shop.path("blue"), what))
        tag = first.headers["etag"]
        again = service.client.get(at(shop.path("blue"), what), headers={"if-none-match": f'"x", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = service.client.get(at(shop.path("blue"), what), headers={"if-none-match": '"x"'})
        assert other.content == first.content


def test_only_what_was_indexed_is_served(service: Running, shop: Catalogue, tmp_path: Path) -> None:
    """Changed, gone, a folder or a pipe in its place: 410 with a sentence, at once."""
    item = shop.add("changing", noise(50))
    path = Path(item.uri)
    path.write_bytes(noise(51))
    gone = []
    for change in (lambda: None, path.unlink, path.mkdir, path.rmdir, lambda: os.mkfifo(path)):
        change()
        gone += [service.client.get(at(item.id, what)) for what in ("/picture", "/thumbnail")]
    assert {response.status_code for response in gone} == {410}
    messages = " ".join(response.json()["error"]["message"] for response in gone)
    for reason in ("has changed", "No such file", "is no file"):
        assert reason in messages
    path.unlink()
    path.write_bytes(noise(50))
    assert service.client.get(at(item.id, "/picture")).content == noise(50)


@pytest.mark.parametrize("uri", ["", "https://example.com/a.png", "relative.png", "/nul\0byte.png"])
def test_a_picture_that_is_no_file_here_is_not_looked_for(service: Running, shop: Catalogue, uri: str) -> None:
    """No link where there is nothing to see, and 410 for who asks nevertheless."""
    content = "ab" * 32
    with open_store(shop.config.index, write=True) as store:
        store.add([Item(id=f"no {uri}", content=content, uri=uri)], [content], EMBEDDER.embed_texts(["x"]).values)
    document = service.client.get(at(f"no {uri}")).json()
    assert (document["uri"], document["picture"] is None) == (uri, not uri.startswith("/"))
    assert service.client.get(at(f"no {uri}", "/picture")).status_code == 410
    assert service.client.get(at(f"no {uri}", "/thumbnail")).status_code == 410


@pytest.mark.parametrize(
    "path",
    [
        "/items//etc/passwd",
        "/items/%2Fetc%2Fpasswd",
        "/items/..%2F..%2Fetc%2Fpasswd",
        "/items/%00",
        "/items/%ff",
        "/items/",
    ],
)
def test_no_other_file_is_ever_served(service: Running, path: str) -> None:
    """A path that is no item's id is 404, whatever it looks like."""
    for what in ("", "/picture", "/thumbnail"):
        assert service.client.get(path + what).status_code == 404


def test_a_file_reached_by_another_way_is_not_an_item(service: Running, shop: Catalogue) -> None:
    """Only the id as it is in the index counts: no path is resolved."""
    detour = f"{shop.folder}/../{shop.folder.name}/blue.png"
    assert Path(detour).is_file()
    assert service.client.get(at(detour, "/picture")).status_code == 404


def test_a_thumbnail_is_whole_and_upright_and_small(service: Running, shop: Catalogue) -> None:
    """WebP with the proportions of the picture, its longer side the next of 64, 128, 256, 512 and never enlarged."""
    buffer = BytesIO()
    photo = Image.new("RGB", (1200, 300), "red")
    photo.paste("blue", (600, 0, 1200, 300))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right: the left end is on top
    photo.save(buffer, "JPEG", exif=exif)
    item = shop.add("photo", buffer.getvalue())
    for size, side in ((64, 64), (65, 128), (200, 256), (512, 512)):
        image = seen(service.client.get(at(item.id, "/thumbnail"), params={"size": size}).content)
        assert (image.format, image.size) == ("WEBP", (side // 4, side))
        red, _, blue = image.convert("RGB").getpixel((side // 8, side // 8))  # type: ignore[misc]
        assert red > 200 > 50 > blue
    small = seen(service.client.get(at(shop.path("blue"), "/thumbnail"), params={"size": 512}).content)
    assert small.size == (40, 30)


@pytest.mark.parametrize("size", ["63", "513", "0", "-1", "many"])
def test_other_sizes_are_refused(service: Running, shop: Catalogue, size: str) -> None:
    """Within bounds only, and the error names the parameter."""
    response = service.client.get(at(shop.path("blue"), "/thumbnail"), params={"size": size})
    assert response.status_code == 422
    assert "size" in response.json()["error"]["message"]


def test_a_thumbnail_is_made_once_and_kept(service: Running, shop: Catalogue) -> None:
    """What was made is served without the picture, which may be on a drive that is away; another size is not there."""
    item = shop.add("once", picture((1, 2, 3)))
    first = service.client.get(at(item.id, "/thumbnail"), params={"size": 64})
    Path(item.uri).unlink()
    assert service.client.get(at(item.id, "/thumbnail"), params={"size": 64}).content == first.content
    assert service.client.get(at(item.id, "/thumbnail"), params={"size": 128}).status_code == 410


def test_many_thumbnails_at_once(service: Running, shop: Catalogue) -> None:
    """A page full of pictures: each gets its own."""
    items = [shop.add(f"many{n}", picture((n * 10, 0, 0), size=(64, 64))) for n in range(24)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda item: service.client.get(at(item.id, "/thumbnail")).content, items))
    reds = [seen(data).convert("RGB").getpixel((32, 32))[0] for data in found]  # type: ignore[index]
    assert reds == pytest.approx([n * 10 for n in range(24)], abs=4)


def test_a_picture_that_cannot_be_decoded_is_its_own_error(service: Running, shop: Catalogue) -> None:
    """422 for that item; the picture itself can still be had, and the next thumbnail is made."""
    data = picture(COLOURS["red"], kind="JPEG", size=(300, 300))[:-400]  # type: ignore[arg-type]
    path = shop.folder / "cut.jpg"
    path.write_bytes(data)
    content = sha256(data).hexdigest()
    with open_store(shop.config.index, write=True) as store:
        store.add([Item(id="cut", content=content, uri=str(path))], [content], EMBEDDER.embed_texts(["x"]).values)
    response = service.client.get(at("cut", "/thumbnail"))
    assert response.status_code == 422
    assert response.json()["error"]["item"] == "cut"
    assert service.client.get(at("cut", "/picture")).content == data
    assert service.client.get(at(shop.path("black"), "/thumbnail")).status_code == 200
