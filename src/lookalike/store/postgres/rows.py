"""Between lookalike's values and PostgreSQL's: digests, half precision rows, and texts that may hold a NUL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.types import Filter, Item, Rows

MAX_NAME_BYTES = 2600
"""Of an id, a project's name or a place in the ledger: a page of PostgreSQL's indexes takes no longer keys."""

MAX_DIM = 4000
"""A vector has to fit into a page of 8,192 bytes, and an index on vectors takes no more either."""

Halves = NDArray[np.float16]
"""(n, dim) rows in half precision, big-endian."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def escaped(text: str) -> str:
    """The text without NUL, which PostgreSQL cannot keep; texts keep their order, and what they begin with."""
    return text.replace("\x01", "\x01\x02").replace("\0", "\x01\x01") if "\0" in text or "\x01" in text else text


def plain(text: str) -> str:
    """The text that was `escaped`."""
    return text.replace("\x01\x01", "\0").replace("\x01\x02", "\x01") if "\x01" in text else text


def name_of(text: str, *, item: str) -> str:
    """A text that is part of a key, as it is kept. InputError, naming the item, if it is too long for that."""
    kept = escaped(text)
    if len(kept) > MAX_NAME_BYTES // 4 and len(kept.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
        raise InputError(
            f"Its name is too long for an index in PostgreSQL, which takes {MAX_NAME_BYTES:,} bytes: shorten it.",
            item=f"{item[:60]}...",
        )
    return kept


def metadata_of(facts: Mapping[str, str]) -> str:
    """Metadata as JSON; values are compared as strings, so strings they are from the start."""
    if not facts:
        return "{}"
    return json.dumps({escaped(str(name)): escaped(str(value)) for name, value in facts.items()}, ensure_ascii=False)


def facts_of(metadata: str) -> dict[str, str]:
    """What `metadata_of` was made of."""
    if metadata == "{}":
        return {}
    return {plain(name): plain(value) for name, value in json.loads(metadata).items()}


def asked_metadata(where: Filter) -> str | None:
    """The metadata of a filter, as JSON; None if it asks for none."""
    return metadata_of(where.metadata) if where.metadata else None


def item_of(row: Sequence[Any]) -> Item:
    """An item of (project, id, sha256, uri, caption, metadata)."""
    project, item_id, digest, uri, caption, metadata = row
    return Item(
        id=plain(item_id),
        content=digest.hex(),
        project=plain(project),
        uri=plain(uri),
        caption=plain(caption),
        metadata=facts_of(metadata),
    )


def text_of(query: Rows) -> str:
    """A (dim,) vector as pgvector reads it, to nine digits: more than float32 has."""
    return f"[{','.join([f'{value:.9g}' for value in query.tolist()])}]"


def halved(rows: Rows) -> Halves:
    """(n, dim) float32 rounded to half precision, in the order of bytes that goes over the line."""
    return rows.astype(">f2")


def copied(space: int, numbers: Sequence[int], rows: Halves) -> tuple[bytes, memoryview, bytes]:
    """The (n, dim) vectors of these contents as binary COPY takes them for columns space, content and vector.

    The format: postgresql.org/docs/current/sql-copy.html, "Binary Format"; that of halfvec:
    github.com/pgvector/pgvector/blob/v0.8.1/src/halfvec.c, halfvec_recv.
    """
    dim = rows.shape[1]
    row = [("n", ">i2"), ("space_bytes", ">i4"), ("space", ">i2"), ("content_bytes", ">i4"), ("content", ">i8")]
    vector = [("vector_bytes", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("values", ">f2", (dim,))]
    table = np.zeros(len(numbers), np.dtype(row + vector))
    table["n"] = 3
    table["space_bytes"], table["space"] = 2, space
    table["content_bytes"], table["content"] = 8, numbers
    table["vector_bytes"], table["dim"], table["values"] = 4 + 2 * dim, dim, rows
    return _HEADER, table.view(np.uint8).data, _TRAILER


def rows_of(vectors: Iterable[bytes], *, dim: int) -> Rows:
    """(n, dim) float32 of halfvecs in their binary form."""
    values = np.frombuffer(b"".join(vectors), np.dtype([("head", "V4"), ("values", ">f2", (dim,))]))
    return values["values"].astype(np.float32)
