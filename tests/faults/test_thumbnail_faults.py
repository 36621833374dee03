"""The process that decodes for thumbnails: killed, stopped, out of memory, orphaned. Real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lookalike.errors import HarmfulInput, ImageError
from lookalike.http.thumbnails import Thumbnails
from lookalike.image import ImagePolicy
from tests.pictures import noise, picture

LATER_S = 20.0


@pytest.fixture
def thumbnails(tmp_path: Path) -> Iterator[Thumbnails]:
    maker = Thumbnails(tmp_path / "thumbnails", ImagePolicy(), stall_s=0.5)
    yield maker
    maker.close()
    assert not children()


def children() -> list[BaseProcess]:
    """The decoding processes of this one."""
    return [child for child in multiprocessing.active_children() if child.name == "lookalike-thumbnails"]


def make(maker: Thumbnails, number: int) -> bytes:
    return maker.make(lambda: noise(number), f"{number:064x}", 64, item=f"n{number}")


def test_a_child_that_died_between_pictures_is_replaced_without_blame(thumbnails: Thumbnails) -> None:
    """The next picture is made by another child."""
    make(thumbnails, 1)
    (first,) = children()
    first.kill()
    first.join(LATER_S)
    assert make(thumbnails, 2)
    (second,) = children()
    assert second.pid != first.pid


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV])
def test_what_holds_up_or_ends_the_child_is_refused_and_remembered(
    thumbnails: Thumbnails, tmp_path: Path, how: signal.Signals
) -> None:
    """The one picture gets its error within the stall's time, and at once from then on; the others are made."""
    make(thumbnails, 1)
    (child,) = children()
    assert child.pid is not None
    pid = child.pid
    reading = threading.Event()

    def read() -> bytes:
        os.kill(pid, signal.SIGSTOP)  # it is held up with this picture ...
        reading.set()
        return noise(2)

    def disturb() -> None:
        assert reading.wait(LATER_S)
        if how is not signal.SIGSTOP:
            os.kill(pid, how)  # ... or ended
            os.kill(pid, signal.SIGCONT)

    with ThreadPoolExecutor(1) as pool:
        disturbing = pool.submit(disturb)
        with pytest.raises(HarmfulInput, match="bad"):
            thumbnails.make(read, "2" * 64, 64, item="bad")
        disturbing.result(LATER_S)
    with pytest.raises(HarmfulInput, match="not tried again"):
        thumbnails.make(read, "2" * 64, 64, item="bad")
    assert make(thumbnails, 3)


def test_a_damaged_picture_costs_no_child(thumbnails: Thumbnails) -> None:
    """It is its own error, and the same child makes the next."""
    make(thumbnails, 1)
    before = children()
    with pytest.raises(ImageError, match=r"cut: .*cut off"):
        thumbnails.make(lambda: picture("red", kind="JPEG", size=(300, 300))[:-300], "3" * 64, 64, item="cut")
    assert make(thumbnails, 2)
    assert [child.pid for child in children()] == [child.pid for child in before]


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    """The thumbnail is made, and made again."""
    (tmp_path / "file").touch()
    maker = Thumbnails(tmp_path / "file", ImagePolicy())
    assert make(maker, 1) == make(maker, 1)
    assert maker.kept(f"{1:064x}", 64) is None
    maker.close()


def test_closing_ends_a_picture_that_is_being_made(tmp_path: Path) -> None:
    """It does not wait for a decoder that hangs."""
    maker = Thumbnails(tmp_path, ImagePolicy(), stall_s=LATER_S)
    make(maker, 1)
    (child,) = children()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(make, maker, 2)
        maker.close()
        with pytest.raises(HarmfulInput):
            hanging.result(LATER_S)
    maker.close()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when the parent is killed and can tell nobody."""
    code = """if True:
        import multiprocessing, sys, time
        from pathlib import Path
        from lookalike.http.thumbnails import Thumbnails
        from lookalike.image import ImagePolicy
        from tests.pictures import noise
        if __name__ == "__main__":
            Thumbnails(Path(sys.argv[1]), ImagePolicy()).make(lambda: noise(1), "a" * 64, 64, item="a")
            print(multiprocessing.active_children()[0].pid, flush=True)
            time.sleep(60)
    """
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.communicate()
    ended = time.monotonic() + LATER_S
    while _runs(pid) and time.monotonic() < ended:
        threading.Event().wait(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
