"""What a vector is filed under: the sha256 of its picture, or, where nobody has read that, a name that no picture has.

A picture's content is the sha256 of its bytes, 32 of them. A vector's is one byte that says how it came, and the sha256
of the vector: 33 bytes. So an index that is brought up to date with the pictures later never takes the one for the
other, and puts vectors of its own in the place of those that were not checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable

from lookalike.errors import InputError, VectorMissing
from lookalike.types import Item

CHECKED = b"v"
"""A sample of its table was checked, but this row's picture was not here to be read."""

UNCHECKED = b"u"
"""Nothing of its table was checked."""

N_BYTES = 33
"""So many bytes has the content of a vector."""

SHA256_BYTES = 32
"""So many has that of a picture."""


def content_of(row: bytes, *, is_checked: bool) -> str:
    """The content (hex) of a vector's bytes, as they came."""
    return (CHECKED if is_checked else UNCHECKED).hex() + hashlib.sha256(row).hexdigest()


def digest_of(content: str) -> bytes:
    """The bytes of a content (hex). InputError if it is neither a sha256 nor what `content_of` makes."""
    try:
        digest = bytes.fromhex(content)
    except ValueError:
        digest = b""
    if len(digest) not in (SHA256_BYTES, N_BYTES):
        raise InputError("A content is named by its sha256, in hexadecimal digits.", item=content)
    return digest


def is_unread(content: str) -> bool:
    """Whether a content (hex) stands for a vector whose picture was never read."""
    return len(content) == 2 * N_BYTES


def trust_in(content: str) -> int:
    """How much is known of the vector of a content (hex): 2 if of its picture, 1 if its table was checked, else 0."""
    return 2 if not is_unread(content) else int(content.startswith(CHECKED.hex()))


def require_vectors(items: Iterable[Item], known: Container[str]) -> None:
    """VectorMissing if the content of an item is not among these, which have a vector; names the first such item."""
    for item in items:
        if item.content not in known:
            raise VectorMissing(
                f"{item.id}: its content {item.content[:12]} has no vector, neither stored nor handed in. If it was "
                "stored until now, another process has given it back: hand it in again."
            )
