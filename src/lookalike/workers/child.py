"""What runs in a worker process: the one place where pictures are decoded and a model is run for the service.

It leaves its life to its parent: signals that are meant for the whole service do not end it, the parent's end does.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import connection, parent_process
from threading import Thread
from typing import Any, Generic, TypeVar, overload

import numpy as np

from lookalike import canary, memory
from lookalike.embed import Embedder
from lookalike.spaces import Modality
from lookalike.types import Rows, Vectors
from lookalike.workers.channel import Channel
from lookalike.workers.progress import Marks, Place

OpenEmbedder = Callable[[int], Embedder]
"""Opens the model for so many threads. Picklable: a function of a module, or a partial of one."""

Tell = Callable[[str], None]
"""Takes a sentence on how far something is."""

STEP_S = 0.5
"""The model is given so many inputs at a time that it should answer within this time ..."""

STEP_IMAGES, STEP_TEXTS = 8, 16
"""... but never more than these: larger batches run no faster."""

Input = TypeVar("Input")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPlan:
    """How one worker runs.

    Attributes:
        threads: Cores for one call of the model.
        niceness: What its priority is lowered by; see nice(2). If by anything, then on Linux to that of SCHED_IDLE.
        max_memory_bytes: Memory of its own that it may have; see RLIMIT_DATA in getrlimit(2).
        batches: Whether it is going to get many inputs at once, and should be warmed up for that.
        fetch: Brings to this machine what the model needs, before it is opened. It may take any time, as long as it
            tells again and again how far it is. Picklable.
    """

    threads: int
    niceness: int
    max_memory_bytes: int
    batches: bool
    fetch: Callable[[Tell], None] | None = None


def main(line: socket.socket, marks: Marks, open_embedder: OpenEmbedder, plan: ChildPlan) -> None:
    """Load the model, say so, and answer batches until the parent is gone."""
    _settle_in(plan)
    channel = Channel(line)
    worker, problem = _guarded(lambda: _loaded(channel, marks, open_embedder, plan))
    try:
        if worker is None:
            channel.send({"failed": problem})
            return
        gc.freeze()  # a collection would look at all that was loaded, and a query wait for it
        channel.send({"tower": asdict(worker.embedder.tower), "step_s": worker.step_s}, worker.canary.tobytes())
        while True:
            request, body = channel.receive()
            reply, rows = worker.answer(request["modality"], _split(body, request["lengths"]))
            channel.send(reply, rows.tobytes())
    except ConnectionError:
        return


def _loaded(channel: Channel, marks: Marks, open_embedder: OpenEmbedder, plan: ChildPlan) -> _Worker:
    if plan.fetch is not None:
        plan.fetch(lambda sentence: channel.send({"note": sentence}))
    return _Worker(open_embedder(plan.threads), marks, batches=plan.batches)


def _settle_in(plan: ChildPlan) -> None:
    # Ctrl-C goes to the whole process group, and a service manager may stop all of a service's processes at once;
    # what was accepted has to be finished all the same.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    os.nice(plan.niceness)
    if plan.niceness and hasattr(os, "SCHED_IDLE"):
        # Whatever wakes up gets the core of such a process at once (sched(7)); that of a merely nice one only at the
        # end of its slice, some milliseconds later, and the threads of a query wait for each other at every operator.
        with suppress(OSError):  # a sandbox that does not let us; nice is what remains
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = plan.max_memory_bytes if most == resource.RLIM_INFINITY else min(plan.max_memory_bytes, most)
    with suppress(OSError, ValueError):  # a bound that the system does not let us have
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)


def _guarded(work: Callable[[], Result]) -> tuple[Result, str] | tuple[None, str]:
    """What `work` returns; or None, and why it failed. Whatever that was, the parent is told, and decides."""
    try:
        return work(), ""
    except Exception as error:
        return None, str(error) or type(error).__name__


def _split(body: memoryview, lengths: Sequence[int]) -> list[bytes]:
    ends = np.cumsum([0, *lengths]).tolist()
    return [bytes(body[start:end]) for start, end in pairwise(ends)]


class _Worker:
    """An open model, warmed up: its first answers are as quick as the later ones.

    Attributes:
        canary: (m, dim) float32: its vectors for the canary's m inputs.
    """

    def __init__(self, embedder: Embedder, marks: Marks, *, batches: bool) -> None:
        self.embedder = embedder
        self._marks = marks
        self._one_s: dict[Modality, float] = {}
        self._has_worked = True
        # A model's towers are opened side by side: most of that is work of one core.
        with ThreadPoolExecutor() as pool:
            rows = list(pool.map(self._warm_up, embedder.tower.modalities))
        self.canary = np.concatenate(rows)
        if batches:
            for modality in embedder.tower.modalities:
                self._embed(modality, [_encoded(canary.INPUTS[modality])] * self._step(modality))

    @property
    def step_s(self) -> float:
        """Seconds that the longest step takes, as far as is known."""
        return max(one_s * self._step(modality) for modality, one_s in self._one_s.items())

    def answer(self, modality: Modality, payloads: Sequence[bytes]) -> tuple[Mapping[str, Any], Rows]:
        """Header and rows of the reply to a batch; a part that fails as a whole is told, and the others go on.

        An empty batch comes when there is nothing to do.
        """
        if not payloads and self._has_worked:
            memory.give_back()
        self._has_worked = bool(payloads)
        timer = _Timer(self._marks)
        done: dict[int, Vectors] = {}
        undone: list[tuple[int, int, str]] = []
        step = self._step(modality)
        for first in range(0, len(payloads), step):
            part = payloads[first : first + step]
            vectors, problem = _guarded(partial(self._embed, modality, part, first, timer))
            if vectors is None:
                undone.append((first, first + len(part), problem))
            else:
                done[first] = vectors
        header = {
            "positions": [first + int(place) for first, vectors in done.items() for place in vectors.positions],
            "failures": [_moved(astuple(f), first) for first, vectors in done.items() for f in vectors.failures],
            # A warning begins with the name that the input was given here: its place in the part.
            "cut": [first + int(line.partition(":")[0]) for first, v in done.items() for line in v.warnings],
            "n_tokens": [int(n) for vectors in done.values() for n in vectors.n_tokens],
            "undone": undone,
            "seconds": {"decode": timer.decode_s, "inference": timer.inference_s},
        }
        rows = [vectors.values for vectors in done.values()]
        return header, np.concatenate(rows) if rows else np.empty((0, 0), np.float32)

    def _embed(
        self, modality: Modality, payloads: Sequence[bytes], first: int = 0, timer: _Timer | None = None
    ) -> Vectors:
        timer = timer or _Timer(self._marks)
        names = [str(place) for place in range(len(payloads))]
        started_s = timer.inference_s
        if modality == "image":
            pictures = _Watched(payloads, first, timer)
            vectors = self.embedder.embed_images(pictures, names=names, on_error="collect")
        else:
            texts = _Watched([payload.decode("utf-8", "surrogatepass") for payload in payloads], first, timer)
            vectors = self.embedder.embed_texts(texts, names=names, on_error="collect")
        timer.stop()
        # The best that was seen: how fast the model is when nothing else runs.
        one_s = (timer.inference_s - started_s) / len(payloads)
        self._one_s[modality] = min(one_s, self._one_s.get(modality, one_s))
        return vectors

    def _step(self, modality: Modality) -> int:
        """How many inputs the model is given at a time."""
        most = STEP_IMAGES if modality == "image" else STEP_TEXTS
        return max(1, min(most, int(STEP_S / max(self._one_s[modality], 1e-6))))

    def _warm_up(self, modality: Modality) -> Rows:
        """(1, dim): the vector of the canary, once the model is open and has run."""
        sample = _encoded(canary.INPUTS[modality])
        # A long text finds out whether there is memory for one.
        self._embed(modality, [_encoded(canary.LONG_TEXT) if modality == "text" else sample])
        return self._embed(modality, [sample]).values


def _encoded(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _moved(failure: tuple[Any, ...], first: int) -> list[Any]:
    position, _, *rest = failure
    return [first + position, *rest]


class _Timer:
    """Marks where the worker is, and counts how long it took to get there."""

    def __init__(self, marks: Marks) -> None:
        self.decode_s = 0.0
        self.inference_s = 0.0
        self._marks = marks
        self._at: Place | None = None
        self._since = 0.0

    def mark(self, place: Place) -> None:
        """The worker begins with this now."""
        self._marks.set(place)
        self._switch(place)

    def stop(self) -> None:
        """What was begun last is done."""
        self._switch(None)

    def _switch(self, place: Place | None) -> None:
        now = time.perf_counter()
        if self._at is not None and self._at.inference:
            self.inference_s += now - self._since
        elif self._at is not None:
            self.decode_s += now - self._since
        self._at, self._since = place, now


class _Watched(Sequence[Input], Generic[Input]):
    """Inputs that mark each one when the embedder comes to it, and the model's turn when it has had them all."""

    def __init__(self, inputs: Sequence[Input], first: int, timer: _Timer) -> None:
        self._inputs = inputs
        self._first = first
        self._timer = timer

    def __len__(self) -> int:
        return len(self._inputs)

    @overload
    def __getitem__(self, place: int) -> Input: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Input]: ...
    def __getitem__(self, place: int | slice) -> Input | Sequence[Input]:
        return self._inputs[place]

    def __iter__(self) -> Iterator[Input]:
        for place, value in enumerate(self._inputs):
            self._timer.mark(Place(self._first + place, inference=False))
            yield value
        self._timer.mark(Place(self._first, inference=True))
