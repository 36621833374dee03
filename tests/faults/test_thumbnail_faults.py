"""The process that decodes for thumbnails: killed, stopped, out of memory, orphaned. Real processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.popen_forkserver import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lookalike.errors import HarmfulInput, ImageError, NotReady
from lookalike.http.decoder import MAX_ANSWER_BYTES
from lookalike.http.thumbnails import Thumbnails
from lookalike.policy import ImagePolicy
from lookalike.workers.channel import Channel
from lookalike.workers.process import MULTIPROCESSING
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


def test_pictures_are_made_side_by_side_where_there_are_cores(tmp_path: Path) -> None:
    """One that hangs holds up its own process only; a second process is started when it is needed, and not before."""
    maker = Thumbnails(tmp_path, ImagePolicy(), n_processes=2, stall_s=LATER_S)
    make(maker, 1)
    make(maker, 2)
    (child,) = children()
    assert child.pid is not None
    pid, reading = child.pid, threading.Event()

    def read() -> bytes:
        os.kill(pid, signal.SIGSTOP)
        reading.set()
        return noise(3)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(maker.make, read, "3" * 64, 64, item="hangs")
        assert reading.wait(LATER_S)
        while maker._free.qsize() == 2 and not hanging.done():
            threading.Event().wait(0.01)
        assert make(maker, 4)
        assert len(children()) == 2
        os.kill(pid, signal.SIGCONT)
        assert hanging.result(LATER_S)
    maker.close()


def test_a_picture_that_two_ask_for_is_made_once(tmp_path: Path) -> None:
    """The second waits for the first, and has what it made."""
    maker = Thumbnails(tmp_path, ImagePolicy(), n_processes=2)
    read: list[int] = []

    def once() -> bytes:
        read.append(1)
        return noise(1)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(maker.make, once, "1" * 64, 64, item="n1") for _ in range(4)]
        assert len({future.result(LATER_S) for future in futures}) == len(read) == 1
    maker.close()


def test_what_holds_up_the_child_is_refused_and_remembered(thumbnails: Thumbnails) -> None:
    """The one picture gets its error when its time is over, and at once from then on; the others are made."""
    make(thumbnails, 1)
    (child,) = children()
    assert child.pid is not None
    pid = child.pid

    def read() -> bytes:
        os.kill(pid, signal.SIGSTOP)
        return noise(2)

    with pytest.raises(HarmfulInput, match="bad"):
        thumbnails.make(read, "2" * 64, 64, item="bad")
    with pytest.raises(HarmfulInput, match="not tried again"):
        thumbnails.make(lambda: noise(2), "2" * 64, 64, item="bad")
    assert make(thumbnails, 3)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_is_killed_once_convicts_no_picture(tmp_path: Path, how: signal.Signals) -> None:
    """The picture that it had is made by another child: somebody else may have ended the first."""
    maker = Thumbnails(tmp_path, ImagePolicy(), stall_s=LATER_S)
    make(maker, 1)
    (child,) = children()
    assert child.pid is not None
    pid = child.pid
    reading = threading.Event()

    def read() -> bytes:
        os.kill(pid, signal.SIGSTOP)
        reading.set()
        return noise(2)

    def end() -> None:
        assert reading.wait(LATER_S)
        os.kill(pid, how)
        os.kill(pid, signal.SIGCONT)

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(end)
        assert maker.make(read, "2" * 64, 64, item="good")
        ending.result(LATER_S)
    maker.close()


@dataclass(frozen=True)
class Deadly:
    """A policy with which every picture ends the process that decodes it."""

    orientation: str = "apply"

    @property
    def max_bytes(self) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


@dataclass(frozen=True)
class Babbling:
    """A policy with which every picture makes the process say this."""

    said: bytes
    orientation: str = "apply"

    @property
    def max_bytes(self) -> int:
        (channel,) = (thing for thing in gc.get_objects() if isinstance(thing, Channel))
        channel._connection.sendall(self.said)
        return 0


@dataclass(frozen=True)
class Bomb:
    """Makes a folder where it is unpickled."""

    path: str

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_picture_that_ends_two_children_is_to_blame(tmp_path: Path) -> None:
    """Its error comes after the second, and at once from then on."""
    maker = Thumbnails(tmp_path, Deadly())  # type: ignore[arg-type]
    with pytest.raises(HarmfulInput, match="ended or held up the process that decoded it"):
        make(maker, 1)
    with pytest.raises(HarmfulInput, match="not tried again"):
        make(maker, 1)
    maker.close()


def test_what_a_child_says_is_never_run(tmp_path: Path) -> None:
    """A child that a picture has taken over can send what it likes: it is data or none, and has a limit."""
    bomb = pickle.dumps(Bomb(str(tmp_path / "ran")))
    huge = struct.pack(">II", 2, MAX_ANSWER_BYTES + 1) + b"{}"
    for said in (struct.pack(">i", len(bomb)) + bomb, huge, struct.pack(">II", 4, 0) + b"null"):
        maker = Thumbnails(tmp_path / "kept", Babbling(said))  # type: ignore[arg-type]
        with pytest.raises(HarmfulInput):
            make(maker, 1)
        maker.close()
    assert not (tmp_path / "ran").exists()


def test_a_child_that_cannot_be_started_is_nobodys_fault(thumbnails: Thumbnails) -> None:
    """Without descriptors it is "try again later" for any picture, and afterwards the same one is made."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]

    def read() -> bytes:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 100, limits[1]))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        return noise(2)

    try:
        with pytest.raises(NotReady, match="try again") as caught:
            thumbnails.make(read, "2" * 64, 64, item="good")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in taken:
            os.close(number)
    assert caught.value.retryable
    assert thumbnails.make(lambda: noise(2), "2" * 64, 64, item="good")


class LateTimer(threading.Timer):
    """One that fires in the very moment in which it is called off."""

    def run(self) -> None:
        self.finished.wait()
        self.function()


def test_a_timer_that_fires_after_the_answer_convicts_nobody(
    thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture that was answered is made, and so is the next one."""
    make(thumbnails, 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Timer", LateTimer)
        assert make(thumbnails, 2)
    for number in range(3, 6):
        assert make(thumbnails, number)


def test_processes_are_asked_about_one_thread_at_a_time(
    thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting, replacing and ending a child hold the lock that the workers hold: no exit code is read by another."""
    held: list[bool] = []
    original = Popen.poll

    def poll(self: Popen, flag: int = os.WNOHANG) -> int | None:
        held.append(MULTIPROCESSING.locked())
        return original(self, flag)

    with monkeypatch.context() as patch:
        patch.setattr(Popen, "poll", poll)
        make(thumbnails, 1)
        make(thumbnails, 2)
        thumbnails._makers[-1]._decoder.kill()  # type: ignore[union-attr]
        make(thumbnails, 3)
        thumbnails.close()
    assert held and all(held)


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
        with pytest.raises(NotReady, match="stopped"):
            hanging.result(LATER_S)
    maker.close()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when the parent is killed and can tell nobody."""
    code = """if True:
        import multiprocessing, sys, time
        from pathlib import Path
        from lookalike.http.thumbnails import Thumbnails
        from lookalike.policy import ImagePolicy
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
