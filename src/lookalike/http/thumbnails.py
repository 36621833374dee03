"""Thumbnails for the service: decoded in processes of their own, kept in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue

from lookalike.errors import HarmfulInput, ImageError
from lookalike.http.decoder import DecoderLost
from lookalike.http.kept import Kept
from lookalike.http.maker import Maker
from lookalike.policy import ImagePolicy

SIDES_PX = (64, 128, 256, 512)
"""The sizes that are made: few, so that asking for many does not fill the folder."""

MAX_BYTES = 1 << 30
"""What all thumbnails that are kept may have together: 100,000 of 256 pixels."""

STALL_S = 20.0
"""How long one picture may take: a PNG of 100 million pixels takes five seconds where the cores are busy."""

MAX_REMEMBERED = 1024


class Thumbnails:
    """Makes thumbnails, in child processes that are killed and replaced when a picture ends them or holds them up.

    Args:
        folder: Where they are kept; one that cannot be written costs time only.
        policy: What pictures are let in.
        n_processes: How many pictures are decoded at the same time; a process is started when it is needed.
        stall_s: How long one picture may take.
        max_bytes: What all that are kept may have together; those that nobody asked for go first.
    """

    def __init__(
        self,
        folder: Path,
        policy: ImagePolicy,
        *,
        n_processes: int = 1,
        stall_s: float = STALL_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._kept = Kept(folder, max_bytes=max_bytes)
        self._makers = [Maker(policy, stall_s=stall_s) for _ in range(n_processes)]
        # Last in, first out: where one process is enough, the others are never started.
        self._free: LifoQueue[Maker] = LifoQueue()
        for maker in self._makers:
            self._free.put(maker)
        self._under_way: set[str] = set()
        self._finished = threading.Condition()
        self._harmful: set[str] = set()

    def kept(self, content: str, side_px: int) -> bytes | None:
        """The thumbnail of a content (sha256), if it was made before."""
        return self._kept.get(_name(content, side_px))

    def make(self, read: Callable[[], bytes], content: str, side_px: int, *, item: str) -> bytes:
        """Make and keep the thumbnail of a picture, unless it was made in the meantime.

        Args:
            read: Reads the picture's file.
            content: Its sha256.
            side_px: One of SIDES_PX.
            item: The picture's name, for messages.

        Raises:
            ImageError: It cannot be decoded.
            HarmfulInput: It ended two processes that decoded it, or held one up; it is not tried again.
            NotReady: No process could be started for it, or this was closed.
        """
        with self._alone(content):
            kept = self.kept(content, side_px)
            if kept is not None:
                return kept
            if content in self._harmful:
                raise HarmfulInput("ended or held up the process that decoded it; it is not tried again.", item=item)
            try:
                made, reason = self._made(read(), side_px)
            except DecoderLost as error:
                self._remember(content)
                raise HarmfulInput("ended or held up the process that decoded it.", item=item) from error
            if reason:
                raise ImageError(reason, item=item)
            self._kept.put(_name(content, side_px), made)
        return made

    def close(self) -> None:
        """End the children."""
        for maker in self._makers:
            maker.stop()  # a picture that is being made gets its error
        free = [self._free.get() for _ in self._makers]
        for maker in free:
            maker.end()
            self._free.put(maker)

    @contextmanager
    def _alone(self, content: str) -> Iterator[None]:
        """Nobody else makes a thumbnail of this content meanwhile: it need not be made twice, nor be harmful twice."""
        with self._finished:
            self._finished.wait_for(lambda: content not in self._under_way)
            self._under_way.add(content)
        try:
            yield
        finally:
            with self._finished:
                self._under_way.remove(content)
                self._finished.notify_all()

    def _made(self, data: bytes, side_px: int) -> tuple[bytes, str]:
        maker = self._free.get()
        try:
            return maker.make(data, side_px)
        finally:
            self._free.put(maker)

    def _remember(self, content: str) -> None:
        if len(self._harmful) >= MAX_REMEMBERED:
            self._harmful.clear()
        self._harmful.add(content)


def _name(content: str, side_px: int) -> str:
    return f"{content[:2]}/{content}-{side_px}.webp"


def side_of(size_px: int) -> int:
    """The least of SIDES_PX that is not smaller than what was asked for, or the largest."""
    return min((side for side in SIDES_PX if side >= size_px), default=SIDES_PX[-1])
