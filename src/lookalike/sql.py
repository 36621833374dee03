"""Statements by name, from the `.sql` files of a package; names that are put into them; what SQLite means by errors."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib.resources import files

_NO_ROOM = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE"}
"""A limit on the size of files (RLIMIT_FSIZE, some network disks) reaches SQLite as a failed write. The last is of the
memory that readers and writers of a log share, a file of 32 KiB that the first of them makes."""


@functools.cache
def statements(package: str, file: str) -> Mapping[str, str]:
    """The statements of a file in which each one stands under a line `-- name --`.

    Args:
        package: The package that the file lies in, such as "lookalike.store".
        file: Its name.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = re.split(r"^-- (\w+) --$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def quoted(name: str) -> str:
    """A name as an identifier: postgresql.org/docs/current/sql-syntax-lexical.html, "quoted identifiers"."""
    return '"' + name.replace('"', '""') + '"'


def lacks_room(error: Exception) -> bool:
    """Whether an error of SQLite says that the disk is full."""
    return getattr(error, "sqlite_errorname", "") in _NO_ROOM
