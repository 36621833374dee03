"""Files that can be made again: the folder has a size, and what nobody asked for goes first."""

from __future__ import annotations

import os
from pathlib import Path

from lookalike.http.kept import Kept


def put(kept: Kept, folder: Path, name: str, *, n_bytes: int, at_s: int) -> None:
    """Keep something as if it were done at that time."""
    kept.put(name, b"x" * n_bytes)
    if (folder / name).exists():
        os.utime(folder / name, (at_s, at_s))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_nobody_asked_for_goes_first(tmp_path: Path) -> None:
    """Over its size a folder loses what was read or kept longest ago, until a fifth of it is free."""
    kept = Kept(tmp_path, max_bytes=100)
    for number in range(10):
        put(kept, tmp_path, f"a/{number}", n_bytes=10, at_s=1000 + number)
    assert len(names(tmp_path)) == 10
    assert kept.get("a/0") == b"x" * 10
    kept.put("b/new", b"y" * 10)
    assert names(tmp_path) == ["a/0", *(f"a/{number}" for number in range(4, 10)), "b/new"]
    assert kept.get("a/1") is None


def test_what_was_there_before_counts(tmp_path: Path) -> None:
    """A process finds what earlier ones kept, and the halves that they left."""
    put(Kept(tmp_path, max_bytes=100), tmp_path, "old", n_bytes=90, at_s=1000)
    (tmp_path / "old.1f.part").write_bytes(b"x" * 60)
    os.utime(tmp_path / "old.1f.part", (999, 999))
    Kept(tmp_path, max_bytes=100).put("new", b"x" * 5)
    assert names(tmp_path) == ["new"]


def test_what_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    """Nor does it make the folder larger than it may be."""
    kept = Kept(tmp_path, max_bytes=100)
    kept.put("large", b"x" * 101)
    assert kept.get("large") is None


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    """And is no error."""
    (tmp_path / "file").touch()
    kept = Kept(tmp_path / "file", max_bytes=100)
    kept.put("a", b"x")
    assert kept.get("a") is None
