"""The process that decodes pictures for thumbnails: what runs in it, and how its parent sees it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext

from lookalike.errors import InputError
from lookalike.policy import ImagePolicy
from lookalike.thumbnails import thumbnail
from lookalike.workers.channel import Channel
from lookalike.workers.process import END_S, MULTIPROCESSING

START_S = 20.0
"""How long the process may take to be there."""

MAX_MEMORY = 4 << 30
"""Bytes that it may have: the largest picture takes about half of it."""

MAX_ANSWER_BYTES = 1 << 20
"""More than the pixels of the largest thumbnail: a longer answer is none."""


class NoDecoder(Exception):
    """The process could not be started."""


class DecoderLost(Exception):
    """The process ended with a picture, answered what is no answer, or took too long.

    Attributes:
        late: True if it was ended because it took too long.
    """

    def __init__(self, *, late: bool) -> None:
        super().__init__("took too long" if late else "was lost")
        self.late = late


class Decoder:
    """A process that makes thumbnails. For one thread, but for `kill`.

    Args:
        policy: What pictures are let in.

    Raises:
        NoDecoder: It could not be started.
    """

    def __init__(self, policy: ImagePolicy) -> None:
        try:
            self._line, line = socket.socketpair()
        except OSError as error:
            raise NoDecoder(str(error)) from error
        self._channel = Channel(self._line, max_bytes=MAX_ANSWER_BYTES)
        self._late = False
        self._process = _context().Process(
            target=_decode, args=(line, policy), name="lookalike-thumbnails", daemon=True
        )
        try:
            with MULTIPROCESSING:
                self._process.start()
        except (OSError, EOFError) as error:
            self._line.close()
            raise NoDecoder(str(error) or type(error).__name__) from error
        finally:
            line.close()  # so that its end is the only one, and a dead process closes the line
        try:
            with self._at_most(START_S):
                self._channel.receive()
        except DecoderLost as error:
            self.end()
            raise NoDecoder("it ended before it was there") from error

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked: it is there, and was not ended for an answer that came at the last moment."""
        with MULTIPROCESSING:
            return not self._late and self._process.is_alive()

    def ask(self, data: bytes, side_px: int, *, timeout_s: float) -> tuple[bytes, str]:
        """The thumbnail of a picture, or "" and why there is none.

        Raises:
            DecoderLost: The process is of no further use: end it.
        """
        with self._at_most(timeout_s):
            self._channel.send({"side_px": side_px}, data)
            header, made = self._channel.receive()
            if not made and "failed" not in header:
                raise ValueError("neither a thumbnail nor a reason")
        return bytes(made), str(header.get("failed", ""))

    def kill(self) -> None:
        """End it at once; a call that waits for it in another thread ends as well. Any thread may call this."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._process.kill()

    def end(self) -> None:
        """End it and leave nothing of it behind."""
        self.kill()
        connection.wait([self._process.sentinel], END_S)
        with MULTIPROCESSING:
            self._process.join(0)
        self._line.close()

    @contextmanager
    def _at_most(self, seconds: float) -> Iterator[None]:
        """Give up an exchange that takes longer, however slowly its bytes come."""
        timer = threading.Timer(seconds, self._give_up)
        timer.start()
        try:
            yield
        except (ConnectionError, ValueError) as error:
            raise DecoderLost(late=self._late) from error
        finally:
            timer.cancel()
            timer.join()  # one that has just fired ends this process, not a later exchange

    def _give_up(self) -> None:
        self._late = True
        self.kill()


def _context() -> ForkServerContext | SpawnContext:
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver") if has_server else multiprocessing.get_context("spawn")


def _decode(line: socket.socket, policy: ImagePolicy) -> None:
    """The process: pictures in, thumbnails out, until the parent closes the line or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _limit_itself()
    channel = Channel(line)
    with suppress(ConnectionError):
        channel.send({})  # it is there
        while True:
            header, data = channel.receive()
            try:
                made = thumbnail(bytes(data), header["side_px"], policy)
            except InputError as error:
                channel.send({"failed": error.reason})
            else:
                channel.send({}, made)


def _limit_itself() -> None:
    if os.name == "posix":
        import resource

        os.nice(10)  # a thumbnail is less urgent than a query
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
