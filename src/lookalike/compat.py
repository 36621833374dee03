"""Names that people know from elsewhere, as thin conveniences over `Embedder`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from lookalike.app import Embedder
from lookalike.config import Config
from lookalike.embed import ImageInput
from lookalike.errors import ConfigError
from lookalike.forks import InEachProcess
from lookalike.types import Rows

_PRETRAINED = {("vit-b-32", "openai"): "openai/clip-vit-base-patch32"}
"""open_clip's (model, weights) pairs that lookalike knows."""

THREADS = 32
"""Calls of a web application that wait at the same time; as many as a hosted model's queries."""


class EmbeddingModel:
    """A CLIP model under open_clip's names.

    Args:
        model_name: open_clip's architecture ("ViT-B-32"), or any name that `Embedder.open` takes.
        pretrained: open_clip's weights ("openai"); None with a name for `Embedder.open`.
        device: Only "cpu".

    Raises:
        ConfigError: The device or the pair of names is not known here.
    """

    def __init__(self, model_name: str = "ViT-B-32", pretrained: str | None = "openai", *, device: str = "cpu") -> None:
        if device != "cpu":
            raise ConfigError(f"device is {device!r}; this version computes on the CPU: use 'cpu'.")
        name = _PRETRAINED.get((model_name.lower(), pretrained or ""))
        if name is None and pretrained:
            raise ConfigError(
                f"{model_name!r} with the weights {pretrained!r} is not known. Use model_name='ViT-B-32' with "
                "pretrained='openai', or a repository or folder with pretrained=None."
            )
        self.embedder = Embedder.open(name or model_name)

    def encode_text(self, texts: str | Sequence[str]) -> Rows:
        """One text or several -> (n, dim) float32 unit rows."""
        return self.embedder.embed_texts([texts] if isinstance(texts, str) else texts).values

    def encode_image(self, images: ImageInput | Sequence[ImageInput]) -> Rows:
        """One picture or several (bytes or paths) -> (n, dim) float32 unit rows."""
        one = isinstance(images, bytes | bytearray | memoryview | str | Path)
        return self.embedder.embed_images([images] if one else images).values  # type: ignore[arg-type,list-item]


def get_image_embedding(image: ImageInput) -> list[float]:
    """One picture (bytes or a path) -> its unit vector, by the configured model, which stays loaded."""
    return [float(value) for value in _configured().embed_images([image]).values[0]]


class EmbeddingsService:
    """Texts to vectors for programs on asyncio, under the names that web applications usually give it.

    Args:
        embedder: What embeds; each call runs in a thread, so that the event loop goes on.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        # Of its own: the event loop's threads are few, and for everybody.
        self._threads = InEachProcess(lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="lookalike-embeddings"))

    async def get_embedding(self, text: str) -> list[float]:
        """One text -> its unit vector.

        Raises:
            InputError: The text cannot be used.
            ProviderError: The provider of the model did not do its part.
        """
        return (await self.get_embeddings_batch([text]))[0]

    async def get_embeddings_batch(self, texts: Iterable[str]) -> list[list[float]]:
        """Texts -> their unit vectors, in the same order; none of them if one fails.

        Raises:
            InputError: A text cannot be used; names it.
            ProviderError: The provider of the model did not do its part.
        """
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(self._threads(), self.embedder.embed_texts, texts)
        return [[float(value) for value in row] for row in vectors.values]


def get_embeddings_service(config: Config | None = None) -> EmbeddingsService:
    """The service that the settings describe, which stays open: EMBEDDINGS_PROVIDER and EMBEDDINGS_MODEL choose.

    Args:
        config: Settings; from the environment if left out.

    Raises:
        ConfigError: A setting cannot be used, or a key is missing.
        ModelError: The model cannot be found or used.
    """
    return _configured_service() if config is None else EmbeddingsService(Embedder.open(config=config))


@lru_cache(maxsize=1)
def _configured_service() -> EmbeddingsService:
    return EmbeddingsService(_configured())


@lru_cache(maxsize=1)
def _configured() -> Embedder:
    return Embedder.open()
