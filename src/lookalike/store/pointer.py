"""Which spaces a folder has, and which of them is searched: one small file that is only ever replaced as a whole.

Space 1 lies in the folder itself, space n in `spaces/<n>`. A folder without the file has one space, the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import StoreError, StoreSwitched
from lookalike.places import SPACES_FILE
from lookalike.store.faults import damaged, writing
from lookalike.store.segments import sync_folder

FOLDER = "spaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The content of the file.

    Attributes:
        current: The number of the space that is searched.
        last: The greatest number that was ever given.
        precisions: For the number of each space the precision that it is made with, empty if unknown.
    """

    current: int = 1
    last: int = 1
    precisions: Mapping[int, str] = field(default_factory=lambda: {1: ""})

    def require(self, number: int, folder: Path) -> None:
        """StoreError if there is no such space."""
        if number not in self.precisions:
            raise StoreError(f"There is no space {number} in {folder}: see `lookalike spaces list`.", store=str(folder))


def folder_of(folder: Path, number: int) -> Path:
    """Where the files of a space are."""
    return folder if number == 1 else folder / FOLDER / str(number)


def read(folder: Path) -> Pointer:
    """What the file says. StoreCorrupt if it is damaged."""
    path = folder / SPACES_FILE
    try:
        fields = json.loads(path.read_bytes())
        precisions = {int(number): str(name) for number, name in fields["precisions"].items()}
        return Pointer(current=int(fields["current"]), last=int(fields["last"]), precisions=precisions)
    except (FileNotFoundError, NotADirectoryError):
        return Pointer()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.", store=str(folder)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(path, "is damaged") from error


def write(folder: Path, pointer: Pointer) -> None:
    """Replace the file: whoever reads sees the old one or the new one, also after a power cut."""
    path = folder / SPACES_FILE
    text = json.dumps(
        {"current": pointer.current, "last": pointer.last, "precisions": dict(pointer.precisions)}, indent=1
    )
    with writing(folder):
        new = path.with_suffix(".new")
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(folder)


class Watch:
    """Says that another space is searched by now. As cheap as a look at a file's date.

    Args:
        folder: The index.
        number: The space that it was opened with.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self._seen: tuple[int, ...] | None = None

    def require(self) -> None:
        """StoreSwitched if it is so."""
        try:
            status = (self._folder / SPACES_FILE).stat()
        except OSError:  # there is none; or the index is gone, which shows elsewhere
            return
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return
        if read(self._folder).current != self._number:
            raise StoreSwitched(
                f"The index in {self._folder} was switched to another space: open it again.", store=str(self._folder)
            )
        self._seen = seen
