"""Folders as a source: what counts as a picture, what is told instead of lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import ImageError, InputError, TooLarge
from lookalike.sources.folder import FolderSource
from tests.pictures import write


def names(source: FolderSource, root: Path) -> list[str]:
    return [os.path.relpath(obj.uri, root) for obj in source.objects()]


def test_pictures_are_found_below_in_a_stable_order(tmp_path: Path) -> None:
    """Every file whose name promises a picture, whatever its case; others are counted, hidden ones left out."""
    files = ["b.JPG", "a.png", "sub/c.webp", "sub/notes.txt", ".hidden.jpg", "._a.png", ".git/x.png", "film.mp4"]
    write(tmp_path, dict.fromkeys(files, b"x"))
    source = FolderSource(tmp_path)
    assert names(source, tmp_path) == ["a.png", "b.JPG", "sub/c.webp"]
    assert source.n_other == 2
    assert names(source, tmp_path) == ["a.png", "b.JPG", "sub/c.webp"]


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    """A file given by name is taken whatever its name promises."""
    write(tmp_path, {"picture": b"x", "picture2": b"x"})
    source = FolderSource(tmp_path / "picture")
    assert names(source, tmp_path) == ["picture"]
    assert not source.prefix.endswith("/")


def test_a_place_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A typo or an unmounted drive must not look like an empty folder."""
    with pytest.raises(InputError, match="no such file or folder"):
        FolderSource(tmp_path / "nowhere")


def test_the_stamp_changes_when_the_file_does(tmp_path: Path) -> None:
    """A different size or modification time is a different stamp; reading changes nothing."""
    path = write(tmp_path, {"a.png": b"one"}) / "a.png"
    (before,) = FolderSource(tmp_path).objects()
    assert FolderSource(tmp_path).read(before, max_bytes=3) == b"one"
    assert next(FolderSource(tmp_path).objects()) == before
    os.utime(path, ns=(1, 1))
    (touched,) = FolderSource(tmp_path).objects()
    assert touched.stamp != before.stamp


def test_reading_stops_at_the_budget(tmp_path: Path) -> None:
    """A file over the budget is refused without being read whole."""
    write(tmp_path, {"a.png": bytes(100)})
    (obj,) = FolderSource(tmp_path).objects()
    with pytest.raises(TooLarge) as caught:
        FolderSource(tmp_path).read(obj, max_bytes=99)
    assert (caught.value.actual, caught.value.limit) == (100, 99)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A broken link, a folder named like a picture's file, a file that vanished."""
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    write(tmp_path, {"vanishing.png": b"x"})
    link, pipe, vanishing = FolderSource(tmp_path).objects()
    assert "cannot be read" in link.problem
    assert "not a regular file" in pipe.problem
    (tmp_path / "vanishing.png").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        FolderSource(tmp_path).read(vanishing, max_bytes=10)


def test_a_name_that_is_not_text_is_told(tmp_path: Path) -> None:
    """An index cannot hold such a name; the picture is listed with the remedy, not dropped."""
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))).write_bytes(b"x")
    (obj,) = FolderSource(tmp_path).objects()
    assert obj.uri.endswith(r"caf\xe9.png")
    assert "rename" in obj.problem


def test_links_to_files_are_followed_and_to_folders_not(tmp_path: Path) -> None:
    """A link to a folder can lead round in a circle."""
    write(tmp_path, {"real/a.png": b"x"})
    (tmp_path / "b.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "circle").symlink_to(tmp_path)
    assert names(FolderSource(tmp_path), tmp_path) == ["b.png", "real/a.png"]


def test_prefix_is_of_this_folder_alone(tmp_path: Path) -> None:
    """The prefix of "photos" does not match "photos2"."""
    (tmp_path / "photos").mkdir()
    assert FolderSource(tmp_path / "photos").prefix == f"{tmp_path.as_posix()}/photos/"
