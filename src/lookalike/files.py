"""Files: pictures that are read within a budget, and what is kept, which appears whole or not at all."""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from lookalike.errors import ImageError, InputError, TooLarge
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


def picture_bytes(image: object, policy: ImagePolicy, *, item: str = "") -> bytes:
    """The bytes of a picture that is handed in as bytes of any kind or as a path. InputError if it is neither."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | Path):
        return read_picture(image, max_bytes=policy.max_bytes)
    kind = type(image).__name__
    raise InputError(f"is of the type {kind}: hand in the bytes of a picture's file, or its path.", item=item)


def read_picture(path: str | Path, *, max_bytes: int) -> bytes:
    """The bytes of a picture file, as far as they go while it is read.

    Raises:
        ImageError: It cannot be read, or is no file: a device has no end, and a pipe may never begin.
        TooLarge: It has more bytes than are allowed; no more than these are read.
    """
    item = str(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            is_file, n_bytes = stat.S_ISREG(status.st_mode), status.st_size
            data = file.read(max_bytes + 1) if is_file and n_bytes <= max_bytes else b""
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}.", item=item) from error
    except ValueError as error:  # a zero byte, half a character
        raise ImageError(f"cannot be read: no file can have such a name ({error}).", item=item) from error
    if not is_file:
        raise ImageError("is a pipe, a device or the like: hand in a file, or the bytes of one.", item=item)
    n_bytes = max(n_bytes, len(data))  # it may have grown since
    if n_bytes > max_bytes:
        raise TooLarge(f"has {n_bytes:,} bytes; {max_bytes:,} are allowed.", item=item, actual=n_bytes, limit=max_bytes)
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe would wait for a writer, for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
