"""Pictures in a folder of the local file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lookalike.errors import ImageError, InputError, TooLarge
from lookalike.types import SourceObject

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".pnm", ".pbm", ".pgm", ".ppm", ".pam", ".jp2", ".j2k", ".jpf", ".jpx", ".avif", ".heic", ".heif"),
)
"""File names that promise a picture; whether one keeps the promise is for the image door to say."""


class FolderSource:
    """Every picture below a folder, or one picture.

    Hidden files and folders are left out (among them the ``._name.jpg`` twins that macOS leaves on other file
    systems), links to folders are not followed, and files whose name does not promise a picture are only counted.

    Attributes:
        n_other: How many files the last walk passed over because their name promises no picture.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root.expanduser()))  # noqa: PTH100  resolve() would rename linked folders
        if not self._root.exists():
            raise InputError(
                "there is no such file or folder; check the spelling, and that its drive is mounted.", item=str(root)
            )
        self.n_other = 0

    @property
    def prefix(self) -> str:
        """The folder with a closing slash, or the path of the one file."""
        path = self._root.as_posix()
        return path if self._root.is_file() or path.endswith("/") else f"{path}/"

    def objects(self) -> Iterator[SourceObject]:
        """The pictures by path, folder after folder."""
        self.n_other = 0
        if self._root.is_file():
            yield self._object(self._root)
            return
        for folder, subfolders, names in os.walk(self._root):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                if name.startswith("."):
                    continue
                if not name.lower().endswith(PICTURE_SUFFIXES):
                    self.n_other += 1
                    continue
                yield self._object(Path(folder, name))

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        """The whole file."""
        try:
            with open(obj.uri, "rb") as file:  # noqa: PTH123  Path would normalise what listing did not
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}.", item=obj.uri) from error
        if len(data) > max_bytes:
            raise TooLarge(
                f"has more than the {max_bytes:,} bytes that are allowed.",
                item=obj.uri,
                actual=max(obj.n_bytes, len(data)),
                limit=max_bytes,
            )
        return data

    def _object(self, path: Path) -> SourceObject:
        uri = path.as_posix()
        try:
            uri.encode()
        except UnicodeEncodeError:
            name = os.fsencode(uri).decode("utf-8", "backslashreplace")
            return SourceObject(uri=name, stamp="", n_bytes=0, problem="its name is not valid UTF-8; rename it.")
        try:
            status = path.stat()
        except OSError as error:
            return SourceObject(uri=uri, stamp="", n_bytes=0, problem=f"cannot be read: {error.strerror or error}.")
        if not path.is_file():
            return SourceObject(uri=uri, stamp="", n_bytes=0, problem="is not a regular file.")
        return SourceObject(uri=uri, stamp=f"{status.st_size}-{status.st_mtime_ns}", n_bytes=status.st_size)
