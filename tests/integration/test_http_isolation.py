"""A key for some projects: to it a service with the pictures of others is one without them, by every route there is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain, combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lookalike.config import Config, ServeSettings
from lookalike.encoders.fake import COLOURS
from lookalike.rollout import Rollout
from lookalike.store.embedded import create, open_store
from lookalike.types import Item
from tests.catalogued import EMBEDDER, Catalogue, collection
from tests.pictures import noise, picture
from tests.serving import InlineService, Running, serving

OWN, OTHER, NONE = "own-project", "their-project", "free-project"
"""The key's, one that it may not see, and one that there is not: of one length, so that answers are as long."""

SECRET = "hush-hush"
"""In every fact of the others' items; no request says it."""

ONE, TWO, ALL = "key-of-one-project-1", "key-of-two-projects-2", "key-of-all-projects-3"
KEYS = f"one embed,search,write {ONE} {OWN}; two search {TWO} {OWN},second-one; all embed,search,write {ALL}"

IDS = ("shared id", "own id", "their id", "no id", "1")
VALUES = {"q": ["red"], "limit": ["3"], "size": ["64"], "project": [OWN, OTHER, NONE]}
"""What parameters are given, beside nothing; others stay as they are."""

VOLATILE = ("request_id", "took_ms", "uptime_s")


def put(folder: Path, config: Config, project: str, pictures: dict[str, bytes], **facts: str) -> None:
    """Items of a project, by id."""
    with open_store(config.index, write=True) as store:
        for number, (name, data) in enumerate(pictures.items()):
            path = folder / f"{facts.get('caption', project)}-{number}.png"
            path.write_bytes(data)
            content = sha256(data).hexdigest()
            item = Item(id=name, uri=str(path), content=content, project=project, metadata={"kind": "x"}, **facts)
            store.add([item], [content], EMBEDDER.embed_images([data]).values)


PATIENCE_S = 20.0


@dataclass(frozen=True)
class Asked:
    """A request that is made of both services."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    body: Any = None

    def named(self, name: str) -> Asked:
        """The same about another project than the one that the key may not see."""
        return Asked(**json.loads(json.dumps(self.__dict__).replace(OTHER, name)))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """One with the key's own pictures, and one that has others beside them: some equal, many of other kinds."""
    folder = tmp_path_factory.mktemp("isolation")
    own = {"shared id": picture("red"), "own id": picture("blue"), **{f"noise {n}": noise(n) for n in range(12)}}
    theirs = {"shared id": picture("red"), "their id": picture("yellow")}
    theirs |= {f"{SECRET} {name} {n}": noise(900 + n) for n in range(20) for name in "ab"}
    theirs |= {f"{SECRET} {name}": picture(rgb) for name, rgb in COLOURS.items()}  # type: ignore[misc, arg-type]
    settings = ServeSettings(api_keys=KEYS, image_search=Rollout(percent=0, projects=(OWN, OTHER)))
    with ExitStack() as stack:
        running = []
        for name in ("alone", "beside"):
            config = replace(Config.from_environ({}), index=folder / name, cache_dir=folder / "cache")
            with create(config.index, EMBEDDER.space):
                pass
            for number, one in enumerate(own.items()):
                if name == "beside":  # a few before each of the key's own: numbers that all share would tell
                    some = dict(list(theirs.items())[number :: len(own)])
                    put(folder, config, OTHER, some, caption=f"{SECRET}-{number}")
                put(folder, config, OWN, dict([one]), caption=f"own-{number}")
            behind = InlineService(EMBEDDER)
            stack.callback(behind.close, drain_s=0)
            index = stack.enter_context(collection(Catalogue(folder, config), behind))
            running.append(stack.enter_context(serving(behind, index=index, settings=settings)))
        yield running[0], running[1]


def answer(service: Running, asked: Asked, key: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an answer, but for what differs from one to the next anyway."""
    until = time.monotonic() + PATIENCE_S
    while True:
        response = service.client.request(
            asked.method, asked.path, params=asked.params, json=asked.body, headers={"X-API-Key": key, **headers}
        )
        # What is made in the background is not there at the same moment in both services.
        if '"comparing"' not in response.text or time.monotonic() > until:
            break
    told = {name: value for name, value in response.headers.items() if name not in ("date", "x-request-id")}
    body = response.text
    if "json" in response.headers.get("content-type", ""):
        body = json.dumps(without_volatile(response.json()))
        told.pop("content-length", None)
    return response.status_code, told, body


def without_volatile(document: Any) -> Any:
    """A document without identifiers and times."""
    if isinstance(document, dict):
        return {name: without_volatile(value) for name, value in document.items() if name not in VOLATILE}
    return [without_volatile(value) for value in document] if isinstance(document, list) else document


def every_request(document: dict[str, Any]) -> Iterator[Asked]:
    """Requests of every route of an OpenAPI document: each id in the path, each project, each field of a body."""
    for path, operations in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        places = [path] if not names else [re.sub(r"{\w+}", quote(one, safe=""), path) for one in IDS]
        for method, operation in operations.items():
            queries = list(every_query(operation.get("parameters", ())))
            bodies = [None, *every_body(operation, document)] if "requestBody" in operation else [None]
            for place in places:
                yield from (Asked(method.upper(), place, query) for query in queries)
                yield from (Asked(method.upper(), place, {}, body) for body in bodies if body is not None)


def every_query(parameters: Any) -> Iterator[dict[str, str]]:
    """What is needed alone, and with each value of everything else that is known here, and of each two of them."""
    queried = [one for one in parameters if one["in"] == "query"]
    known = {one["name"]: VALUES.get(one["name"]) or one["schema"].get("enum", []) for one in queried}
    needed = {one["name"]: (known[one["name"]] or ["1"])[0] for one in queried if one.get("required")}
    values = [(name, value) for name, some in known.items() for value in some if name not in needed]
    yield needed
    yield from ({**needed, name: value} for name, value in values)
    yield from ({**needed, **dict(two)} for two in combinations(values, 2) if two[0][0] != two[1][0])


def every_body(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[Any]:
    """The examples of a body, each as it is and about each project and item."""
    content = operation["requestBody"]["content"].get("application/json", {})
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    properties = set(schema.get("properties", ()))
    examples = [example["value"] for example in content.get("examples", {}).values()] + schema.get("examples", [])
    examples += [content["example"]] if "example" in content else []
    for example in examples:
        yield example
        if isinstance(example, dict):
            yield from ({**example, "project": name} for name in VALUES["project"] if "project" in properties)
            yield from ({**example, name: value} for name in ("item", "id") if name in example for value in IDS)
    if "picture" in properties:
        yield from explained()
    elif "query" in properties:
        yield from composed()


def composed() -> Iterator[Any]:
    """Queries of several parts with items of all projects, and examples whose confidences tell of a background."""
    vector = [1.0, -1.0] * (EMBEDDER.space.dim // 2)
    for project in (None, *VALUES["project"]):
        for item in IDS:
            yield {"query": [{"item": item, "project": project}, {"text": "red", "weight": -2}], "limit": 50}
            yield {"item": item, "project": project, "limit": 50}
        yield {"vector": vector, "project": project, "limit": 50, "where": {"kind": "x"}}
        yield {"vector": vector, "project": project, "limit": 50}


def explained() -> Iterator[Any]:
    """Why each item matches, asked of each project; what is near to it is told by what else is there."""
    query = [{"vector": [1.0, -1.0] * (EMBEDDER.space.dim // 2)}]
    for project in (None, *VALUES["project"]):
        for item in IDS:
            yield {"picture": {"id": item, "project": project}, "query": query}
            yield {"picture": {"id": item, "project": OWN}, "query": query, "project": project}
            yield {"picture": {"id": item, "project": OWN}, "query": [{"item": item}], "project": project}


@pytest.fixture(scope="module")
def requests(services: tuple[Running, Running]) -> list[Asked]:
    """Every request, of every route that the service describes."""
    found = list(every_request(services[1].client.get("/openapi.json").json()))
    paths = services[1].client.get("/openapi.json").json()["paths"]
    assert len(found) > 100
    assert len({one.path for one in found}) >= len(paths)
    return found


def test_what_others_have_changes_no_answer(services: tuple[Running, Running], requests: list[Asked]) -> None:
    """To a key for one project every answer is the one it would be if there were no other project; and all of them
    together hold nothing of the others."""
    alone, beside = services
    n_answered = 0
    for asked in requests:
        mine, expected = answer(beside, asked, ONE), answer(alone, asked, ONE)
        assert mine == expected, asked
        assert SECRET not in "".join(chain([mine[2]], mine[1].values())), asked
        n_answered += mine[0] == 200
    assert n_answered > 30


def test_a_project_of_others_is_answered_as_one_that_is_not_there(
    services: tuple[Running, Running], requests: list[Asked]
) -> None:
    """The same status, headers and body, but for the name that the request itself said; also while a feature is
    rolled out to the one by name."""
    assert {asked.path for asked in requests} >= {"/search/explain", "/search/heatmap"}
    for asked in requests:
        if OTHER not in json.dumps(asked.__dict__):
            continue
        status, headers, body = answer(services[1], asked, ONE)
        other_status, other_headers, other_body = answer(services[1], asked.named(NONE), ONE)
        assert (status, headers) == (other_status, other_headers), asked
        assert body.replace(OTHER, NONE) == other_body, asked


def test_others_do_show_to_a_key_for_all(services: tuple[Running, Running], requests: list[Asked]) -> None:
    """What the tests above compare does differ for a key that may see everything: they can fail."""
    differing = {
        re.sub(r"/items/[^/]+", "/items/ID", asked.path)
        for asked in requests
        if answer(services[0], asked, ALL) != answer(services[1], asked, ALL)
    }
    assert differing >= {"/search/images", "/items", "/items/ID", "/items/ID/picture", "/projects", "/stats"}


def test_not_even_a_known_version_is_confirmed(services: tuple[Running, Running]) -> None:
    """Who knows the sha256 of a picture of others is not told by a 304 that they have it."""
    content = sha256(picture("yellow")).hexdigest()
    for below, tag in (("picture", content), ("thumbnail", f"{content}-256")):
        path = f"/items/their%20id/{below}"
        for project in ({}, {"project": OTHER}):
            asked = Asked("GET", path, project)
            assert answer(services[1], asked, ONE, **{"If-None-Match": f'"{tag}"'})[0] == 404
        allowed = answer(services[1], Asked("GET", path, {"project": OTHER}), ALL, **{"If-None-Match": f'"{tag}"'})
        assert allowed[0] == 304


def test_a_key_for_several_projects_names_one(services: tuple[Running, Running]) -> None:
    """Without one a search, a walk or an item is refused with the names to choose from; with one it is answered."""
    for path, params in (("/search/images", {"q": "red"}), ("/items", {}), ("/items/own%20id", {})):
        status, _, body = answer(services[1], Asked("GET", path, params), TWO)
        assert status == 422
        assert f"'{OWN}', 'second-one'" in json.loads(body)["error"]["message"]
    assert answer(services[1], Asked("GET", "/items/own%20id", {"project": OWN}), TWO)[0] == 200
    assert json.loads(answer(services[1], Asked("GET", "/projects"), TWO)[2])["together"] is False


def test_figures_of_the_service_are_not_for_a_key_of_some_projects(services: tuple[Running, Running]) -> None:
    """What others do would show in them."""
    assert answer(services[1], Asked("GET", "/metrics"), ONE)[0] == 403
    assert set(json.loads(answer(services[1], Asked("GET", "/stats"), ONE)[2])) >= {"ready", "index", "version"}
    assert "stages" not in json.loads(answer(services[1], Asked("GET", "/stats"), ONE)[2])
