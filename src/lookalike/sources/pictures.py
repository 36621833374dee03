"""The pictures that the rows of a table are of: files of this machine, and URLs where they may be asked."""

from __future__ import annotations

import hashlib
import re
import stat
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lookalike.errors import ImageError, InputError
from lookalike.files import read_picture
from lookalike.sources.folder import stamp_of, uri_of
from lookalike.sources.url import UrlReader
from lookalike.types import SourceObject

URL_TIMEOUT_S = 20.0


class PictureFinder:
    """tables.Pictures: where a table says that they are.

    Args:
        root: The folder that relative paths start from.
        urls: Fetches what is named by http or https; None if nothing is to be fetched.
    """

    def __init__(self, root: Path, urls: UrlReader | None = None) -> None:
        self._root = root
        self._urls = urls

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
            InputError: It is nowhere, or cannot be read.
            ProviderError: Its host failed.
        """
        obj = self.find(uri)
        if obj is not None:
            return read_picture(Path(obj.uri), max_bytes=max_bytes)
        path = self._path(uri)
        if path is not None:
            raise ImageError(f"there is no file {path}.", item=uri)
        if not uri:
            raise InputError("the table does not say where its picture is.")
        if self._urls is None or not uri.lower().startswith(("http://", "https://")):
            raise InputError("is not on this machine, and is not fetched.", item=uri)
        return self._urls.read(uri, max_bytes=max_bytes, deadline=time.monotonic() + URL_TIMEOUT_S)

    def _path(self, uri: str) -> Path | None:
        if uri.lower().startswith("file://"):
            return Path(unquote(urlsplit(uri).path))
        if not uri or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", uri):  # two letters: "C:" is a drive
            return None
        return self._root / uri
