"""A service that follows its index to another space: the new model is opened beside the old one, then takes over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lookalike.beside import watching
from lookalike.errors import LookalikeError
from lookalike.http.collection import Collection
from lookalike.http.context import Context
from lookalike.http.current import Current
from lookalike.ports import EmbeddingService, Recorder
from lookalike.service import Served, open_service

LOOK_EVERY_S = 1.0
"""How often it is looked whether the index was switched."""

READY_EVERY_S = 0.1
"""How often it is looked whether the new model is ready."""

AGAIN_S = 30.0
"""When it is tried again to open a model that could not be opened."""

DRAIN_S = 5.0
"""How long requests may take beyond their own limit; then the old model ends under them."""

_log = logging.getLogger("lookalike.index")

OpenService = Callable[[Served], EmbeddingService]


class Follower:
    """Looks, in a thread of its own, which space of the index is searched, and has the service answer from that.

    Until the new space's model is ready, the old one answers, from the old space. Then requests get the new pair of
    model and index, all at once; the old pair ends with the last request that has it.

    Args:
        served: What the service began with.
        choose: What is to be served now; LookalikeError if that cannot be.
        recorder: Where the figures of new workers go.
        opening: Opens a service.
    """

    def __init__(
        self, served: Served, choose: Callable[[], Served], recorder: Recorder, *, opening: OpenService | None = None
    ) -> None:
        self._served = served
        self._choose = choose
        self._open_service = opening or (lambda new: open_service(new.config, recorder, space=new.space))
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._retiring = ThreadPoolExecutor(1, thread_name_prefix="lookalike-retiring")
        self._reason = ""
        self._own: list[Context] = []

    def reason(self) -> str:
        """What is being done, or cannot be done, about a switch; empty if there was none."""
        return self._reason

    def start(self, current: Current) -> None:
        """Begin to look; from now on a context tells what this does."""
        current.swap(replace(current.context, switch_reason=self.reason))
        self._thread = threading.Thread(target=self._run, args=[current], name="lookalike-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and end what was opened here."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._retiring.shutdown()
        for context in self._own:
            _end(context, drain_s=0)

    def _run(self, current: Current) -> None:
        try:
            with watching(self._served.config.index) as number_now:
                wait_s = LOOK_EVERY_S
                while not self._stopping.wait(wait_s):
                    wait_s = self._look(current, number_now)
        except LookalikeError as error:
            _log.error("The service does not follow its index: %s", error)

    def _look(self, current: Current, number_now: Callable[[], int]) -> float:
        """Follow, if there is something to follow; after how many seconds to look again."""
        try:
            number = number_now()
        except LookalikeError:  # there is no index, or its database is away: searches say so themselves
            return LOOK_EVERY_S
        if number == self._served.number:
            self._reason = ""
            return LOOK_EVERY_S
        try:
            served = self._choose()
            if served.number is not None:  # or there is no index yet
                self._follow(served, current, number_now)
        except LookalikeError as error:
            self._reason = f"The index was switched to space {number}, and this service goes on as before: {error}"
            _log.error(self._reason)
            return AGAIN_S
        return LOOK_EVERY_S

    def _follow(self, served: Served, current: Current, number_now: Callable[[], int]) -> None:
        before = current.context
        self._reason = f"The index was switched to space {served.number}: {served.config.model} is being opened."
        _log.info(self._reason)
        is_same = _recipe(served) == _recipe(self._served)
        service = before.service if is_same else self._open_service(served)
        context = replace(before, service=service, index=Collection(served.config, service, number=served.number))
        self._own.append(context)
        try:
            is_ready = self._has_become_ready(context, number_now, served)
        except LookalikeError:
            self._give_up(context, before)
            raise
        if not is_ready:
            self._give_up(context, before)
            return
        current.swap(context)
        self._served, self._reason = served, ""
        _log.info("The service answers from space %s, with %s.", served.number, served.config.model)
        # Aside, and one after another: a request that takes its time holds up no way back.
        self._retiring.submit(self._retire, current, before, context)

    def _has_become_ready(self, context: Context, number_now: Callable[[], int], served: Served) -> bool:
        """Wait until it can answer; False if it cannot, or the index or the service goes elsewhere meanwhile."""
        while not self._stopping.wait(READY_EVERY_S) and number_now() == served.number:
            status = context.service.status()
            if status.ready and context.index.is_warm():
                return True
        return False

    def _retire(self, current: Current, before: Context, stays: Context) -> None:
        current.wait_unused(before, before.settings.max_request_timeout_s + DRAIN_S)
        self._give_up(before, stays, drain_s=before.settings.drain_s)

    def _give_up(self, context: Context, stays: Context, *, drain_s: float = 0) -> None:
        """End a pair, but for a service that the one that stays has as well."""
        if context in self._own:
            self._own.remove(context)
        _end(context, drain_s=drain_s, keep=stays.service)


def _recipe(served: Served) -> tuple[object, ...]:
    """What workers are opened with: equal ones need not be opened twice."""
    config = served.config
    return config.model, config.precision, config.orientation, served.space


def _end(context: Context, *, drain_s: float, keep: EmbeddingService | None = None) -> None:
    context.index.close()
    if context.service is not keep:
        context.service.close(drain_s=drain_s)
