"""Turn images and text into embeddings, and find pictures by words or by example.

embedder = lookalike.Embedder.open("tiny")
vectors = embedder.embed_texts(["a red dress"])        # (1, 128) float32 unit rows, and .space

with lookalike.Index.open("photos.lookalike") as index:
    for hit in index.search(text="a red dress", limit=5):
        print(hit.item.uri, hit.confidence)
"""

from lookalike.app import Embedder
from lookalike.client import Client
from lookalike.compat import EmbeddingModel, get_image_embedding
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
    "Part",
    "Query",
    "Space",
    "Tower",
    "Vectors",
    "get_image_embedding",
]
