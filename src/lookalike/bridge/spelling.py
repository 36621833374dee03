"""A text by its letters alone: an image model's text vectors follow the words themselves more than their meaning does.

Another model's vector says what a text means; "tennis ball" and "tennis racket" are near in CLIP because they share a
word. So a bridge also looks at the pieces of the words (character n-grams, hashed as in arXiv:1607.04606).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lookalike.types import Rows

SPELLING_DIM = 4096

_LENGTHS = (2, 3, 4, 5)
_WORD = re.compile(r"[^\W_]+")
_OPENINGS = re.compile(r"^(?:(?:photo|picture|image|close up) of )?(?:(?:a|an|the) )?")


def words_of(text: str) -> list[str]:
    """The words of a text, small, in order; underscores and punctuation part them."""
    return _WORD.findall(text.lower())


def subject_of(text: str) -> str:
    """What a caption is of: "a photo of a Wine_bottle" and "wine bottle" are of the same."""
    plain = " ".join(words_of(text))
    without_article = re.sub(r"^(?:a|an|the) ", "", plain)
    return _OPENINGS.sub("", without_article) or plain


def spelling_rows(texts: Sequence[str]) -> Rows:
    """(n, SPELLING_DIM) float32 unit rows; a text without letters or digits has a row of zeros."""
    rows = np.zeros((len(texts), SPELLING_DIM), np.float32)
    for number, text in enumerate(texts):
        pieces = Counter(piece for word in words_of(text) for piece in _pieces(f"<{word}>"))
        for piece, count in pieces.items():
            code = zlib.crc32(piece.encode())
            rows[number, code % SPELLING_DIM] += np.sqrt(count) * (1 if code >> 31 else -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.maximum(lengths, np.float32(1e-9))
    return rows


def _pieces(word: str) -> list[str]:
    """A word in its brackets, whole (for more than any piece of it) and in pieces."""
    parts = [word[i : i + length] for length in _LENGTHS for i in range(len(word) - length + 1)]
    return [word, word, *parts]
