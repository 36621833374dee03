"""Pictures that were handed in as bytes, kept by the sha256 of what they are: in a folder, or in a bucket."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from lookalike.errors import Refused, StoreError, StoreFull, StoreReadOnly
from lookalike.image import media_type
from lookalike.sources.bucket import BucketClient
from lookalike.sources.folder import uri_of

SUFFIXES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "image/x-portable-anymap": "pnm",
    "image/jp2": "jp2",
    "image/avif": "avif",
    "image/heic": "heic",
}
"""By kind what the name of such a file ends in, so that a folder or bucket of them can be indexed as any other."""

UNKNOWN = "application/octet-stream"


class FolderKeeper:
    """ports.PictureKeeper in a folder, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, data: bytes, *, content: str) -> str:
        """Keep a picture. It is whole and on the disk when this returns.

        Raises:
            StoreFull: The disk is full.
            StoreReadOnly: The folder cannot be written by this user.
            StoreError: The disk failed.
        """
        path = self._folder / _name(data, content)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            if not _is_there(path, len(data)):
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync(self._folder)
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
                _sync(path.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise _translated(error, self._folder) from error
        return uri_of(path)


class BucketKeeper:
    """ports.PictureKeeper in a bucket, or below a prefix of one ("s3://bucket/uploads/")."""

    def __init__(self, prefix: str, buckets: BucketClient) -> None:
        self._prefix = f"{prefix.rstrip('/')}/"
        self._buckets = buckets

    def keep(self, data: bytes, *, content: str) -> str:
        """Keep a picture. The bucket has it when this returns; errors as `BucketClient` has them."""
        uri = f"{self._prefix}{_name(data, content)}"
        if not self._has(uri, len(data)):
            self._buckets.write(uri, data, media_type=media_type(data) or UNKNOWN)
        return uri

    def _has(self, uri: str, n_bytes: int) -> bool:
        try:
            kept = self._buckets.look(uri)
        except Refused:  # so S3 answers a key that may not list, where there is nothing; it may write nevertheless
            return False
        return kept is not None and kept.n_bytes == n_bytes


def _name(data: bytes, content: str) -> str:
    """Two letters make a folder, so that none gets too large."""
    suffix = SUFFIXES.get(media_type(data) or "", "bin")
    return f"{content[:2]}/{content}.{suffix}"


def _is_there(path: Path, n_bytes: int) -> bool:
    try:
        return path.stat().st_size == n_bytes
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk; Windows has no such thing, and needs none."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _translated(error: OSError, folder: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(f"The disk of {folder} is full: make room, and hand the picture in again.", store=str(folder))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(f"{folder}, where pictures are kept, cannot be written by this user.", store=str(folder))
    reason = error.strerror or error
    return StoreError(f"{folder}, where pictures are kept, cannot be written: {reason}.", store=str(folder))
