"""What a worker's reply means to those who asked: vectors, and errors that name their item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from lookalike.batching import Entry, Queue
from lookalike.errors import (
    HarmfulInput,
    ImageError,
    InputError,
    LookalikeError,
    ModelError,
    OutOfMemory,
    TooLarge,
    UnsupportedMedia,
)
from lookalike.spaces import Tower
from lookalike.workers.blame import halves
from lookalike.workers.process import Fault, Reply

CUT = "It is longer than the model reads; its end was left out."

_PLAIN = {cls.__name__: cls for cls in (ImageError, OutOfMemory, UnsupportedMedia)}


def settle(queue: Queue, batch: Sequence[Entry], reply: Reply, tower: Tower) -> None:
    """Answer a batch; parts of it that failed as a whole are split and tried again."""
    for row, position, n_tokens in zip(reply.rows, reply.positions, reply.n_tokens, strict=True):
        warning = CUT if position in reply.cut else ""
        queue.answer(batch[position], row, tower, warning=warning, n_tokens=n_tokens)
    for fault in reply.faults:
        queue.fail(batch[fault.position], _error_of(fault))
    for first, end, why in reply.undone:
        part = batch[first:end]
        if len(part) > 1:
            queue.put_back(halves(part))
        else:
            queue.fail(part[0], partial(_model_error, why))


def harmful(item: str) -> LookalikeError:
    """The error for an input that was convicted."""
    return HarmfulInput("The process that worked on it ended or stood still, more than once.", item=item)


def _error_of(fault: Fault) -> Callable[[str], LookalikeError]:
    if fault.kind == TooLarge.__name__:
        return lambda item: TooLarge(fault.reason, actual=fault.actual, limit=fault.limit, item=item)
    cls = _PLAIN.get(fault.kind, InputError)
    return lambda item: cls(fault.reason, item=item)


def _model_error(why: str, item: str) -> LookalikeError:
    return ModelError(f"{item or 'This input'}: The model could not be run on it ({why}).")
