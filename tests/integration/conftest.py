"""A service as people run it, for the tests of its clients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike import Config, Index
from lookalike.config import ServeSettings
from tests.pictures import picture, write

if TYPE_CHECKING:
    from tests.serving import Running


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A running service with the built-in model, an index of some pictures, and a key for everything.

    Attributes:
        running: The service.
        key: Allows everything.
        config: With which `Index.open` opens the same index, and `Embedder.open` the same model.
        folder: Where the pictures are.
    """

    running: Running
    key: str
    config: Config
    folder: Path


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """The service that clients talk to, with workers of its own."""
    from tests.serving import opened, serving  # a web framework, which other tests need not load

    home, key = tmp_path_factory.mktemp("catalogue"), "the-key-of-the-tests"
    folder = home / "pictures"
    write(home, {f"pictures/{colour}.png": picture(colour) for colour in ("red", "blue", "green", "white")})
    settings = ServeSettings(api_keys=f"tests embed,search,write {key}", workers=2)
    config = replace(Config.from_environ(), model="tiny", index=home / "index", serve=settings)
    with Index.create(config=config) as index:
        index.ingest([folder])
    with (
        opened(config) as context,
        serving(
            context.service, index=context.index, settings=settings, intake=context.intake, feeding=context.feeding
        ) as running,
    ):
        yield Catalogue(running=running, key=key, config=config, folder=folder)
