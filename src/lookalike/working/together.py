"""Calls of several threads, made as one: whoever comes while one is being made waits, and is part of the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from lookalike.errors import InputError, LookalikeError, VectorMissing

Given = TypeVar("Given")
Result = TypeVar("Result")


class Together(Generic[Given, Result]):
    """Does for each caller what `do` does for many.

    Args:
        do: Does it for some at once: their results, in order, an error in the place of one that fails alone. An
            InputError or VectorMissing that it raises is one caller's, so each is then done by itself; any other error
            is everybody's.
        most: How many are done at once, at most.
    """

    def __init__(self, do: Callable[[Sequence[Given]], Sequence[Result | LookalikeError]], *, most: int) -> None:
        self._do = do
        self._most = most
        self._waiting: list[tuple[Given, Future[Result]]] = []
        self._lock = Lock()
        self._turn = Lock()

    def __call__(self, given: Given) -> Result:
        """The result for this one."""
        future: Future[Result] = Future()
        with self._lock:
            self._waiting.append((given, future))
        while not future.done():
            with self._turn:
                if not future.done():
                    with self._lock:
                        batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                    self._settle(batch)
        return future.result()

    def _settle(self, batch: Sequence[tuple[Given, Future[Result]]]) -> None:
        try:
            results = self._do([given for given, _ in batch])
        except (InputError, VectorMissing) as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:
                self._settle([one])
            return
        except LookalikeError as error:
            _fail(batch, error)
            return
        except BaseException as error:
            _fail(batch, error)
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, LookalikeError):
                future.set_exception(result)
            else:
                future.set_result(result)


def _fail(batch: Sequence[tuple[Given, Future[Result]]], error: BaseException) -> None:
    for _, future in batch:
        future.set_exception(error)
