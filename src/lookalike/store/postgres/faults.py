"""What PostgreSQL says when it refuses, told once in the store's own errors."""

from __future__ import annotations

from lookalike.errors import StoreError, StoreFull, StoreLocked, StoreNotFound, StoreReadOnly

# The codes: postgresql.org/docs/current/errcodes-appendix.html
_FULL = {"53100"}
_DENIED = {"42501", "25006"}
_TIMED_OUT = {"57014"}
_BUSY = {"55P03", "40P01", "40001"}
_NO_TABLES = {"42P01", "3F000"}
_NO_PGVECTOR = {"0A000", "58P01", "42704"}


def failure(place: str, reason: str, code: str) -> StoreError:
    """The store's error for what the database of this place said, under this SQLSTATE ("" if it said none)."""
    if code in _FULL:
        sentence = f"No room is left on the disk of {place}. What was stored before is safe; free some space and go on."
        return StoreFull(sentence, store=place)
    if code in _DENIED:
        sentence = (
            f"{place} does not let this user do that ({reason}): use another, or have its owner run "
            "`lookalike db init` and grant the rights on its tables."
        )
        return StoreReadOnly(sentence, store=place)
    if code in _TIMED_OUT:
        sentence = f"{place} ended a statement that took too long ({reason}): raise its statement_timeout."
        return StoreError(sentence, store=place)
    if code in _BUSY:
        return StoreLocked(f"{place} is busy: others hold what this needs ({reason}). Try again.", store=place)
    if code in _NO_TABLES:
        return not_found(place)
    if code in _NO_PGVECTOR and "vector" in reason:
        sentence = f"{place} has no pgvector of version 0.8 or later ({reason}): install it on the server."
        return StoreError(sentence, store=place)
    return StoreError(f"The index in {place} failed: {reason}.", store=place)


def not_found(place: str) -> StoreNotFound:
    """The error for a database without an index."""
    return StoreNotFound(f"There is no index in {place}. Make one: lookalike index FOLDER.", store=place)
