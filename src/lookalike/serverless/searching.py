"""The model as an index in a function sees it: one that answers in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.app import Embedder
from lookalike.embed import ImageInput
from lookalike.spaces import Tower
from lookalike.types import Vectors


@dataclass(frozen=True, slots=True)
class InTime:
    """A `query.QueryEmbedder` whose calls end, with an error if need be, before the platform ends the function.

    Attributes:
        embedder: What embeds.
        timeout_s: How long a call may take.
    """

    embedder: Embedder
    timeout_s: float

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors."""
        return self.embedder.tower

    def embed_images(self, images: Sequence[ImageInput], *, names: Sequence[str] = ()) -> Vectors:
        """Pictures to unit rows. Errors as of `Embedder.embed_images`."""
        return self.embedder.embed_images(images, names=names, timeout_s=self.timeout_s)

    def embed_texts(self, texts: Sequence[str], *, names: Sequence[str] = ()) -> Vectors:
        """Texts to unit rows. Errors as of `Embedder.embed_texts`."""
        return self.embedder.embed_texts(texts, names=names, timeout_s=self.timeout_s)
