"""Thumbnails for the service: decoded in a process of their own, kept in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lookalike.errors import HarmfulInput, ImageError, NotReady
from lookalike.files import keep
from lookalike.http.decoder import Decoder, DecoderLost, NoDecoder
from lookalike.policy import ImagePolicy

SIDES_PX = (64, 128, 256, 512)
"""The sizes that are made: few, so that asking for many cannot fill the disk."""

STALL_S = 20.0
"""How long one picture may take: a PNG of 100 million pixels takes five seconds where the cores are busy."""

N_TRIES = 2
"""A picture is to blame when so many processes were lost with it: one may have been killed from outside."""

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
        self._decoder: Decoder | None = None
        self._closed = False
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
            HarmfulInput: It ended two processes that decoded it, or held one up; it is not tried again.
            NotReady: No process could be started for it, or this was closed.
        """
        with self._lock:
            kept = self.kept(content, side_px)
            if kept is not None:
                return kept
            if content in self._harmful:
                raise HarmfulInput("ended or held up the process that decoded it; it is not tried again.", item=item)
            data = read()
            try:
                made, reason = self._decoded(data, side_px)
            except DecoderLost as error:
                self._remember(content)
                raise HarmfulInput("ended or held up the process that decoded it.", item=item) from error
        if reason:
            raise ImageError(reason, item=item)
        keep(self._path(content, side_px), made)
        return made

    def close(self) -> None:
        """End the child."""
        self._closed = True
        decoder = self._decoder
        if decoder is not None:
            decoder.kill()  # a picture that is being made gets its error
        with self._lock:
            self._end_decoder()

    def _decoded(self, data: bytes, side_px: int) -> tuple[bytes, str]:
        """The thumbnail or why there is none; DecoderLost if the picture is to blame."""
        for n_left in reversed(range(N_TRIES)):
            decoder = self._ready()
            try:
                return decoder.ask(data, side_px, timeout_s=self._stall_s)
            except DecoderLost as error:
                self._end_decoder()
                if self._closed:
                    break
                if error.late or not n_left:
                    raise
        raise NotReady("The service is being stopped.")

    def _ready(self) -> Decoder:
        if self._decoder is None or not self._decoder.is_usable:
            self._end_decoder()
            try:
                self._decoder = Decoder(self._policy)
            except NoDecoder as error:
                raise NotReady(f"No process can be started to decode a picture ({error}): try again later.") from error
        if self._closed:  # while it was started: `close` has not seen it
            self._decoder.kill()
        return self._decoder

    def _end_decoder(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.end()

    def _remember(self, content: str) -> None:
        if len(self._harmful) >= MAX_REMEMBERED:
            self._harmful.clear()
        self._harmful.add(content)

    def _path(self, content: str, side_px: int) -> Path:
        return self._folder / content[:2] / f"{content}-{side_px}.webp"


def side_of(size_px: int) -> int:
    """The least of SIDES_PX that is not smaller than what was asked for, or the largest."""
    return min((side for side in SIDES_PX if side >= size_px), default=SIDES_PX[-1])
