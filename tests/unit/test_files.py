"""Pictures that are read from paths: within their budget, and never for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import ImageError, TooLarge
from lookalike.files import read_picture
from lookalike.sources.folder import FolderSource
from lookalike.types import SourceObject


def test_a_file_is_read_within_its_budget(tmp_path: Path) -> None:
    """A file of as many bytes as are allowed is read, by a path or a text; one more is too large."""
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    assert read_picture(path, max_bytes=5) == read_picture(str(path), max_bytes=5) == b"12345"
    with pytest.raises(TooLarge, match=r"a\.png: has 5 bytes; 4 are allowed") as caught:
        read_picture(path, max_bytes=4)
    assert (caught.value.actual, caught.value.limit) == (5, 4)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no file here that does not know its size")
def test_the_bytes_that_are_read_count() -> None:
    """A file that has more bytes than the system said, as one that grows meanwhile, is too large all the same."""
    path = Path("/proc/self/maps")
    assert path.stat().st_size == 0
    with pytest.raises(TooLarge):
        read_picture(path, max_bytes=9)


def test_what_has_no_end_or_no_beginning_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe that nobody writes to and a device are no files, also where a listing had shown one in their place."""
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    listed = SourceObject(uri=str(pipe), stamp="1", n_bytes=5)
    with pytest.raises(ImageError, match=r"pipe\.jpg: is a pipe, a device or the like"):
        FolderSource(tmp_path).read(listed, max_bytes=9)
    for path in (pipe, "/dev/zero"):
        with pytest.raises(ImageError, match="hand in a file"):
            read_picture(path, max_bytes=9)


@pytest.mark.parametrize("name", ["", "none.jpg", "a\0b.jpg", "\ud800.jpg", "x" * 5000], ids=ascii)
def test_what_cannot_be_opened_is_an_error_of_the_picture(tmp_path: Path, name: str) -> None:
    """A folder, a file that is not there and a name that no file can have are errors that name them."""
    with pytest.raises(ImageError, match="cannot be read: ") as caught:
        read_picture(f"{tmp_path}/{name}", max_bytes=9)
    assert caught.value.item == f"{tmp_path}/{name}"
