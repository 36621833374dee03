"""A bridge behind the service, both models on this machine: every answer made of words names the approximation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from lookalike import Client, Config, Embedder, Index, bridge
from lookalike.bridge import built_in_captions
from lookalike.cli import main
from lookalike.errors import UnsupportedModel
from lookalike.weights.local import BUILT_IN
from tests.pictures import picture, write
from tests.serving import Running, opened, serving

COLOURS = ("red", "blue", "green", "white")


def write_turned(folder: Path) -> Path:
    """A model of texts that means what the built-in one means, in a space of its own."""
    shutil.copytree(BUILT_IN / "tiny", folder)
    arrays = load_file(folder / "model.safetensors")
    projection = arrays["text_projection.weight"]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal(projection.shape))[0]
    arrays["text_projection.weight"] = (turn @ projection).astype(projection.dtype)
    save_file(arrays, folder / "model.safetensors")
    return folder


@dataclass(frozen=True)
class Bridged:
    """A service that reads words through a bridge, and the name of who reads them."""

    running: Running
    source: str

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a question in JSON."""
        response = self.running.client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridged]:
    """The built-in model's index, asked by another model through a bridge, in real workers."""
    home = tmp_path_factory.mktemp("bridged")
    write(home, {f"pictures/{colour}.png": picture(colour) for colour in COLOURS})
    source = Embedder.open(str(write_turned(home / "turned")))
    texts = built_in_captions()[::14]
    fitted = bridge.fit(texts, source.embed_texts(texts), Embedder.open("tiny").embed_texts(texts))
    bridge.save(fitted, home / "bridge.npz")
    config = replace(Config.from_environ(), model="tiny", index=home / "index", cache_dir=home / "cache")
    with Index.create(config=config) as index:
        index.ingest([home / "pictures"])
    config = replace(config, model=f"bridge:{home / 'bridge.npz'}")
    with opened(config) as context, serving(context.service, index=context.index) as running:
        yield Bridged(running, "turned")


def test_a_search_by_words_says_what_read_them(bridged: Bridged) -> None:
    """However it is asked; its note is among the warnings, and the right picture comes first."""
    by_address = bridged.running.client.get("/search/images", params={"q": "something red"}).json()
    for answer in (by_address, bridged.post("/search/images", text="something red")):
        assert Path(answer["hits"][0]["item"]["id"]).stem == "red"
        near = answer["approximation"]
        assert near["source"] == bridged.source
        assert near["agreement"]["rank_1"] > 0.9
        assert answer["warnings"] == [near["note"]]
        assert "through a bridge to tiny" in near["note"]
        assert "/" not in near["source"]  # a folder of the service's machine is nobody's business


def test_a_query_of_several_parts_says_it_once(bridged: Bridged) -> None:
    """One sentence, whatever the number of its words; items alone are exact."""
    item = bridged.post("/search/images", text="red", limit=1)["hits"][0]["item"]["id"]
    composed = bridged.post("/search/images", query=[{"text": "red"}, {"text": "blue"}, {"item": item}])
    assert composed["warnings"] == [composed["approximation"]["note"]]
    exact = bridged.post("/search/images", item=item)
    assert (exact["approximation"], exact["warnings"]) == (None, [])


def test_vectors_say_it_in_every_form(bridged: Bridged) -> None:
    """One text, a batch, and raw float32, which says it in a header."""
    one = bridged.post("/embed/text", text="red")
    many = bridged.post("/embed/text", texts=["red", "blue"])
    assert one["approximation"] == many["approximation"]
    assert one["approximation"]["source"] == bridged.source
    raw = bridged.running.client.post(
        "/embed/text", json={"text": "red"}, headers={"Accept": "application/octet-stream"}
    )
    assert bridged.source in raw.headers["x-approximation"]
    (served,) = bridged.running.client.get("/v1/models").json()["data"]
    assert served["modalities"] == ["text"]
    assert served["tower"]["approximation"]["source"] == bridged.source


def test_pictures_are_refused_with_the_reader_s_name(bridged: Bridged) -> None:
    """A bridge reads words only, and the refusal does not blame the model of the index."""
    response = bridged.running.client.post(
        "/embed/image", content=picture("red"), headers={"Content-Type": "image/png"}
    )
    assert response.status_code == 422
    assert f"'{bridged.source}' embeds texts only" in response.json()["error"]["message"]


def test_the_client_hands_it_on(bridged: Bridged) -> None:
    """Vectors and hits of the Python client have the approximation as those of an index have it."""
    with Client(bridged.running.url) as client:
        hits = client.search(text="something red", limit=1)
        vectors = client.embed_texts(["red", "blue"])
        assert hits.approximation is not None
        assert hits.approximation == vectors.approximation
        assert dict(hits.approximation.agreement)["rank_1"] > 0.9
        with pytest.raises(UnsupportedModel):
            client.embed_images([picture("red")])


def test_another_lookalike_may_not_store_them(bridged: Bridged, tmp_path: Path) -> None:
    """Whoever embeds through the service knows that its vectors only come near: they make no index."""
    config = replace(Config.from_environ(), model=f"lookalike:{bridged.running.url}", cache_dir=tmp_path)
    tower = Embedder.open(config=config).tower
    assert tower.approximation is not None
    write(tmp_path, {"pictures/a.png": picture("red")})
    arguments = ["index", str(tmp_path / "pictures"), "--model", config.model, "--index", str(tmp_path / "index")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "embeds no pictures" in result.stderr
