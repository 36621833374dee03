"""The small models whose vectors by transformers are stored; parity/encoders.py stores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.checkpoints import write_bert, write_clip, write_multilingual

DATA = Path(__file__).parent / "data" / "encoders"


@dataclass(frozen=True)
class Case:
    """A model that can be written anywhere, the same every time."""

    name: str
    write: Callable[[Path], Path]
    has_images: bool = True


CASES = (
    Case("clip_quick_gelu", write_clip),
    Case("clip_gelu", partial(write_clip, seed=1, activation="gelu")),
    Case("clip_gelu_new", partial(write_clip, seed=4, activation="gelu_new")),
    Case("clip_original_end_id", partial(write_clip, seed=2, end_id=2)),
    Case("clip_float16", partial(write_clip, seed=3, dtype="float16")),
    Case("clip_border", partial(write_clip, seed=6, patch=7)),
    Case("bert", write_bert, has_images=False),
    Case("multilingual", write_multilingual, has_images=False),
)
