"""The serverless functions, under a Lambda and an ASGI emulation: a hosted model on loopback, an index, keys."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import uvicorn

import lookalike
from lookalike.config import Config, ServeSettings
from lookalike.errors import AccessDenied, ImageError, TooLarge
from lookalike.providers.reference import ProviderSettings
from lookalike.rollout import Rollout
from lookalike.secret import Secret
from lookalike.serverless.asgi import VERCEL, Application
from lookalike.serverless.aws import LAMBDA, Handler
from lookalike.serverless.service import Platform, Service
from tests.doubles.double import hang
from tests.doubles.openai import KEY, CompatibleDouble, as_specified
from tests.loopback import PATIENCE_S
from tests.pictures import noise, write

COLD_START_S = 1.0
SEARCH_KEY, EMBED_KEY = "search-key-0123456789", "embed-key-0123456789"
API_KEYS = f"site search {SEARCH_KEY}; shop embed {EMBED_KEY}"


@pytest.fixture(scope="module")
def double() -> Iterator[CompatibleDouble]:
    with CompatibleDouble() as started:
        yield started


@pytest.fixture(scope="module")
def config(double: CompatibleDouble, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings with a hosted model and an index of three pictures made with it."""
    folder = tmp_path_factory.mktemp("function")
    pictures = write(folder / "pictures", {f"{n}.png": noise(n) for n in range(3)})
    settings = replace(
        Config.from_environ({"HOME": str(folder)}),
        model=f"openai:org/clip?images=1&base_url={double.url}/v1",
        providers=ProviderSettings(keys={"openai": Secret(KEY)}),
        index=folder / "photos.lookalike",
        cache_dir=folder / "cache",
    )
    with lookalike.Index.create(config=settings) as index:
        index.ingest([pictures])
    return settings


@pytest.fixture(scope="module")
def function(config: Config) -> Handler:
    """A Lambda function without keys, warm for all tests."""
    return Handler(Service(LAMBDA, lambda: config))


def event(method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """A function URL's event: JSON of a value, or bytes in base64 as Lambda hands them in."""
    raw, _, query = path.partition("?")
    is_binary = isinstance(body, bytes)
    text = base64.b64encode(body).decode() if isinstance(body, bytes) else "" if body is None else json.dumps(body)
    kind = {} if body is None else {"content-type": "image/png" if is_binary else "application/json"}
    return {
        "version": "2.0",
        "rawPath": raw,
        "rawQueryString": query,
        "headers": {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}},
        "requestContext": {"http": {"method": method, "path": raw, "sourceIp": "192.0.2.1"}, "stage": "$default"},
        **({} if body is None else {"body": text}),
        "isBase64Encoded": is_binary,
    }


def asked(function: Handler, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Status and document of an answer."""
    reply = function(event(method, path, body, **headers), None)
    assert reply["headers"]["content-type"] == "application/json"
    return reply["statusCode"], json.loads(reply["body"])


def error(function: Handler, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Status and sentence of a refusal, which has the shape of the service's."""
    status, document = asked(function, method, path, body, **headers)
    assert set(document["error"]) >= {"type", "message", "retryable", "request_id"}
    return status, document["error"]["message"]


def test_words_and_pictures_get_the_models_vectors(function: Handler, config: Config) -> None:
    """A text, a batch in base64 and the bytes of a picture give what the embedder gives, and name the space."""
    embedder = lookalike.Embedder.open(config=config)
    texts = ["a red dress", "a blue shoe"]
    status, one = asked(function, "POST", "/embed/text", {"text": texts[0]})
    assert status == 200
    assert (one["space"], one["dimensions"]) == (embedder.space.id, embedder.space.dim)
    _, several = asked(function, "POST", "/embed/text", {"texts": texts, "encoding_format": "base64"})
    rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in several["embeddings"]]
    expected = embedder.embed_texts(texts).values
    assert np.allclose(rows, expected, atol=1e-6)
    assert np.allclose(one["embedding"], expected[0], atol=1e-6)
    _, picture = asked(function, "POST", "/embed/image", noise(7))
    assert np.allclose(picture["embedding"], embedder.embed_images([noise(7)]).values[0], atol=1e-6)


def test_a_bad_input_of_a_batch_has_its_error_in_its_place(function: Handler) -> None:
    """Of three pictures the one that is none and the one that is no base64 fail; the third has its vector."""
    good, none = (base64.b64encode(data).decode() for data in (noise(1), b"no picture"))
    status, document = asked(function, "POST", "/embed/image", {"images": [none, good, "%"]})
    assert status == 200
    assert [row is None for row in document["embeddings"]] == [True, False, True]
    assert [(one["index"], one["item"]) for one in document["errors"]] == [(0, "images[0]"), (2, "images[2]")]
    assert error(function, "POST", "/embed/image", b"no picture")[0] in (415, 422)


def test_pictures_are_found_by_words_by_example_and_by_item(function: Handler, config: Config) -> None:
    """An example finds itself first; words find something; an item finds the others; metadata filters."""
    status, by_example = asked(function, "POST", "/search/images?limit=2", noise(1))
    assert status == 200
    assert by_example["hits"][0]["item"]["uri"].endswith("/1.png")
    assert by_example["hits"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert len(by_example["hits"]) == 2
    item = by_example["hits"][0]["item"]["id"]
    _, by_words = asked(function, "GET", "/search/images?q=a+red+dress&project=default")
    assert by_words["considered"] == 3
    _, by_item = asked(function, "POST", "/search/images", {"query": [{"item": item}, {"text": "red", "weight": 0.1}]})
    assert item not in [hit["item"]["id"] for hit in by_item["hits"]]
    _, none = asked(function, "GET", "/search/images?q=red&where=colour:red&min_confidence=0.5")
    assert (none["considered"], none["hits"]) == (0, [])


REFUSED = [
    ("POST", "/embed/text", {"txt": "a"}, 422, "txt: is not known here: correct its name, or leave it out."),
    ("POST", "/embed/text", {"\ud800": "a"}, 422, "?: is not known here: correct its name, or leave it out."),
    ("POST", "/embed/text", {"text": "a", "texts": ["b"]}, 422, "Send exactly one of 'text', 'texts'."),
    ("POST", "/embed/text", {"text": 5}, 422, "text: must be a text."),
    ("POST", "/embed/text", {"texts": [1]}, 422, "texts: must be a list of texts."),
    ("POST", "/embed/text", {"texts": []}, 422, "texts: must be a list that is not empty."),
    ("POST", "/embed/text", ["a"], 422, "The body must be a JSON object."),
    ("POST", "/embed/text", {"texts": ["a"] * 257}, 413, "texts: has 257 entries; 256 are allowed"),
    ("POST", "/embed/text", b"\x89PNG", 415, "The body must be application/json"),
    ("POST", "/embed/text", {"text": "a", "encoding_format": "int8"}, 422, "encoding_format: must be 'float' or"),
    ("POST", "/embed/image", {"image": "not base64"}, 422, "is neither base64 nor a data URI"),
    ("GET", "/embed/text", None, 405, "This path takes POST only."),
    ("GET", "/nowhere", None, 404, "There is nothing at this path"),
    ("GET", "/search/images", None, 422, "q: must be a text."),
    ("GET", "/search/images?q=red&limit=0", None, 422, "limit: must be a number from 1 to 1000."),
    ("GET", "/search/images?q=red&limit=2.5", None, 422, "limit: must be a whole number"),
    ("GET", "/search/images?q=red&where=colour", None, 422, "where: must be 'key:value'."),
    ("POST", "/search/images?limit=5", {"text": "red"}, 422, "everything stands in the body"),
    ("POST", "/search/images", {"query": [{"text": "red"}], "text": "a"}, 422, "Put 'text' into a part of 'query'"),
    ("POST", "/search/images", {"query": [{"words": "red"}]}, 422, "query[0].words: is not known here"),
    ("POST", "/search/images", {"query": ["red"]}, 422, "query[0]: must be an object."),
    ("POST", "/search/images", {"vector": [1, "a"]}, 422, "vector: must be a list of numbers."),
    ("POST", "/search/images", {"text": "red", "weight": 0}, 422, "The weight of a part is 0"),
    ("POST", "/search/images", {"item": "nothing"}, 404, "nothing"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "sentence"), REFUSED)
def test_what_cannot_be_used_is_refused_with_a_sentence(
    function: Handler, method: str, path: str, body: object, status: int, sentence: str
) -> None:
    """The field is named, and the status is the service's."""
    found, message = error(function, method, path, body)
    assert found == status
    assert sentence in message


def test_what_is_no_json_is_refused(function: Handler) -> None:
    """Half a document is a sentence, not a defect."""
    broken = {**event("POST", "/embed/text", {}), "body": '{"text": '}
    assert "The body is not JSON" in function(broken, None)["body"]


def test_keys_are_those_of_the_service(config: Config) -> None:
    """No key and a wrong one are 401, a key of another scope is 403, either header will do; too many are 429."""
    settings = replace(config.serve, api_keys=API_KEYS, requests_per_minute=2)
    function = Handler(Service(LAMBDA, lambda: replace(config, serve=settings)))
    search = ("GET", "/search/images?q=red")
    reply = function(event(*search), None)
    assert (reply["statusCode"], reply["headers"]["www-authenticate"]) == (401, "Bearer")
    assert error(function, *search, authorization="Bearer wrong")[0] == 401
    assert error(function, *search, x_api_key=EMBED_KEY)[0] == 403
    assert [asked(function, *search, authorization=f"Bearer {SEARCH_KEY}")[0] for _ in range(2)] == [200, 200]
    reply = function(event(*search, None, x_api_key=SEARCH_KEY), None)
    assert (reply["statusCode"], int(reply["headers"]["retry-after"]) >= 1) == (429, True)
    assert asked(function, "GET", "/healthz")[0] == 200


def test_a_key_for_some_projects_finds_those(config: Config) -> None:
    """As over HTTP: its own without being named; another's pictures are not there, nor can one be asked with."""
    keys = f"own search {SEARCH_KEY} default; other search {EMBED_KEY} elsewhere; two search {SEARCH_KEY}-2 default,x"
    function = Handler(Service(LAMBDA, lambda: replace(config, serve=ServeSettings(api_keys=keys))))
    _, found = asked(function, "GET", "/search/images?q=red", x_api_key=SEARCH_KEY)
    assert (len(found["hits"]), found["considered"]) == (3, 3)
    for project in ("", "&project=default", "&project=none"):
        status, hidden = asked(function, "GET", f"/search/images?q=red{project}", x_api_key=EMBED_KEY)
        assert (status, hidden["hits"], hidden["considered"]) == (200, [], 0)
    item = found["hits"][0]["item"]["id"]
    assert asked(function, "POST", "/search/images", {"item": item}, x_api_key=SEARCH_KEY)[0] == 200
    body = {"query": [{"item": item, "project": "default"}]}
    sentences = [
        error(function, "POST", "/search/images", {"query": [{**body["query"][0], "item": name}]}, x_api_key=EMBED_KEY)
        for name in (item, "none")
    ]
    assert sentences[0][1].replace(repr(item), "'none'") == sentences[1][1]
    assert [status for status, _ in sentences] == [404, 404]
    status, sentence = error(function, "GET", "/search/images?q=red", x_api_key=f"{SEARCH_KEY}-2")
    assert (status, "say which of 'default', 'x'" in sentence) == (422, True)


def test_a_search_that_is_not_switched_on_is_404_with_a_sentence(config: Config) -> None:
    """Whom FEATURE_IMAGE_SEARCH leaves out is told so; vectors are made as before."""
    function = Handler(Service(LAMBDA, lambda: replace(config, serve=ServeSettings(image_search=Rollout(percent=0)))))
    status, sentence = error(function, "GET", "/search/images?q=red")
    assert (status, sentence) == (404, "Image search is switched off here.")
    assert asked(function, "POST", "/embed/text", {"text": "red"})[0] == 200


def test_events_of_lambda_are_read_as_they_come(function: Handler) -> None:
    """A stage before the path is taken off; another format and a broken body are refused with a sentence."""
    staged = event("POST", "/prod/embed/text", {"text": "a"})
    staged["requestContext"]["stage"] = "prod"
    assert function(staged, None)["statusCode"] == 200
    old = function({"httpMethod": "POST", "path": "/embed/text", "body": "{}"}, None)
    assert (old["statusCode"], "payload format 2.0" in old["body"]) == (422, True)
    for body in ("%%%", "\u00e9"):
        broken = {**event("POST", "/embed/image", b"a"), "body": body}
        assert "isBase64Encoded" in function(broken, None)["body"]


@pytest.mark.parametrize(("path", "body"), [("/embed/text", {"text": "slow"}), ("/search/images", {"text": "slow"})])
def test_a_silent_provider_is_an_answer_in_time(
    double: CompatibleDouble, config: Config, path: str, body: object
) -> None:
    """A function ends a request before the platform ends the function: embedding, and searching as well."""
    hurried = replace(config, serve=replace(config.serve, request_timeout_s=1.5))
    function = Handler(Service(LAMBDA, lambda: hurried))
    assert asked(function, "POST", "/search/images", {"text": "warm"})[0] == 200
    double.released.clear()
    double.rule = hang
    begun_s = time.monotonic()
    try:
        status, message = error(function, "POST", path, body)
    finally:
        double.released.set()
        double.rule = as_specified
    assert status in (502, 504), message
    assert time.monotonic() - begun_s < PATIENCE_S / 2


def test_what_the_platform_does_not_let_through_is_413(config: Config, function: Handler) -> None:
    """A body over the platform's limit, and an answer over it, are refused with the limit in the sentence."""
    large = {**event("POST", "/embed/text", {}), "body": "x" * (LAMBDA.max_body_bytes + 1)}
    reply = function(large, None)
    assert (reply["statusCode"], "AWS Lambda lets 6,291,456 through" in reply["body"]) == (413, True)
    narrow = Handler(Service(Platform("Narrow", 2_000), lambda: config))
    status, message = error(narrow, "POST", "/embed/text", {"texts": [f"text {n}" for n in range(40)]})
    assert (status, message.startswith("The answer has")) == (413, True)


def test_an_asgi_body_is_read_no_further_than_the_limit(config: Config) -> None:
    """Of an endless body no more is taken than the platform lets through, and the answer is 413."""
    taken: list[int] = []
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        taken.append(1 << 20)
        return {"type": "http.request", "body": bytes(1 << 20), "more_body": True}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/embed/image", "headers": [], "query_string": b""}
    asyncio.run(Application(Service(VERCEL, lambda: config))(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert b"Vercel lets 4,500,000 through" in sent[1]["body"]
    assert sum(taken) <= VERCEL.max_body_bytes + (1 << 20)


def test_settings_that_cannot_be_used_are_an_answer() -> None:
    """A key that is missing is not a crash at import: it is said with the first request, and again with the next."""
    service = Service(LAMBDA, lambda: replace(Config.from_environ({"HOME": "/nowhere"}), model="cohere:embed-v4.0"))
    for _ in range(2):
        status, message = error(Handler(service), "POST", "/embed/text", {"text": "a"})
        assert (status, "COHERE_API_KEY" in message) == (500, True)


@pytest.fixture(scope="module")
def served(config: Config) -> Iterator[str]:
    """The application on an ASGI server, with keys."""
    settings = replace(config, serve=ServeSettings(api_keys=API_KEYS))
    application = Application(Service(VERCEL, lambda: settings))
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error", lifespan="on"))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    socket.close()


def test_the_client_of_the_service_works_with_the_function(served: str, config: Config) -> None:
    """`lookalike.Client` embeds, searches and gets its errors' classes back, as from `lookalike serve`."""
    with lookalike.Client(served, api_key=EMBED_KEY) as client:
        found = client.embed_images([noise(1), b"no picture"], on_error="collect")
        assert found.space == lookalike.Embedder.open(config=config).space.id
        assert [failure.position for failure in found.failures] == [1]
        assert len(client.embed_text("a red dress").values) == 1
        with pytest.raises(ImageError):
            client.embed_images([noise(1), noise(2)[:80]])
        with pytest.raises(AccessDenied):
            client.search(text="a red dress")
        with pytest.raises(TooLarge, match="Vercel"):
            client.embed_image(noise(1) + bytes(5_000_000))
    with lookalike.Client(served, api_key=SEARCH_KEY) as client:
        hits = client.search(image=noise(2), limit=1)
        assert hits.hits[0].item.uri.endswith("/2.png")
        assert client.search(text="a red dress").considered == 3


def run_cold(double: CompatibleDouble, config: Config, path: str) -> tuple[float, int, set[str]]:
    """Seconds from the first line to the first answer of a fresh process, its status, and what was imported."""
    code = """if True:
        from time import perf_counter as now
        start = now()
        import json, sys
        from lookalike.serverless.aws import handler
        reply = handler(json.loads(sys.argv[1]), None)
        print(now() - start, reply["statusCode"], *{name.partition(".")[0] for name in sys.modules})"""
    environment = {
        **os.environ,
        "LOOKALIKE_MODEL": config.model,
        "OPENAI_API_KEY": KEY,
        "LOOKALIKE_INDEX": str(config.index),
        "LOOKALIKE_CACHE_DIR": str(config.cache_dir),
    }
    command = [sys.executable, "-c", code, json.dumps(event("GET", path))]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    seconds, status, *modules = done.stdout.split()
    return float(seconds), int(status), set(modules)


def test_the_first_answer_after_a_cold_start_is_quick(double: CompatibleDouble, config: Config) -> None:
    """Import, model, index and a search that nobody has asked before: within a second, the best of three processes."""
    runs = [run_cold(double, config, f"/search/images?q=cold+start+{n}") for n in range(3)]
    assert [status for _, status, _ in runs] == [200] * 3
    assert min(seconds for seconds, _, _ in runs) <= COLD_START_S
    assert {"fastapi", "pydantic", "onnxruntime", "torch"} & runs[0][2] == set()


def test_importing_a_function_opens_nothing() -> None:
    """Settings that cannot be used, and no home folder, are no obstacle to importing either function."""
    code = "import lookalike.serverless.aws, lookalike.serverless.asgi, sys; print('lookalike.index' in sys.modules)"
    environment = {**os.environ, "LOOKALIKE_PORT": "none", "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
