"""The caption bank's vectors: embedded once per model, kept in a folder for the next process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np

from lookalike.confidence import CAPTION_BANK
from lookalike.files import keep
from lookalike.query import QueryEmbedder
from lookalike.spaces import digest_of
from lookalike.types import Rows

LOOKS: tuple[str, ...] = tuple(
    caption.strip()
    for caption in """
    something red|something orange|something yellow|something green|something blue|something purple|something pink
    something brown|something black|something white|something grey|something golden|something silver
    a dotted pattern|a checked pattern|a floral pattern|leather|wood|metal|glass|plastic|denim|brick|paper
    a white background|a dark background|indoors|underwater|a view from above|an old photograph|a collage|text
    """.replace("\n", "|").split("|")
    if caption.strip()
)
"""Colours, materials and places: what the caption bank, which is of things, has not. No confidence depends on them."""

_FILLING = re.compile(r"^(a|an|the|something) ")


def caption_bank(embedder: QueryEmbedder, folder: Path) -> Rows:
    """The (m, dim) unit vectors of `confidence.CAPTION_BANK`.

    Args:
        embedder: The model.
        folder: Where they are kept; one that cannot be written costs time, not the answer.
    """
    return _kept(embedder, folder, CAPTION_BANK)


def concept_bank(embedder: QueryEmbedder, folder: Path) -> Rows:
    """The unit vectors of what pictures are told to be near to, in the order of `concept_names`; see `caption_bank`."""
    return np.concatenate([caption_bank(embedder, folder), _kept(embedder, folder, LOOKS)])


@cache
def concept_names() -> tuple[str, ...]:
    """What each caption of the concept bank is about: "dog" of "a dog", "red" of "something red"."""
    return tuple(_FILLING.sub("", caption) for caption in (*CAPTION_BANK, *LOOKS))


def _kept(embedder: QueryEmbedder, folder: Path, captions: Sequence[str]) -> Rows:
    path = folder / f"{digest_of([embedder.tower.fingerprint, *captions])[:32]}.npy"
    try:
        bank: Rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError):  # not there, or half written
        bank = embedder.embed_texts(captions).values
        buffer = BytesIO()
        np.save(buffer, bank, allow_pickle=False)
        keep(path, buffer.getvalue())
    return bank
