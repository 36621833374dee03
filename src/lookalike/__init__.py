"""Turn images and text into embeddings, and find pictures by words or by example.

embedder = lookalike.Embedder.open("tiny")
vectors = embedder.embed_texts(["a red dress"])        # (1, 128) float32 unit rows, and .space

with lookalike.Index.open("photos.lookalike") as index:
    for hit in index.search(text="a red dress", limit=5):
        print(hit.item.uri, hit.confidence)

Each name is imported when it is first used (PEP 562): a function that embeds one text loads neither index nor client.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from lookalike.app import Embedder
    from lookalike.client import Client, NewItem
    from lookalike.compat import EmbeddingModel, get_embeddings_service, get_image_embedding
    from lookalike.config import Config
    from lookalike.index import Index
    from lookalike.query import Part, Query
    from lookalike.spaces import Space, Tower
    from lookalike.types import Hit, Hits, Item, Vectors

__version__ = "0.1.0"

__all__ = [
    "Client",
    "Config",
    "Embedder",
    "EmbeddingModel",
    "Hit",
    "Hits",
    "Index",
    "Item",
    "NewItem",
    "Part",
    "Query",
    "Space",
    "Tower",
    "Vectors",
    "get_embeddings_service",
    "get_image_embedding",
]

_HOMES = {
    "app": ["Embedder"],
    "client": ["Client", "NewItem"],
    "compat": ["EmbeddingModel", "get_embeddings_service", "get_image_embedding"],
    "config": ["Config"],
    "index": ["Index"],
    "query": ["Part", "Query"],
    "spaces": ["Space", "Tower"],
    "types": ["Hit", "Hits", "Item", "Vectors"],
}
"""Where each public name is at home."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not typing.TYPE_CHECKING:  # a type checker that saw it would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
        value: object = getattr(importlib.import_module(f"lookalike.{_HOME_OF[name]}"), name)
        globals()[name] = value  # the next time it is a plain attribute
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
