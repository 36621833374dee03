"""Thumbnails for the service: decoded in a process of their own, kept in a folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from lookalike.errors import HarmfulInput, ImageError, InputError
from lookalike.files import keep
from lookalike.image import ImagePolicy
from lookalike.thumbnails import thumbnail

SIDES_PX = (64, 128, 256, 512)
"""The sizes that are made: few, so that asking for many cannot fill the disk."""

STALL_S = 20.0
"""How long one picture may take: a PNG of 100 million pixels takes five seconds where the cores are busy."""

MAX_MEMORY = 4 << 30
"""Bytes that the decoding process may have: the largest picture takes about half of it."""

MAX_REMEMBERED = 1024


class Thumbnails:
    """Makes thumbnails, in a child process that is killed and replaced when a picture ends it or holds it up.

    Args:
        folder: Where they are kept; one that cannot be written costs time only.
        policy: What pictures are let in.
        stall_s: How long one picture may take.
    """

    def __init__(self, folder: Path, policy: ImagePolicy, *, stall_s: float = STALL_S) -> None:
        self._folder = folder
        self._policy = policy
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._child: tuple[BaseProcess, Connection] | None = None
        self._harmful: set[str] = set()

    def kept(self, content: str, side_px: int) -> bytes | None:
        """The thumbnail of a content (sha256), if it was made before."""
        try:
            return self._path(content, side_px).read_bytes()
        except OSError:
            return None

    def make(self, read: Callable[[], bytes], content: str, side_px: int, *, item: str) -> bytes:
        """Make and keep the thumbnail of a picture, unless it was made in the meantime.

        Args:
            read: Reads the picture's file.
            content: Its sha256.
            side_px: One of SIDES_PX.
            item: The picture's name, for messages.

        Raises:
            ImageError: It cannot be decoded.
            HarmfulInput: It ended the process that decoded it, or held it up; it is not tried again.
        """
        with self._lock:
            kept = self.kept(content, side_px)
            if kept is not None:
                return kept
            if content in self._harmful:
                raise HarmfulInput("ended or held up the process that decoded it; it is not tried again.", item=item)
            data = read()
            try:
                made, reason = self._ask_child(data, side_px)
            except (EOFError, OSError) as error:
                self._end_child()
                self._remember(content)
                raise HarmfulInput("ended or held up the process that decoded it.", item=item) from error
        if reason:
            raise ImageError(reason, item=item)
        keep(self._path(content, side_px), made)
        return made

    def close(self) -> None:
        """End the child."""
        child = self._child
        if child is not None:
            child[0].kill()  # a picture that is being made gets its error
        with self._lock:
            self._end_child()

    def _ask_child(self, data: bytes, side_px: int) -> tuple[bytes, str]:
        if self._child is None or not self._child[0].is_alive():
            self._end_child()
            self._child = _start(self._policy)
        process, pipe = self._child
        # Sending may hang as well as receiving. A killed child closes the pipe, which ends either.
        timer = threading.Timer(self._stall_s, process.kill)
        timer.start()
        try:
            pipe.send((data, side_px))
            answer: tuple[bytes, str] = pipe.recv()
        finally:
            timer.cancel()
        return answer

    def _end_child(self) -> None:
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            process.kill()
            process.join()
            pipe.close()

    def _remember(self, content: str) -> None:
        if len(self._harmful) >= MAX_REMEMBERED:
            self._harmful.clear()
        self._harmful.add(content)

    def _path(self, content: str, side_px: int) -> Path:
        return self._folder / content[:2] / f"{content}-{side_px}.webp"


def side_of(size_px: int) -> int:
    """The least of SIDES_PX that is not smaller than what was asked for, or the largest."""
    return min((side for side in SIDES_PX if side >= size_px), default=SIDES_PX[-1])


def _start(policy: ImagePolicy) -> tuple[BaseProcess, Connection]:
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    context: ForkServerContext | SpawnContext
    context = multiprocessing.get_context("forkserver") if has_server else multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_decode, args=(theirs, policy), name="lookalike-thumbnails", daemon=True)
    process.start()
    theirs.close()  # so that its end is the only one, and a dead child closes the pipe
    return process, ours


def _decode(pipe: Connection, policy: ImagePolicy) -> None:
    """The child: pictures in, thumbnails out, until the parent closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _limit_itself()
    with suppress(EOFError, BrokenPipeError):
        while True:
            data, side_px = pipe.recv()
            try:
                pipe.send((thumbnail(data, side_px, policy), ""))
            except InputError as error:
                pipe.send((b"", error.reason))


def _limit_itself() -> None:
    if os.name == "posix":
        import resource

        os.nice(10)  # a thumbnail is less urgent than a query
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
