"""Where an index is: a folder, or a database."""

from __future__ import annotations

from pathlib import Path

from lookalike.secret import Secret

SCHEMES = ("postgresql://", "postgres://")


class Address(Secret):
    """The address of a PostgreSQL database, shown without user, password and settings; `reveal` gives out all of it."""

    __slots__ = ()

    def __str__(self) -> str:
        rest = self.reveal().partition("://")[2]
        head = rest.partition("?")[0]
        # A password that should have been quoted may hold any of these signs.
        shown = "" if "@" in rest and "@" not in head else head.rpartition("@")[2]
        return f"{SCHEMES[0]}{shown}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


Place = Path | Address
"""Of an index."""


def place_of(text: str | Place) -> Place:
    """The folder, or for "postgresql://user:password@host/database" the database, that a text means."""
    if isinstance(text, str):
        return Address(text) if text.startswith(SCHEMES) else Path(text)
    return text
