"""Files: pictures that are read within a budget, and what is kept, which appears whole or not at all."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from lookalike.errors import ImageError, TooLarge
from lookalike.policy import ImagePolicy


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


def picture_bytes(image: bytes | str | Path, policy: ImagePolicy) -> bytes:
    """The bytes of a picture that is handed in as bytes or as a path."""
    return image if isinstance(image, bytes) else read_picture(Path(image), max_bytes=policy.max_bytes)


def read_picture(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a picture file. ImageError if it cannot be read, TooLarge before reading one that is too large."""
    try:
        n_bytes = path.stat().st_size
        if n_bytes > max_bytes:
            raise TooLarge(
                f"has {n_bytes:,} bytes; {max_bytes:,} are allowed.", item=str(path), actual=n_bytes, limit=max_bytes
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}.", item=str(path)) from error
