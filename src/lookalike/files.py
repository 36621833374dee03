"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path


def keep(path: Path, data: bytes) -> None:
    """Keep bytes for the next time; a cache that cannot be written costs time, not the answer."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
