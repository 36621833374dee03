"""Files of equal rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import StoreCorrupt, StoreFull, StoreReadOnly
from lookalike.store.segments import HEADER_BYTES, Segment
from lookalike.vectors import Codes


def codes(n: int, *, width: int = 6, seed: int = 0) -> Codes:
    """Random rows of bytes."""
    return np.random.default_rng(seed).integers(-128, 128, (n, width), np.int8)


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    """An empty segment."""
    segment = Segment(tmp_path / "rows.i8", width=6, identity=3)
    segment.create()
    return segment


def test_rows_are_read_as_written(segment: Segment) -> None:
    """Batches follow each other; only as many rows are seen as are asked for."""
    rows = codes(10)
    segment.write(0, rows[:4])
    segment.write(4, rows[4:])
    np.testing.assert_array_equal(segment.read(10), rows)
    np.testing.assert_array_equal(segment.read(4), rows[:4])
    assert segment.read(0).shape == (0, 6)


def test_the_rest_of_a_lost_batch_is_written_over(segment: Segment) -> None:
    """Rows that never came to count leave no trace in those that do."""
    kept, lost, new = codes(3), codes(5, seed=1), codes(2, seed=2)
    segment.write(0, kept)
    segment.write(3, lost)
    segment.write(3, new)
    np.testing.assert_array_equal(segment.read(5), np.concatenate([kept, new]))


def test_a_selection_is_written_in_its_own_order(segment: Segment) -> None:
    """Rows that do not lie together in memory are written as they are numbered."""
    rows = codes(10)
    segment.write(0, rows[::-2])
    np.testing.assert_array_equal(segment.read(5), rows[::-2])


def test_what_was_mapped_stays_when_the_file_goes(segment: Segment) -> None:
    """A reader keeps its rows though the file is removed and a new one takes its name."""
    rows = codes(4)
    segment.write(0, rows)
    mapped = segment.read(4)
    segment.path.unlink()
    segment.create()
    np.testing.assert_array_equal(mapped, rows)


def test_a_file_cut_short_is_refused(segment: Segment) -> None:
    """Fewer bytes than the rows that count is StoreCorrupt, with both sizes; a missing file is the caller's matter."""
    segment.write(0, codes(4))
    with pytest.raises(StoreCorrupt, match=f"has {HEADER_BYTES + 24} bytes of {HEADER_BYTES + 30}"):
        segment.read(5)
    segment.path.unlink()
    with pytest.raises(FileNotFoundError):
        segment.read(1)


@pytest.mark.parametrize("other", [{"width": 7, "identity": 3}, {"width": 6, "identity": 4}])
def test_a_file_of_another_kind_is_refused(segment: Segment, other: dict[str, int]) -> None:
    """Rows of another width or identity are not read as if they were ours."""
    segment.write(0, codes(20))
    with pytest.raises(StoreCorrupt, match="does not begin"):
        Segment(segment.path, **other).read(1)


def test_a_device_without_room_is_a_full_disk() -> None:
    """ENOSPC from the system becomes StoreFull."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(StoreFull):
        Segment(Path("/dev/full"), width=6, identity=1).write(0, codes(3))


def test_a_folder_that_cannot_be_written_is_read_only() -> None:
    """A file system that takes no files at all becomes StoreReadOnly."""
    if not Path("/sys").exists():
        pytest.skip("this system has no /sys")
    with pytest.raises(StoreReadOnly):
        Segment(Path("/sys/rows.i8"), width=6, identity=1).create()
