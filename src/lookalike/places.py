"""Where an index is: a folder, or a database."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from lookalike.errors import ConfigError
from lookalike.secret import Secret

SCHEMES = ("postgresql://", "postgres://")

_FOREIGN = re.compile(r"://|^\s*(postgres(ql)?:|(host|hostaddr|port|dbname|user|password|service)\s*=)", re.IGNORECASE)
"""What other libraries and libpq take for the address of a database."""

ITEMS_FILE = "items.sqlite"
SPACES_FILE = "spaces.json"
"""One of the two is in every folder that has an index; the first is gone where the first space was dropped."""


class Address(Secret):
    """The address of a PostgreSQL database, shown without user, password and settings; `reveal` gives out all of it.

    "postgresql://host/database#customer_photos" means a table there that was attached.
    """

    __slots__ = ()

    @property
    def table(self) -> str:
        """The attached table that is meant; empty for the database's own index."""
        return unquote(self._parts()[1])

    @property
    def database(self) -> Address:
        """The database alone, as its client reads it."""
        return Address(self._parts()[0])

    def at(self, table: str) -> Address:
        """An attached table of this database."""
        return Address(f"{self._parts()[0]}#{quote(table, safe='.')}")

    def __str__(self) -> str:
        database, table = self._parts()
        rest = database.partition("://")[2]
        head = rest.partition("?")[0]
        # A password that should have been quoted may hold any of these signs.
        shown = "" if "@" in rest and "@" not in head else head.rpartition("@")[2]
        return f"{SCHEMES[0]}{shown}#{table}" if table else f"{SCHEMES[0]}{shown}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def _parts(self) -> tuple[str, str]:
        """What stands before the last "#" and after it, where that can be no part of a password."""
        before, mark, table = self.reveal().rpartition("#")
        if not mark or set(table) & set("@/?=&:") or "password=" in before:
            return self.reveal(), ""
        return before, table


Place = Path | Address
"""Of an index."""


def holds_index(folder: Path) -> bool:
    """Whether there is an index in this folder, of whatever state."""
    return (folder / ITEMS_FILE).exists() or (folder / SPACES_FILE).exists()


def place_of(text: str | Place) -> Place:
    """The folder that a text means, or for "postgresql://user:password@host/database" the database.

    Raises:
        ConfigError: It is an address, and not of that form; as a folder it would have the password for its name.
    """
    if not isinstance(text, str):
        return text
    if address := address_of(text):
        return address
    if _FOREIGN.search(text):
        raise ConfigError(
            "The address of a database is written postgresql://user:password@host/database, in small letters. This one "
            "is not, and is not repeated, since a password may be in it."
        )
    return Path(text)


def address_of(text: str) -> Address | None:
    """The database that a text means; None if that is something else, such as a database of another make."""
    return Address(text) if text.startswith(SCHEMES) else None
