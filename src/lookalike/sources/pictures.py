"""Pictures by what an index or a table calls them: files of this machine, objects of buckets, URLs where allowed."""

from __future__ import annotations

import hashlib
import re
import stat
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lookalike.errors import ImageError, InputError
from lookalike.files import read_picture
from lookalike.sources.bucket import BucketClient
from lookalike.sources.folder import stamp_of, uri_of
from lookalike.sources.objects import ObjectName
from lookalike.sources.url import UrlReader
from lookalike.types import SourceObject

URL_TIMEOUT_S = 20.0

SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+:"
"""What a uri begins with that is no path; two letters at least, since "C:" is a drive."""


class PictureFinder:
    """tables.Pictures: where a table or an index says that they are.

    Args:
        root: The folder that relative paths start from; or a bucket, or a part of one ("s3://photos/2026/"). Below a
            bucket nothing else is read: neither files of this machine nor other buckets, since rows are often written
            by strangers.
        urls: Fetches what is named by http or https; None if nothing is to be fetched.
        buckets: Reads objects of buckets; None if there are none to be read.
    """

    def __init__(
        self, root: Path | ObjectName, urls: UrlReader | None = None, buckets: BucketClient | None = None
    ) -> None:
        self._root = root
        self._urls = urls
        self._buckets = buckets

    def find(self, uri: str) -> SourceObject | None:
        """The file of this machine that is meant, as a folder's listing would have it; None if there is none."""
        path = self._path(uri)
        if path is None:
            return None
        try:
            place = uri_of(path)
            status = Path(place).stat()
        except (OSError, ValueError, InputError):  # ValueError: no file can have such a name
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return SourceObject(uri=place, stamp=stamp_of(status), n_bytes=status.st_size)

    def digest(self, obj: SourceObject) -> str:
        """sha256 (hex) of a file's bytes. ImageError if it cannot be read."""
        try:
            with Path(obj.uri).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}.", item=obj.uri) from error

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """The bytes of a picture.

        Raises:
            InputError: It is nowhere, must not be read, or cannot be.
            ProviderError: Its host or bucket failed.
        """
        if not uri:
            raise InputError("nothing says where its picture is.")
        if _is_url(uri):
            return self._fetched(uri, max_bytes)
        if isinstance(self._root, ObjectName):
            uri = self.place(uri)
        if ObjectName.of(uri) is not None:
            if self._buckets is None:
                raise InputError("is in a bucket, and none is read.", item=uri)
            return self._buckets.read(uri, max_bytes=max_bytes)
        path = self._path(uri)
        if path is None:
            raise InputError("is not on this machine, and is not fetched.", item=uri)
        obj = self.find(uri)
        if obj is None:
            raise ImageError(f"there is no file {path}.", item=uri)
        return read_picture(Path(obj.uri), max_bytes=max_bytes)

    def full(self, uri: str) -> str:
        """A uri as it is, or below a bucket as root with that before it."""
        is_below = isinstance(self._root, ObjectName) and uri and not re.match(SCHEME, uri)
        return f"{self._root}{uri.lstrip('/')}" if is_below else uri

    def place(self, uri: str) -> str:
        """Where a picture is, in full, for what strangers wrote: a URL, or something below the root.

        Raises:
            InputError: It is outside of the root.
        """
        if _is_url(uri):
            return uri
        if isinstance(self._root, ObjectName):
            start, place = str(self._root), self.full(uri)
        else:
            path = self._path(uri)
            start, place = f"{uri_of(self._root).rstrip('/')}/", uri if path is None else uri_of(path)
        if not place.startswith(start):
            raise InputError(f"is outside of {start}, and is not read.", item=uri)
        return place

    def _fetched(self, url: str, max_bytes: int) -> bytes:
        if self._urls is None:
            raise InputError("is not on this machine, and is not fetched.", item=url)
        return self._urls.read(url, max_bytes=max_bytes, deadline=time.monotonic() + URL_TIMEOUT_S)

    def _path(self, uri: str) -> Path | None:
        if isinstance(self._root, ObjectName):
            return None
        if uri.lower().startswith("file://"):
            return Path(unquote(urlsplit(uri).path))
        return None if not uri or re.match(SCHEME, uri) else self._root / uri


def _is_url(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))
