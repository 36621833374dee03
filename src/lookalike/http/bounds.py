"""What a body of JSON is made of, counted before it is parsed.

A parser makes an object of each value and holds the interpreter meanwhile: a body of a few megabytes that has nothing
but values keeps every other request waiting, whatever its own fate. Bytes are counted a thousand times as fast.
"""

from __future__ import annotations

from lookalike.errors import TooLarge

FEW_BYTES = 128 << 10
"""A body that is no larger is parsed in some ten milliseconds, whatever is in it."""

MAX_VALUES = 50_000
"""Texts, numbers, lists and objects in one body: ten times what the largest batch has. Parsed in 0.2 s at worst."""

MAX_BETWEEN = 4 << 20
"""Bytes outside of texts: blanks and numbers."""


def require_few_values(body: bytes) -> None:
    """Raise TooLarge if a body of JSON, or what passes for one, has too many values to be parsed beside others."""
    if len(body) <= FEW_BYTES:
        return
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    _require(bare.count(b'"') // 2, MAX_VALUES, "texts")
    outside = b"".join(bare.split(b'"')[::2])
    _require(sum(map(outside.count, (b",", b"[", b"{"))), MAX_VALUES, "values")
    _require(len(outside), MAX_BETWEEN, "bytes outside of texts")


def _require(n: int, limit: int, what: str) -> None:
    if n > limit:
        raise TooLarge(
            f"The body has {n:,} {what}; {limit:,} are allowed: send several requests.", actual=n, limit=limit
        )
