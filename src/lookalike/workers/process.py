"""One worker process, seen from its parent. Every call ends: with an answer, or with the end of the process."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerContext
from threading import Lock

import numpy as np

from lookalike.spaces import Modality, Tower
from lookalike.types import Rows
from lookalike.workers import child
from lookalike.workers.channel import Channel, Header
from lookalike.workers.progress import POLL_S, Marks, Patience, Place

STEPS_OF_PATIENCE = 8
"""A step may take so many times what it took at warm-up, if that is more than the plan's patience."""

ANSWER_S = 3.0
"""What a worker with nothing to do may take to say that it is there."""

END_S = 5.0
"""How long the system may take to end a process: longer if it hangs in a call of the kernel, and is then left."""


MULTIPROCESSING = Lock()
"""For whoever starts, joins or asks about any process of this one: starting makes multiprocessing ask about all the
others, and two threads asking at once get wrong answers."""


class LoadFailed(Exception):
    """The worker could not load its model; says why in a sentence."""


class WorkerLost(Exception):
    """The worker is no more.

    Attributes:
        place: What it was doing; None if nothing of a batch had begun.
        outside: True if somebody else ended it, or never let it begin: the system, short of memory, or a person.
        event: What to count it as: "crash", "stall" or "canary".
    """

    def __init__(self, reason: str, *, place: Place | None = None, outside: bool = False, event: str = "crash") -> None:
        super().__init__(reason)
        self.event = event
        self.place = place
        self.outside = outside


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one input of a batch has no vector: its place, the error's class, its sentence and figures."""

    position: int
    reason: str
    kind: str
    actual: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reply:
    """The answer to a batch.

    Attributes:
        positions: For each row, its place in the batch.
        rows: (m, dim) float32 unit rows.
        faults: Inputs that have an error of their own.
        cut: Places of texts that were longer than the model reads.
        n_tokens: For each row, the length of its text as the model read it; 0 for a picture.
        undone: Parts that failed as a whole: first place, end, why.
        seconds: Time by stage.
    """

    positions: Sequence[int]
    rows: Rows
    faults: Sequence[Fault]
    cut: frozenset[int]
    n_tokens: Sequence[int]
    undone: Sequence[tuple[int, int, str]]
    seconds: Mapping[str, float]

    @classmethod
    def parse(cls, header: Header, body: memoryview, *, n: int, dim: int) -> Reply:
        """The reply to a batch of n in a message; ValueError, LookupError or TypeError if it is none."""
        reply = cls(
            positions=[int(place) for place in header["positions"]],
            rows=np.frombuffer(body, np.float32).reshape(len(header["positions"]), dim),
            n_tokens=[int(n) for n in header["n_tokens"]],
            faults=[Fault(*fields) for fields in header["failures"]],
            cut=frozenset(header["cut"]),
            undone=[(int(first), int(end), str(why)) for first, end, why in header["undone"]],
            seconds=header["seconds"],
        )
        undone = [place for first, end, _ in reply.undone for place in range(first, end)]
        told = [*reply.positions, *(fault.position for fault in reply.faults), *undone]
        if sorted(told) != list(range(n)):
            raise ValueError(f"a reply about {sorted(told)}, to a batch of {n}")
        return reply


class WorkerProcess:
    """A process that is starting, then answering, until it is lost or ended. For one thread, but for `kill`.

    Args:
        context: How it is started.
        marks: Where it writes how far it is; no other process may be writing there.
        open_embedder: Opens its model.
        plan: How it runs.
        stall_s: How long it may stand still within a batch.

    Raises:
        WorkerLost: It could not be started.
    """

    def __init__(
        self,
        context: ForkServerContext,
        marks: Marks,
        open_embedder: child.OpenEmbedder,
        *,
        plan: child.ChildPlan,
        stall_s: float,
    ) -> None:
        self._marks = marks
        self._stall_s = stall_s
        self._patience = Patience(marks)
        self._patience_s = float("inf")
        try:
            self._line, line = socket.socketpair()
        except OSError as error:
            raise WorkerLost(f"It could not be started ({error}).", outside=True) from error
        self._line.settimeout(POLL_S)
        self._channel = Channel(self._line, on_wait=self._look)
        self._is_ours = False
        self._dim = 0
        self._ending = Lock()
        self._has_ended = False
        marks.clear()
        self._process = context.Process(target=child.main, args=(line, marks, open_embedder, plan), daemon=True)
        try:
            with MULTIPROCESSING:
                self._process.start()
        except (OSError, EOFError) as error:
            self._line.close()
            reason = str(error) or type(error).__name__
            raise WorkerLost(f"It could not be started ({reason}).", outside=True) from error
        finally:
            line.close()
        self.pid = int(self._process.pid or 0)
        self._handle = _open_handle(self.pid)

    @property
    def stuck_s(self) -> float:
        """Seconds for which it has been standing still within a batch."""
        return self._patience.stuck_s

    def load(self, timeout_s: float, tell: Callable[[str], None]) -> tuple[Tower, Rows]:
        """Wait for its model: what it is, and (m, dim) its vectors for the canary's m inputs.

        Args:
            timeout_s: How long it may be silent.
            tell: Told how far it is, where that takes long.

        Raises:
            LoadFailed: It has none, and said why.
            WorkerLost: It ended, or was silent for too long.
        """
        # Loading leaves no marks: from one thing that it says to the next is one step.
        header, body = self._exchange({}, b"", timeout_s)
        while "note" in header:
            tell(str(header["note"]))
            header, body = self._exchange({}, b"", timeout_s)
        if "failed" in header:
            raise LoadFailed(str(header["failed"]))
        try:
            tower = Tower.from_dict(header["tower"])
            self._stall_s = max(self._stall_s, STEPS_OF_PATIENCE * float(header["step_s"]))
            rows = np.frombuffer(body, np.float32).reshape(len(tower.modalities), tower.space.dim)
        except (ValueError, LookupError, TypeError) as error:
            raise self._babbled() from error
        self._dim = tower.space.dim
        return tower, rows

    def embed(self, modality: Modality, payloads: Sequence[bytes | str]) -> Reply:
        """The vectors of a batch.

        Raises:
            WorkerLost: It ended, or stood still for too long.
        """
        # A text may hold lone surrogates, which UTF-8 proper has no bytes for.
        data = [p.encode("utf-8", "surrogatepass") if isinstance(p, str) else p for p in payloads]
        header = {"modality": modality, "lengths": [len(part) for part in data]}
        self._marks.clear()
        reply, body = self._exchange(header, b"".join(data), self._stall_s if payloads else ANSWER_S)
        try:
            return Reply.parse(reply, body, n=len(payloads), dim=self._dim)
        except (ValueError, LookupError, TypeError) as error:
            raise self._babbled() from error

    def ping(self) -> None:
        """Make sure that it answers.

        Raises:
            WorkerLost: It does not.
        """
        self.embed("text", [])

    def kill(self) -> None:
        """End it at once; a call that waits for it in another thread ends as well. Any thread may call this."""
        with self._ending:
            if self._has_ended:
                return
            self._is_ours = True
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
            with suppress(ProcessLookupError):
                if self._handle is None:
                    os.kill(self.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def end(self) -> None:
        """End it if it has not ended, and leave nothing of it behind."""
        self.kill()
        self._exit_code()
        with self._ending:
            self._has_ended = True
            self._line.close()
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
        with suppress(ValueError), MULTIPROCESSING:
            self._process.close()

    def _exchange(self, header: Header, body: bytes, patience_s: float) -> tuple[Header, memoryview]:
        self._patience_s = patience_s
        self._patience.begin(self.pid)
        try:
            if header:
                self._channel.send(header, body)
            return self._channel.receive()
        except ConnectionError as error:
            raise self._lost() from error
        except ValueError as error:
            raise self._babbled() from error
        finally:
            self._patience.end()

    def _look(self) -> None:
        """Called while nothing comes and nothing goes."""
        if self._patience.look() >= self._patience_s:
            place = self._marks.place
            raise WorkerLost(
                f"It did not move for {self._patience_s:.1f} s{_doing(place)}.", place=place, event="stall"
            )

    def _lost(self) -> WorkerLost:
        """The other side is gone: why."""
        code, place = self._exit_code(), self._marks.place
        is_outside = code == -signal.SIGKILL and not self._is_ours
        return WorkerLost(f"{_told(code)}{_doing(place)}.", place=place, outside=is_outside)

    def _babbled(self) -> WorkerLost:
        return WorkerLost("It answered what is no answer.", place=self._marks.place)

    def _exit_code(self) -> int | None:
        """How it ended, as `Process.exitcode` has it; waits for the end that must be near."""
        if connection.wait([self._process.sentinel], END_S):
            with MULTIPROCESSING:
                self._process.join(0)
        return self._process.exitcode


def _open_handle(pid: int) -> int | None:
    """Something that names this process even when its number has been given to another; None where there is none."""
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def _told(code: int | None) -> str:
    if code is None:
        return "It closed the line and did not end"
    if code < 0:
        return f"It was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"It ended by itself, with status {code}"


def _doing(place: Place | None) -> str:
    """What it was doing at the end, for people."""
    if place is None:
        return ""
    return " while the model ran" if place.inference else " while an input was decoded"
