"""What PostgreSQL says when it refuses, told once in the store's own errors."""

from __future__ import annotations

from lookalike.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreNotFound,
    StoreReadOnly,
    StoreUnavailable,
)
from lookalike.postgres import LOST, UNREACHABLE

# The codes: postgresql.org/docs/current/errcodes-appendix.html
_FULL = {"53100"}
_DENIED = {"42501", "25006"}
_TIMED_OUT = {"57014"}
_BUSY = {"55P03", "40P01", "40001"}
_GONE = {UNREACHABLE, LOST, "57P01", "57P02", "57P03", "53300"}
_NO_PGVECTOR = {"0A000", "58P01", "42704"}
_NOT_OURS = {"42P01", "3F000", "42703", "42704", "42883"}


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
    if code in _GONE:
        sentence = f"{place} cannot be reached now, or has no room for another connection ({reason}). Try again."
        return StoreUnavailable(sentence, store=place)
    if code in _NO_PGVECTOR and "vec" in reason:
        sentence = (
            f"{place} has no pgvector of version 0.8 or later where this user finds it ({reason}): install it on the "
            "server, or add its schema to the search_path."
        )
        return StoreError(sentence, store=place)
    if code in _NOT_OURS:
        sentence = (
            f"The index in {place} lacks something that was there ({reason}): restore its tables from a backup, or "
            "drop them all and index the pictures again."
        )
        return StoreCorrupt(sentence, store=place)
    return StoreError(f"The index in {place} failed: {reason}.", store=place)


def not_found(place: str) -> StoreNotFound:
    """The error for a database without an index."""
    return StoreNotFound(f"There is no index in {place}. Make one: lookalike index FOLDER.", store=place)
