"""The caption bank's vectors: embedded once per model, kept in a folder for the next process."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np

from lookalike.confidence import CAPTION_BANK
from lookalike.files import keep
from lookalike.query import QueryEmbedder
from lookalike.spaces import digest_of
from lookalike.types import Rows

_ARTICLE = re.compile(r"^(a|an|the) ")


def caption_bank(embedder: QueryEmbedder, folder: Path) -> Rows:
    """The (m, dim) unit vectors of `confidence.CAPTION_BANK`.

    Args:
        embedder: The model.
        folder: Where they are kept; one that cannot be written costs time, not the answer.
    """
    path = folder / f"{digest_of([embedder.tower.fingerprint, *CAPTION_BANK])[:32]}.npy"
    try:
        bank: Rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError):  # not there, or half written
        bank = embedder.embed_texts(CAPTION_BANK).values
        buffer = BytesIO()
        np.save(buffer, bank, allow_pickle=False)
        keep(path, buffer.getvalue())
    return bank


@cache
def concept_names() -> tuple[str, ...]:
    """What each caption of the bank is about: "dog" of "a dog"."""
    return tuple(_ARTICLE.sub("", caption) for caption in CAPTION_BANK)
