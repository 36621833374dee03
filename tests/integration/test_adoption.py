"""A model in the place of another by a proof: what `lookalike parity` kept lets it index, search and serve."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Embedder, Index
from lookalike.app import open_vectorizer
from lookalike.cli import awkward, main
from lookalike.config import ServeSettings
from lookalike.errors import SpaceMismatch
from lookalike.metrics import Metrics
from lookalike.parity import causes, embed_both
from lookalike.service import open_service
from lookalike.types import Outcome
from lookalike.variants import variants
from tests.checkpoints import EDGE, write_clip
from tests.doubles.double import Content, Seen
from tests.doubles.openai import CompatibleDouble
from tests.pictures import noise, write
from tests.serving import START_S

PREPROCESSING = "preprocessor_config.json"


class Twin(CompatibleDouble):
    """An endpoint that serves the weights of a folder."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(dim=embedder.space.dim)
        self._embedder = embedder
        self.is_changed = False

    @property
    def model(self) -> str:
        """What it is called in settings."""
        return f"openai:org/clip?images=1&base_url={self.url}/v1"

    def vectors(self, seen: Seen) -> list[Any]:
        """What the weights make of each input; of its bytes alone, once they have been changed."""
        if self.is_changed:
            return super().vectors(seen)
        return [self._vector(content) for content in self.inputs(seen)]

    def _vector(self, content: Content) -> list[float]:
        embed = self._embedder.embed_texts if isinstance(content, str) else self._embedder.embed_images
        row: list[float] = embed([content]).values[0].astype(float).tolist()  # type: ignore[list-item]
        return row


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small CLIPs: one, and others that differ from it in one setting."""
    folder = tmp_path_factory.mktemp("models")
    write_clip(folder / "clip")
    write_clip(folder / "gelu", activation="gelu")
    for name, settings in (
        ("bilinear", {"resample": 2}),
        ("other mean", {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
        ("near", {"image_mean": [0.4815, 0.4578, 0.4082]}),
        ("squashed", {"size": {"height": EDGE, "width": EDGE}, "do_center_crop": False}),
    ):
        path = write_clip(folder / name) / PREPROCESSING
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Config:
    """Settings with folders of their own, for the model that is the reference."""
    folder = tmp_path_factory.mktemp("adoption")
    environ = {"LOOKALIKE_CACHE_DIR": str(folder / "cache"), "LOOKALIKE_INDEX": str(folder / "index")}
    return replace(Config.from_environ(environ), model=str(models / "clip"))


@pytest.fixture(scope="module")
def twin(config: Config) -> Iterator[Twin]:
    """The reference's weights behind another address."""
    with Twin(Embedder.open(config=config)) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three."""
    write(tmp_path / "pictures", {f"{seed}.png": noise(seed) for seed in range(3)})
    return tmp_path / "pictures"


def run(config: Config, *arguments: str) -> Result:
    """`lookalike parity`, with settings."""
    return CliRunner().invoke(main, ["parity", *arguments], env=variables(config))


def variables(config: Config) -> Mapping[str, str]:
    return {"LOOKALIKE_CACHE_DIR": str(config.cache_dir), "LOOKALIKE_INDEX": str(config.index)}


def test_an_endpoint_of_the_same_weights_stands_in(config: Config, twin: Twin, pictures: Path, tmp_path: Path) -> None:
    """Refused with the remedy before parity; then it fills the index, finds what is there; and vice versa."""
    here = replace(config, index=tmp_path / "index")
    there = replace(here, model=twin.model)
    with Index.create(config=here) as index:
        index.ingest([pictures])
    with Index.open(config=there) as index, pytest.raises(SpaceMismatch, match="`lookalike parity "):
        index.search(text="a cat")

    said = json.loads(run(config, config.model, twin.model, "--json").stdout)
    assert (said["passed"], said["proven"]) == (True, ["image", "text"])

    with Index.open(config=there, write=True) as index:
        own = Index.open(config=here).search(text="a cat")
        hits = index.search(text="a cat")
        assert [hit.item.id for hit in hits] == [hit.item.id for hit in own]
        write(pictures, {"new.png": noise(9)})
        assert index.ingest([pictures]).counts[Outcome.STORED] == 1
    with Index.open(config=here) as index:
        assert index.search(image=pictures / "new.png")[0].similarity == pytest.approx(1, abs=1e-5)

    theirs = replace(there, index=tmp_path / "theirs")
    with Index.create(config=theirs) as index:
        index.ingest([pictures])
    with Index.open(config=replace(theirs, model=config.model)) as index:
        assert index.search(image=pictures / "new.png")[0].similarity == pytest.approx(1, abs=1e-5)


def test_a_run_that_fails_takes_the_proof_away(config: Config, twin: Twin) -> None:
    """What was the same once and is not any more may no longer write."""
    own = Embedder.open(config=config).space
    there = replace(config, model=twin.model)
    assert json.loads(run(config, config.model, twin.model, "--json").stdout)["proven"]
    assert Embedder.open(config=there, space=own).space.key == own.key
    twin.is_changed = True
    try:
        failed = run(config, config.model, twin.model)
    finally:
        twin.is_changed = False
    assert failed.exit_code == 1
    assert "Nothing is proven" in failed.stdout
    with pytest.raises(SpaceMismatch):
        Embedder.open(config=there, space=own)


@pytest.mark.parametrize(
    ("other", "change"),
    [
        ("gelu", "GELU in place of QuickGELU"),
        ("bilinear", "bilinear resizing"),
        ("other mean", "ImageNet's mean and deviation"),
        ("squashed", "pictures squashed"),
    ],
)
def test_what_was_changed_is_found(config: Config, models: Path, other: str, change: str) -> None:
    """The one setting that two folders differ by is named, as found by trying it."""
    said = json.loads(run(config, config.model, str(models / other), "--json").stdout)
    assert not said["passed"]
    assert said["causes"]
    assert all(cause["found"] and f"With {change}" in cause["sentence"] for cause in said["causes"])
    assert said["a"]["space"] != said["b"]["space"]


def test_orientation_is_found(config: Config) -> None:
    """Of a model that ignores EXIF only the turned picture differs, and opening the other that way explains it."""
    pairs = embed_both(
        open_vectorizer(config), open_vectorizer(replace(config, orientation="ignore")), [awkward.pictures()]
    )
    (cause,) = causes(pairs, variants(config))
    assert cause.found
    assert "EXIF's orientation ignored" in cause.sentence
    (likely,) = causes(pairs, [], traits=awkward.traits())
    assert not likely.found
    assert "orientation" in likely.sentence


def test_workers_open_a_model_by_its_proof(config: Config, models: Path) -> None:
    """A service of a model that is as good as the index's answers in the index's space."""
    space = Embedder.open(config=config).space
    near = replace(config, model=str(models / "near"), serve=ServeSettings(workers=1))
    assert json.loads(run(config, config.model, near.model, "--json").stdout)["proven"] == ["image", "text"]
    service = open_service(near, Metrics(), space=space)
    try:
        status = service.wait_ready(START_S)
        assert status.tower is not None, status.reason
        assert (status.tower.space.key, status.tower.proven) == (space.key, ("image", "text"))
    finally:
        service.close(drain_s=0)


def test_vectors_of_a_file_are_held_against_a_model(config: Config, pictures: Path, tmp_path: Path) -> None:
    """A .npy of the model's own vectors passes, in the order of the sorted paths or of a list; reversed it fails."""
    paths = sorted(pictures.iterdir())
    rows = Embedder.open(config=config).embed_images(paths).values * 3
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "reversed.npy", rows[::-1])
    (tmp_path / "list.txt").write_text("".join(f"pictures/{path.name}\n" for path in reversed(paths)))
    good = run(config, config.model, str(tmp_path / "rows.npy"), "--images", str(pictures))
    assert good.exit_code == 0, good.output
    listed = run(config, config.model, str(tmp_path / "reversed.npy"), "--images", str(tmp_path / "list.txt"))
    assert listed.exit_code == 0, listed.output
    assert run(config, config.model, str(tmp_path / "reversed.npy"), "--images", str(pictures)).exit_code == 1
    assert "--images" in run(config, config.model, str(tmp_path / "rows.npy")).stderr
