"""Statements by name, from the `.sql` files of a package; and names that are put into them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib.resources import files


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
