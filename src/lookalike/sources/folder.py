"""Pictures in a folder of the local file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.errors import InputError, TooLarge
from lookalike.files import read_picture
from lookalike.types import LedgerEntry, SourceObject

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".pnm", ".pbm", ".pgm", ".ppm", ".pam", ".jp2", ".j2k", ".jpf", ".jpx", ".avif", ".heic", ".heif"),
)
"""File names that promise a picture; whether one keeps the promise is for the image door to say."""


def uri_of(path: Path) -> str:
    """The uri, which is also the item id, of a file or folder: absolute, without "~" and "..", with forward slashes.

    Raises:
        InputError: It starts with "~" and a user whose home folder is not known.
    """
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise InputError(f"{error} Write the path without '~'.", item=str(path)) from error
    uri = Path(os.path.abspath(expanded)).as_posix()  # noqa: PTH100  resolve() would rename linked folders
    # POSIX lets two slashes at the start be something else; on Windows they are: a network drive.
    return uri[1:] if os.name == "posix" and uri.startswith("//") else uri


def stamp_of(status: os.stat_result) -> str:
    """What changes when a file does: its size and when it was modified."""
    return f"{status.st_size}-{status.st_mtime_ns}"


class FolderSource:
    """Every picture below a folder, or one picture.

    Hidden files and folders are left out (among them the ``._name.jpg`` twins that macOS leaves on other file
    systems), links to folders are not followed, and files whose name does not promise a picture are only counted.

    Attributes:
        n_other: How many files the last walk passed over because their name promises no picture.
    """

    def __init__(self, root: Path) -> None:
        """Look at one place.

        Raises:
            InputError: It is not there, cannot be reached, or has a name that an index cannot hold.
        """
        self._root = Path(uri_of(root))
        if not _is_text(self._root.as_posix()):
            raise InputError("its path is not valid UTF-8; rename it.", item=_as_text(str(root)))
        self._is_folder = stat.S_ISDIR(_mode(self._root, str(root)))
        self._unsure: list[str] = []
        self.n_other = 0

    @property
    def prefix(self) -> str:
        """The folder with a closing slash, or the path of the one file."""
        return _prefix(self._root) if self._is_folder else self._root.as_posix()

    @property
    def names_projects(self) -> bool:
        """Files belong to the project of the run."""
        return False

    @property
    def names_items(self) -> bool:
        """An item lies where its file is."""
        return False

    def objects(self) -> Iterator[SourceObject]:
        """The pictures by path, folder after folder; a folder that cannot be listed is an object with a problem."""
        self.n_other = 0
        self._unsure = []
        if not self._is_folder:
            yield self._object(self._root)
            return
        refused: list[OSError] = []
        for folder, subfolders, names in os.walk(self._root, onerror=refused.append):
            yield from self._told(refused)
            if not subfolders and not names:
                self._unsure.append(_prefix(Path(folder)))
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            yield from self._pictures(folder, names)
        yield from self._told(refused)

    def unsure(self) -> Sequence[str]:
        """Prefixes that the last listing cannot vouch for: folders that it could not list, or that hold nothing at all.

        The second is what the folder of a drive looks like that is not mounted.
        """
        return tuple(self._unsure)

    def has(self, entry: LedgerEntry) -> bool:
        """Whether there is such a file, of whatever name; True behind a link, since those are not followed."""
        path = Path(entry.uri)
        between = path.parents[: len(path.parents) - len(self._root.parents) - 1]
        try:
            if any(stat.S_ISLNK(folder.lstat().st_mode) for folder in reversed(between)):
                return True
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError):
            return True
        return True

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        """The whole file."""
        if obj.n_bytes > max_bytes:
            raise TooLarge(
                f"has {obj.n_bytes:,} bytes; {max_bytes:,} are allowed.",
                item=obj.uri,
                actual=obj.n_bytes,
                limit=max_bytes,
            )
        return read_picture(obj.uri, max_bytes=max_bytes)

    def _told(self, refused: list[OSError]) -> Iterator[SourceObject]:
        """An object for each folder that the walk could not list since it was last asked; empties the list."""
        for error in refused:
            uri = _prefix(Path(os.fsdecode(error.filename)))
            self._unsure.append(uri)
            yield SourceObject(uri=uri, stamp="", n_bytes=0, problem=f"cannot be listed: {error.strerror or error}.")
        refused.clear()

    def _pictures(self, folder: str, names: list[str]) -> Iterator[SourceObject]:
        for name in sorted(names):
            if name.startswith("."):
                continue
            if name.lower().endswith(PICTURE_SUFFIXES):
                yield self._object(Path(folder, name))
            else:
                self.n_other += 1

    def _object(self, path: Path) -> SourceObject:
        uri = path.as_posix()
        if not _is_text(uri):
            problem = "its name is not valid UTF-8; rename it."
            return SourceObject(uri=_as_text(uri), stamp="", n_bytes=0, problem=problem)
        try:
            status = path.stat()
        except OSError as error:
            return SourceObject(uri=uri, stamp="", n_bytes=0, problem=f"cannot be read: {error.strerror or error}.")
        if not stat.S_ISREG(status.st_mode):
            return SourceObject(uri=uri, stamp="", n_bytes=0, problem="is not a regular file.")
        return SourceObject(uri=uri, stamp=stamp_of(status), n_bytes=status.st_size)


def _mode(path: Path, name: str) -> int:
    """What kind of file is there; `name` is what the caller called it."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: no file can have such a name
        raise InputError(
            "there is no such file or folder; check the spelling, and that its drive is mounted.", item=name
        ) from error
    except OSError as error:
        raise InputError(f"cannot be reached: {error.strerror or error}.", item=name) from error


def _prefix(folder: Path) -> str:
    path = _as_text(folder.as_posix())
    return path if path.endswith("/") else f"{path}/"


def _is_text(name: str) -> bool:
    """Whether a file name, which is bytes to the system, is UTF-8 and thus fit for an index."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(name: str) -> str:
    """A file name with its bytes that are not UTF-8 written out, as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
