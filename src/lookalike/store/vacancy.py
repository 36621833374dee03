"""Whether a folder is free for a new index: nobody's files are to lie among those of an index, or under its lock."""

from __future__ import annotations

import re
from pathlib import Path

from lookalike.errors import StoreError
from lookalike.places import ITEMS_FILE
from lookalike.store import lock
from lookalike.store.database import UNFINISHED
from lookalike.store.faults import writing

_UNFINISHED = re.compile(rf"(high|low)-1\.i8|({re.escape(ITEMS_FILE)}|{re.escape(UNFINISHED)})(-\w+)?")
"""What is left where the making of an index was ended from outside, or what another process makes just now."""

_DISK = "lost+found"
"""What a disk of its own has that is empty."""


def require_vacant(folder: Path) -> None:
    """StoreError, naming one, if there are files of somebody; hidden ones are the system's, and count as none."""
    with writing(folder):
        found = sorted(path.name for path in folder.iterdir() if not _is_nobodys(path))
    if found:
        raise StoreError(
            f"{folder} has other files, {found[0]!r} for one, and no index: nothing was written. Choose a new or an "
            "empty folder.",
            store=str(folder),
        )


def _is_nobodys(path: Path) -> bool:
    if path.name == lock.FILE:
        return lock.is_ours(path)
    return path.name.startswith(".") or path.name == _DISK or _UNFINISHED.fullmatch(path.name) is not None
