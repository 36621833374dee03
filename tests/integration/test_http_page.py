"""The page over HTTP: its files, their headers and addresses, and what it asks the service before a search."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lookalike import Client, Part
from lookalike.config import ServeSettings
from lookalike.encoders.fake import COLOURS
from lookalike.http.page import FOLDER
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection, shown
from tests.serving import InlineService, Running, serving

MAX_SCRIPT_AND_STYLE_BYTES = 60 * 1024
KEY = "the-key-of-a-shop"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    with shown(shop) as running:
        yield running


def links(document: str) -> list[str]:
    """The files that the document names."""
    return re.findall(r'(?:href|src)="(web/[^"]+)"', document)


def test_the_document_runs_nothing_but_the_pages_own_files(service: Running) -> None:
    """No script or style stands in it, and its policy lets neither that nor anything from elsewhere run."""
    response = service.client.get("/")
    policy = response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in re.sub(r"https?://www\.w3\.org", "", response.text)
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)|\son\w+=", response.text)


def test_files_are_kept_for_ever_and_the_document_is_asked_for_again(service: Running) -> None:
    """An address of a file changes with its content; that of the document does not, so it has an ETag."""
    first = service.client.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = service.client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert len(links(first.text)) >= 10
    for link in links(first.text):
        file = service.client.get(f"/{link}")
        assert file.status_code == 200, link
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["x-content-type-options"] == "nosniff"


def test_every_file_of_the_first_view_is_asked_for_at_once(service: Running) -> None:
    """The document names every module that it begins with, so that none waits for another to be read."""
    named = {link.rpartition("/")[2] for link in links(service.client.get("/").text)}
    assert named == {path.name for path in FOLDER.iterdir() if path.is_file()} - {"index.html"}
    for path in FOLDER.glob("*.js"):
        begun = re.findall(r'^import .*? from "\./(.+?)"', path.read_text("utf-8"), re.MULTILINE)
        assert named.issuperset(begun), path


def test_a_view_is_a_module_with_words_and_style(service: Running) -> None:
    """What is loaded when it is first shown lies under the same version, and its words have both languages."""
    version = links(service.client.get("/").text)[0].split("/")[1]
    for path in FOLDER.glob("views/*.strings.js"):
        assert path.with_name(path.name.replace(".strings.js", ".js")).is_file()
        assert path.with_name(path.name.replace(".strings.js", ".css")).is_file()
        file = service.client.get(f"/web/{version}/views/{path.name}")
        assert "immutable" in file.headers["cache-control"]
        english, hebrew = words_of(file.text)
        assert english == hebrew != set(), path


@pytest.mark.parametrize(
    "path", ["web/x/app.js", "web/{}/index.html", "web/{}/..%2Fconfig.py", "web/{}/app.js.map", "web/"]
)
def test_nothing_else_is_served(service: Running, path: str) -> None:
    """Only the page's own files have an address, and only under the version that they are of."""
    version = links(service.client.get("/").text)[0].split("/")[1]
    assert service.client.get(f"/{path.format(version)}").status_code == 404


def test_script_and_style_are_small() -> None:
    """All that the first view begins with together, as it is sent; a view that is loaded later has a quarter of it."""
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.suffix in {".js", ".css"}}
    later = {path.name: path.stat().st_size for path in FOLDER.glob("views/*") if path.suffix in {".js", ".css"}}
    assert max(later.values()) <= MAX_SCRIPT_AND_STYLE_BYTES / 4, later
    assert sum(sizes.values()) <= MAX_SCRIPT_AND_STYLE_BYTES, sizes


def words_of(source: str) -> list[set[str]]:
    """The names of the texts in each language, English first."""
    blocks = re.findall(r"^(?:export )?const (?:en|he) = \{\n(.*?)^\};", source, re.MULTILINE | re.DOTALL)
    return [set(re.findall(r"^  (\w+): ", block, re.MULTILINE)) for block in blocks]


def test_every_language_says_everything() -> None:
    """Each text of the page is there in each language and once, and each that is there is used."""
    texts = {path: path.read_text("utf-8") for path in FOLDER.rglob("*") if path.is_file()}
    others = "".join(text for path, text in texts.items() if not path.name.endswith("strings.js"))
    said: list[str] = []
    for path, text in texts.items():
        if path.name.endswith("strings.js"):
            english, hebrew = words_of(text)
            assert english == hebrew, path
            said += english
    assert len(said) == len(set(said))
    assert {name for name in said if not re.search(rf"""["'`]{name}["'`]""", others)} == set()


def test_the_page_needs_no_key_and_what_it_shows_does(shop: Catalogue) -> None:
    """There is nothing in the page itself; projects and items want the scope of a search."""
    behind = InlineService(EMBEDDER)
    settings = ServeSettings(api_keys=f"vectors embed {KEY}")
    with collection(shop, behind) as index, serving(behind, index=index, settings=settings) as running:
        assert running.client.get("/").status_code == 200
        for path in ("/projects", "/items"):
            assert running.client.get(path).status_code == 401
            assert running.client.get(path, headers={"x-api-key": KEY}).status_code == 403
    behind.close(drain_s=0)


def test_projects_have_their_number_of_items(service: Running) -> None:
    """All of them, by name."""
    document = service.client.get("/projects").json()
    assert document["projects"] == [{"name": "default", "items": 4}, {"name": "warm", "items": 2}]
    assert document["space"] == EMBEDDER.space.id


def test_the_first_items_are_a_start(service: Running, shop: Catalogue) -> None:
    """By project and id, at most so many as asked for, of one project if asked for."""
    first = service.client.get("/items", params={"limit": 3}).json()["items"]
    assert [item["id"] for item in first] == [shop.path(name) for name in ("black", "blue", "green")]
    assert service.client.get(first[0]["thumbnail"]).status_code == 200
    warm = service.client.get("/items", params={"project": "warm"}).json()["items"]
    assert {item["metadata"]["colour"] for item in warm} == {"red", "yellow"}
    assert service.client.get("/items", params={"limt": 3}).status_code == 422


def test_items_come_by_name_page_by_page(service: Running, shop: Catalogue) -> None:
    """`next` leads through all of them, of one project or of all; it is null at the end."""
    for asked in ({"limit": 1}, {"limit": 3}, {"limit": 2, "project": "warm"}):
        seen: list[str] = []
        after = ""
        while after is not None:
            answer = service.client.get("/items", params={**asked, "after": after}).json()
            seen += [item["id"] for item in answer["items"]]
            after = answer["next"]
        every = service.client.get("/items", params={**asked, "limit": 1000}).json()
        assert (seen, every["next"]) == ([item["id"] for item in every["items"]], None)
        assert len(seen) == (2 if "project" in asked else len(COLOURS))


def test_the_newest_come_first_page_by_page(service: Running, shop: Catalogue) -> None:
    """What was added last comes first; `next` leads through all of them; metadata and project filter."""
    seen: list[str] = []
    asked: dict[str, object] = {"order": "newest", "limit": 4}
    while True:
        answer = service.client.get("/items", params=asked).json()
        seen += [item["metadata"]["colour"] for item in answer["items"]]
        if answer["next"] is None:
            break
        asked["after"] = answer["next"]
    assert seen == list(reversed(COLOURS))
    warm = {"order": "newest", "project": "warm", "where": ["kind:flat", "colour:red"]}
    assert [item["id"] for item in service.client.get("/items", params=warm).json()["items"]] == [shop.path("red")]
    two = {"order": "newest", "where": ["colour:red", "colour:blue"]}
    for wrong in (
        {"order": "newest", "after": "x"},
        {"after": "4"},
        {"where": "colour:red"},
        {"order": "newest", "where": "colour"},
        two,
    ):
        assert service.client.get("/items", params=wrong).status_code == 422


def test_an_item_of_a_query_may_be_of_another_project(service: Running, shop: Catalogue) -> None:
    """Each part may say of which project its item is; all projects are searched then."""
    parts = [{"item": shop.path("red"), "project": "warm"}, {"item": shop.path("blue")}]
    found = service.client.post("/search/images", json={"query": parts}).json()
    with Client(service.url) as client:
        assert len(client.find([Part(item=shop.path("red"), project="warm")])) == 5
    assert found["considered"] == 6
    assert {hit["item"]["project"] for hit in found["hits"]} == {"default", "warm"}
    assert service.client.post("/search/images", json={"query": [{"item": shop.path("red")}]}).status_code == 404
