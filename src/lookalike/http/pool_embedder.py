"""The embedding service as the index sees it: an embedder that blocks its thread and runs no model in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from lookalike.embed import ImageInput
from lookalike.errors import NotReady
from lookalike.files import picture_bytes
from lookalike.policy import ImagePolicy
from lookalike.ports import EmbeddingService
from lookalike.spaces import Modality, Tower
from lookalike.types import Job, Vectors


class PoolEmbedder:
    """A `query.QueryEmbedder` over a service.

    Args:
        service: What embeds.
        timeout_s: How long a call waits, for all of its inputs.
        max_bytes: The largest picture file that is read.
    """

    def __init__(self, service: EmbeddingService, *, timeout_s: float = 30.0, max_bytes: int = 64 << 20) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    @property
    def tower(self) -> Tower:
        """The recipe of the service's vectors.

        Raises:
            NotReady: No worker has loaded it yet.
        """
        status = self._service.status()
        if status.tower is None:
            raise NotReady(status.reason)
        return status.tower

    def embed_images(self, images: Sequence[ImageInput], *, names: Sequence[str] = ()) -> Vectors:
        """Pictures, as bytes or paths, to unit rows."""
        read = [picture_bytes(image, ImagePolicy(max_bytes=self._max_bytes)) for image in images]
        return self._embed("image", read, names or [f"images[{number}]" for number in range(len(read))])

    def embed_texts(self, texts: Sequence[str], *, names: Sequence[str] = ()) -> Vectors:
        """Texts to unit rows."""
        return self._embed("text", texts, names or [f"texts[{number}]" for number in range(len(texts))])

    def _embed(self, modality: Modality, payloads: Sequence[bytes | str], names: Sequence[str]) -> Vectors:
        deadline = time.monotonic() + self._timeout_s
        jobs = [
            Job(modality=modality, payload=payload, item=name, deadline=deadline)
            for payload, name in zip(payloads, names, strict=True)
        ]
        futures = self._service.submit(jobs)
        try:
            done = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
        return Vectors(
            np.stack([embedded.vector for embedded in done]),
            done[0].tower,
            np.arange(len(done)),
            warnings=tuple(embedded.warning for embedded in done if embedded.warning),
        )
