"""The picture of an item as it was indexed: a file of this machine, an object of a bucket, or what a URL leads to."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from hashlib import file_digest, sha256
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

from lookalike.errors import InputError, PictureGone, TooLarge
from lookalike.image import media_type
from lookalike.sources.objects import ObjectName
from lookalike.tables import Pictures
from lookalike.types import Item

HEAD_BYTES = 512
"""The beginning of a file, from which its kind is known."""


@dataclass(frozen=True, slots=True)
class Original:
    """The picture of an item, found to be what was indexed.

    Attributes:
        file: Open, at its start; whoever has it closes it. What came from elsewhere is in memory.
        n_bytes: Its length.
        kind: Its content type.
    """

    file: BinaryIO
    n_bytes: int
    kind: str


def is_served(uri: str, *, with_urls: bool) -> bool:
    """Whether a picture that lies there can be shown: a file, an object, and where URLs are fetched, a URL."""
    is_url = uri.lower().startswith(("http://", "https://"))
    return Path(uri).is_absolute() or ObjectName.of(uri) is not None or (with_urls and is_url)


def open_original(item: Item, pictures: Pictures, *, max_bytes: int) -> Original:
    """The picture of an item, as it was indexed.

    Args:
        item: Which.
        pictures: Reads what is not a file of this machine.
        max_bytes: The largest that is read.

    Raises:
        PictureGone: It cannot be read from here, is not there any more, or another one by now.
        TooLarge: It is larger than what is indexed.
        ProviderError: Its bucket or host failed.
    """
    if not Path(item.uri).is_absolute():
        return _from_elsewhere(item, pictures, max_bytes)
    try:
        file = open(item.uri, "rb", opener=_unblocked)  # noqa: SIM115  its opener; whoever asked closes it
    except (OSError, ValueError) as error:
        raise _unreadable(item, error) from error
    try:
        return _checked(file, item, max_bytes)
    except OSError as error:
        file.close()
        raise _unreadable(item, error) from error
    except BaseException:
        file.close()
        raise


def read_original(item: Item, pictures: Pictures, *, max_bytes: int) -> bytes:
    """The bytes of that picture; errors as `open_original`."""
    with open_original(item, pictures, max_bytes=max_bytes).file as file:
        return file.read()


def _from_elsewhere(item: Item, pictures: Pictures, max_bytes: int) -> Original:
    if not is_served(item.uri, with_urls=True):
        raise PictureGone(f"The picture of {item.id!r} is not a file of this machine.")
    try:
        data = pictures.read(item.uri, max_bytes=max_bytes)
    except TooLarge:
        raise
    except InputError as error:
        raise PictureGone(f"The picture of {item.id!r} cannot be read: it {error.reason}") from error
    if sha256(data).hexdigest() != item.content:
        raise _changed(item)
    return Original(BytesIO(data), len(data), _kind(data))


def _unblocked(path: str, flags: int) -> int:
    # Not to be held up by a pipe that somebody put in the place of the file.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _unreadable(item: Item, error: Exception) -> PictureGone:
    reason = getattr(error, "strerror", None) or "it has no valid name"
    return PictureGone(f"The file of {item.id!r} cannot be read: {reason}.")


def _checked(file: BufferedReader, item: Item, max_bytes: int) -> Original:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise PictureGone(f"In the place of the picture of {item.id!r} is something that is no file.")
    if status.st_size > max_bytes:
        raise TooLarge(f"has more than {max_bytes:,} bytes.", item=item.id, actual=status.st_size, limit=max_bytes)
    kind = _kind(file.read(HEAD_BYTES))
    file.seek(0)
    if file_digest(file, "sha256").hexdigest() != item.content:
        raise _changed(item)
    file.seek(0)
    return Original(file, status.st_size, kind)


def _kind(head: bytes) -> str:
    return media_type(head) or "application/octet-stream"


def _changed(item: Item) -> PictureGone:
    return PictureGone(f"The picture of {item.id!r} has changed since it was indexed: index its place again.")
