"""A model of texts that was trained to agree with CLIP's: its words search an index of CLIP, and nothing is stored."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lookalike import Config, Index, app
from lookalike.cli import main
from lookalike.errors import CorruptModel, SpaceMismatch, UnsupportedModel
from lookalike.known import KnownModel, known_model
from lookalike.pixels import PixelSpec
from lookalike.tokens import read_document
from lookalike.types import Item
from lookalike.vectors import normalise
from tests.checkpoints import write_multilingual
from tests.pictures import noise, write
from tests.serving import opened, serving

NAME = "sentence-transformers/clip-ViT-B-32-multilingual-v1"
N_PICTURES = 20


def known(name: str) -> KnownModel:
    model = known_model(name)
    assert model is not None
    return model


def install(config: Config, *, dim: int) -> None:
    """A small model of the same make, in the place where the published one would be."""
    repository = config.hub.hub_cache / f"models--{NAME.replace('/', '--')}"
    shutil.rmtree(repository, ignore_errors=True)
    folder = write_multilingual(repository / "snapshots" / known(NAME).revision, dim=dim)
    (folder / "tokenizer.json").write_bytes(read_document(folder))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An index of CLIP, without CLIP; and the multilingual model to search it with."""
    folder = tmp_path_factory.mktemp("multilingual")
    defaults = Config.from_environ()
    hub = replace(defaults.hub, hub_cache=folder / "hub", offline=True)
    config = replace(defaults, model="clip-multilingual", hub=hub, index=folder / "index", cache_dir=folder / "cache")
    install(config, dim=512)
    store = app.create_store(config.index, known("clip").space("apply"))
    rows = normalise(np.random.default_rng(0).standard_normal((N_PICTURES, 512)).astype(np.float32))
    contents = [hashlib.sha256(bytes([number])).hexdigest() for number in range(N_PICTURES)]
    store.add([Item(id=f"{n}.jpg", content=content) for n, content in enumerate(contents)], contents, rows)
    store.close()
    return config


@pytest.fixture(scope="module")
def index(config: Config) -> Iterator[Index]:
    with Index.open(config=config) as opened:
        yield opened


def test_words_of_another_language_search_an_index_of_clip(index: Index) -> None:
    """Vectors that are there already are searched as they are; the answer says that the words only come near."""
    hits = index.search(text="\u05d0\u05d1\u05d2 on the beach", limit=5)
    assert len(hits) == 5
    assert hits.approximation is not None
    assert hits.approximation.source == NAME
    assert hits.warnings == (hits.approximation.note,)
    assert "near, and not equal" in hits.approximation.note
    assert hits.space == known("clip").space("apply")


def test_the_command_line_says_so_too(config: Config) -> None:
    """`lookalike search --model` takes it by name, and its JSON has the sentence."""
    arguments = ["search", "--text", "a cat", "--model", NAME, "--json", "-n", "3"]
    result = CliRunner().invoke(main, arguments, obj=replace(config, model="auto"), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert len(document["hits"]) == 3
    assert any(NAME in warning for warning in document["warnings"])


def test_items_are_searched_without_it(index: Index) -> None:
    """What is like a stored picture is exact, and no approximation is named."""
    hits = index.search(item="3.jpg", limit=3)
    assert hits.approximation is None
    assert hits.warnings == ()


def test_no_picture_is_stored_or_asked_with(config: Config, index: Index, tmp_path: Path) -> None:
    """It embeds words alone: it makes no index, adds nothing to one, and reads no example."""
    write(tmp_path, {"a.png": noise(1)})
    with Index.open(config=config, write=True) as writer, pytest.raises(SpaceMismatch, match="not store any"):
        writer.ingest([tmp_path])
    with pytest.raises(UnsupportedModel, match="embeds no pictures"):
        Index.create(config=replace(config, index=tmp_path / "other"))
    with pytest.raises(UnsupportedModel):
        index.search(image=tmp_path / "a.png")


def test_a_model_of_another_shape_is_refused(config: Config, tmp_path: Path) -> None:
    """A file of that name with vectors of another length is damaged, not a new space."""
    other = replace(config, hub=replace(config.hub, hub_cache=tmp_path), cache_dir=tmp_path)
    install(other, dim=256)
    with pytest.raises(CorruptModel, match="in 512 numbers"):
        app.Embedder.open(config=other)


def test_the_space_of_clip_is_known_without_clip(shared: Path) -> None:
    """What the table says of CLIP's preprocessing is what its published settings come to."""
    settings = json.loads((shared / "golden" / "tokenizer" / "clip_preprocessor_config.json").read_bytes())
    assert known("clip").preprocessing == PixelSpec.from_config(settings).digest


def test_the_service_says_so_too(config: Config) -> None:
    """Served over an index of CLIP: Hebrew words find pictures, and every answer names what read them."""
    with opened(config) as context, serving(context.service, index=context.index) as running:
        answer = running.client.get("/search/images", params={"q": "\u05d0\u05d1\u05d2"}).json()
        assert len(answer["hits"]) == 10
        assert answer["approximation"]["source"] == NAME
        assert answer["warnings"] == [answer["approximation"]["note"]]
        embedded = running.client.post("/embed/text", json={"text": "\u05d0\u05d1\u05d2"}).json()
        assert embedded["approximation"] == answer["approximation"]
        assert embedded["space"] == answer["space"]
