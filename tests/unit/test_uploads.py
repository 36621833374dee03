"""Pictures that were handed in as bytes: kept by what they are, once, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lookalike.config import Config
from lookalike.errors import ProviderError, StoreError, StoreFull, StoreReadOnly
from lookalike.orders import PictureKeeper
from lookalike.sources.folder import FolderSource
from lookalike.sources.uploads import BucketKeeper, FolderKeeper
from lookalike.transfer import open_keeper, open_pictures
from tests.buckets import Bucket
from tests.pictures import noise, picture

JPEG = picture("red", kind="JPEG")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "uploads")
    bucket: Bucket = request.getfixturevalue("bucket")
    return f"{bucket.place}uploads"


@pytest.fixture
def config(place: str, request: pytest.FixtureRequest) -> Config:
    is_bucket = place.startswith("s3://")
    variables = request.getfixturevalue("bucket").variables if is_bucket else {}
    return Config.from_environ({"LOOKALIKE_UPLOADS": place, "LOOKALIKE_CACHE_DIR": "/nowhere", **variables})


def kept(config: Config) -> PictureKeeper:
    keeper = open_keeper(config)
    assert keeper is not None
    return keeper


def test_what_is_kept_is_read_by_its_uri(config: Config, place: str) -> None:
    """The name is the sha256 and the kind of the bytes, whatever they were called where they came from."""
    uri = kept(config).keep(JPEG, content=digest(JPEG))
    assert uri == f"{place}/{digest(JPEG)[:2]}/{digest(JPEG)}.jpg"
    assert open_pictures(config).read(uri, max_bytes=len(JPEG)) == JPEG


def test_equal_bytes_are_kept_once(config: Config) -> None:
    """Handed in again, also by several threads at once, it is the same object."""
    keeper, data = kept(config), noise(1)
    with ThreadPoolExecutor(8) as pool:
        uris = set(pool.map(lambda _: keeper.keep(data, content=digest(data)), range(16)))
    assert len(uris) == 1
    assert open_pictures(config).read(uris.pop(), max_bytes=1 << 20) == data


def test_what_is_kept_twice_is_written_once(tmp_path: Path) -> None:
    """The file that is there already is left as it is."""
    keeper = FolderKeeper(tmp_path)
    path = Path(keeper.keep(JPEG, content=digest(JPEG)))
    before = path.stat()
    assert keeper.keep(JPEG, content=digest(JPEG)) == path.as_posix()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_half_a_file_is_replaced(tmp_path: Path) -> None:
    """What a crash of the machine left behind is not taken for the picture."""
    keeper = FolderKeeper(tmp_path)
    path = Path(keeper.keep(JPEG, content=digest(JPEG)))
    path.write_bytes(JPEG[:10])
    keeper.keep(JPEG, content=digest(JPEG))
    assert path.read_bytes() == JPEG


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so, and no part of a picture is found by whoever indexes the folder."""

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="full: make room"):
        FolderKeeper(tmp_path).keep(JPEG, content=digest(JPEG))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_place_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """A file in the place of the folder, or below it, is told."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        FolderKeeper(tmp_path / "file" / "uploads").keep(JPEG, content=digest(JPEG))


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error, since making room would not help."""

    def refused(_path: Path, _data: object = None, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreReadOnly):
        FolderKeeper(tmp_path / "uploads").keep(JPEG, content=digest(JPEG))


def test_kept_pictures_can_be_indexed_as_a_folder(tmp_path: Path) -> None:
    """Their names promise pictures; what is still being written is hidden."""
    keeper = FolderKeeper(tmp_path)
    uris = {keeper.keep(data, content=digest(data)) for data in (JPEG, noise(1), picture("red", kind="WEBP"))}
    (tmp_path / "ab").mkdir(exist_ok=True)
    (tmp_path / "ab" / ".x.jpg.1.part").write_bytes(b"x")
    source = FolderSource(tmp_path)
    assert {obj.uri for obj in source.objects()} == uris


def test_a_bucket_that_is_not_there_is_told(bucket: Bucket) -> None:
    """Nothing is kept, and the order must not be taken."""
    with pytest.raises(ProviderError, match="There is no bucket s3://nowhere"):
        BucketKeeper("s3://nowhere/uploads", bucket.client).keep(JPEG, content=digest(JPEG))


def test_where_nothing_is_said_the_index_has_a_folder_for_them() -> None:
    """An index in a folder keeps them there; one in a database has no place of its own."""
    embedded = Config.from_environ({"LOOKALIKE_INDEX": "/photos.lookalike", "LOOKALIKE_CACHE_DIR": "/nowhere"})
    production = Config.from_environ({"LOOKALIKE_INDEX": "postgresql://me@host/a", "LOOKALIKE_CACHE_DIR": "/nowhere"})
    assert isinstance(open_keeper(embedded), FolderKeeper)
    assert open_keeper(production) is None
