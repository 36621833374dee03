"""Folders as a source: what counts as a picture, what is told instead of lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.errors import ImageError, InputError, TooLarge
from lookalike.sources.folder import FolderSource, uri_of
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
    path = write(tmp_path, {"a.png": bytes(100)}) / "a.png"
    (obj,) = FolderSource(tmp_path).objects()
    path.unlink()  # whoever opened it would say that it is not there
    with pytest.raises(TooLarge) as caught:
        FolderSource(tmp_path).read(obj, max_bytes=99)
    assert (caught.value.actual, caught.value.limit) == (100, 99)


def test_a_file_that_grew_is_over_the_budget_too(tmp_path: Path) -> None:
    """What counts is what is there when it is read, not only what the listing said."""
    path = write(tmp_path, {"a.png": bytes(99)}) / "a.png"
    (obj,) = FolderSource(tmp_path).objects()
    path.write_bytes(bytes(200))
    with pytest.raises(TooLarge) as caught:
        FolderSource(tmp_path).read(obj, max_bytes=99)
    assert (caught.value.actual, caught.value.limit) == (200, 99)


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


def test_a_folder_whose_path_is_not_text_is_refused_at_once(tmp_path: Path) -> None:
    """No item below it could be stored: better to say so before the work than after."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    root.mkdir()
    with pytest.raises(InputError, match=r"caf\\xe9: its path is not valid UTF-8"):
        FolderSource(root)


@pytest.mark.parametrize("place", ["~nosuchuser", "~nosuchuser/photos"])
def test_the_home_of_nobody_is_an_error(place: str) -> None:
    """A user who does not exist has no home folder."""
    with pytest.raises(InputError, match="without '~'"):
        FolderSource(Path(place))


@pytest.mark.parametrize("path", ["photos/../photos/a.png", "./photos/a.png", "photos//a.png", "~/photos/a.png"])
def test_every_way_to_write_a_path_is_one_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """What the listing calls a file is what `uri_of` makes of any path that leads to it."""
    write(tmp_path, {"photos/a.png": b"x"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (obj,) = FolderSource(Path("photos")).objects()
    assert uri_of(Path(path)) == obj.uri == (tmp_path / "photos" / "a.png").as_posix()


@pytest.mark.skipif(os.name != "posix", reason="two slashes begin the name of a network drive here")
def test_two_slashes_at_the_start_are_one(tmp_path: Path) -> None:
    """A path that was put together carelessly is no second copy of every picture."""
    assert uri_of(Path(f"/{tmp_path}")) == FolderSource(Path(f"/{tmp_path}")).prefix[:-1] == tmp_path.as_posix()


LISTING = """if True:
    import json, os, sys
    from pathlib import Path
    from lookalike.sources.folder import FolderSource
    sources = [FolderSource(Path(place)) for place in sys.argv[1:]]
    if os.getuid() == 0:
        os.setgroups([])
        os.setuid(65534)
    told = [[[obj.uri, obj.problem] for obj in source.objects()] for source in sources]
    print(json.dumps([told, [source.unsure() for source in sources]]))
"""


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """It is an object with a problem, and a place of which the listing says that it does not know."""
    write(tmp_path, {"b/locked/x.png": b"x", "b/z.png": b"x", "c/y.png": b"x"})
    for parent in (tmp_path, *tmp_path.parents):
        if os.getuid() == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)  # pytest's own folders are for their owner alone
    locked = tmp_path / "b" / "locked"
    locked.chmod(0)
    try:
        places = [str(tmp_path), str(locked)]
        done = subprocess.run([sys.executable, "-c", LISTING, *places], check=True, capture_output=True, text=True)
    finally:
        locked.chmod(0o700)
    (whole, alone), unsure = json.loads(done.stdout)
    refused = [f"{locked.as_posix()}/", "cannot be listed: Permission denied."]
    assert refused in whole and [refused] == alone
    assert [Path(uri).name for uri, problem in whole if not problem] == ["z.png", "y.png"]
    assert unsure == [[refused[0]], [refused[0]]]


def test_a_folder_that_holds_nothing_is_doubted(tmp_path: Path) -> None:
    """That is what an unmounted drive looks like; a folder with any file or folder in it, hidden or not, is there."""
    write(tmp_path, {"hidden/.nomedia": b"", "text/a.txt": b"x", "a.png": b"x"})
    for name in ("drive", "text/sub/drive", "drive2/.git"):
        (tmp_path / name).mkdir(parents=True)
    source = FolderSource(tmp_path)
    for _ in range(2):
        assert names(source, tmp_path) == ["a.png"]
        assert [os.path.relpath(prefix, tmp_path) for prefix in source.unsure()] == ["drive", "text/sub/drive"]
        assert all(prefix.endswith("/") for prefix in source.unsure())
    root = FolderSource(tmp_path / "drive")
    assert not list(root.objects())
    assert list(root.unsure()) == [root.prefix]


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
