"""A hosted model as a vectorizer: what all providers have in common.

splitting (inputs to requests) -> sending (a request until it is answered) -> believing (an answer to unit rows)
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from lookalike.calls import Inputs, joined
from lookalike.errors import BudgetExceeded, DeadlineExceeded, LookalikeError, UnsupportedModel
from lookalike.forks import InEachProcess
from lookalike.policy import ImagePolicy
from lookalike.providers.adapter import Adapter
from lookalike.providers.believing import believed, matrix
from lookalike.providers.billing import Bill
from lookalike.providers.pacing import Breaker, Call, Pace, Patience
from lookalike.providers.sending import Sender, harmless
from lookalike.providers.splitting import Batch, batches
from lookalike.spaces import Tower
from lookalike.types import Failure, Vectors
from lookalike.usage import Usage
from lookalike.wire import Wire


class RemoteVectorizer:
    """A hosted model; see `ports.Vectorizer`. Safe to use from several threads at once.

    Every call ends by its deadline, with the right vectors or with an error of lookalike; in a call that has none, each
    request has one. Redirects are not followed.

    Args:
        adapter: The provider's wire shapes.
        wire: The connections to it.
        policy: Budgets of the image door; its orientation is taken from the model's space.
        bill: What the model costs, and who counts.
        pace: How fast requests may follow; to be shared by all vectorizers of a key.
        patience: How long an answer is waited for, and how often it is asked for again.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        wire: Wire,
        policy: ImagePolicy | None = None,
        bill: Bill | None = None,
        pace: Pace | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._adapter = adapter
        self._policy = policy or ImagePolicy()
        self._patience = patience or Patience()
        clock = self._patience.retry.clock
        self._sender = Sender(
            adapter,
            wire,
            self._patience,
            pace or Pace(adapter.limits, provider=adapter.name, clock=clock),
            Breaker(provider=adapter.name, clock=clock),
            bill or Bill(),
        )
        self._tower = adapter.tower
        self._learning = threading.Lock()
        # Its threads start when they are needed and end with this object; so do the connections.
        limits, name = adapter.limits, adapter.name
        self._pool = InEachProcess(lambda: ThreadPoolExecutor(limits.concurrency, thread_name_prefix=name))
        # A query waits for no bulk work, as in the service's lanes.
        self._queries = InEachProcess(lambda: ThreadPoolExecutor(limits.queries, thread_name_prefix=f"{name}-query"))
        self._closed = weakref.finalize(self, wire.close)

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors. Where the length of the vectors is not known, a short request finds it out, once.

        Raises:
            ProviderError: That request failed.
        """
        return self._known_tower(self._patience.call(float("inf")))

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return replace(self._policy, orientation=self._tower.space.orientation) if self._tower else self._policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """One part for each request, as soon as it is answered, in whatever order; see `ports.Vectorizer`.

        Inputs are read while earlier requests are under way. When the caller stops asking for parts, or a request
        fails for good, the others are given up; where the budget is used up, those under way are answered first.
        """
        call = self._patience.call(until)
        tower = self._known_tower(call)
        if inputs.modality not in tower.space.modalities:
            self._adapter.request(inputs.modality, ())  # it may know which model can
            raise UnsupportedModel(
                f"{tower.space.model} embeds no {inputs.modality}s; it embeds {' and '.join(tower.space.modalities)}s.",
                model=tower.space.model,
            )
        limits, running = self._adapter.limits, set[Future[_Sent]]()
        pool = self._queries() if len(inputs) == 1 else self._pool()
        try:
            for batch in batches(inputs, limits, self.policy):
                running.add(pool.submit(self._send, batch, call, tower))
                if len(running) >= limits.concurrency:
                    yield from self._answered(running, call)
            while running:
                yield from self._answered(running, call)
        except BudgetExceeded:
            yield from self._under_way(running, call)
            raise
        finally:
            call.given_up.set()
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Close the connections."""
        for pool in (self._pool(), self._queries()):
            pool.shutdown(wait=False, cancel_futures=True)
        self._closed()

    def _known_tower(self, call: Call) -> Tower:
        if self._tower is None:
            with self._learning:
                self._tower = self._tower or self._learned(call)
        return self._tower

    def _learned(self, call: Call) -> Tower:
        """What the answer to something harmless shows."""
        try:
            reading = self._sender.ask(harmless("text"), call, [])
        except UnsupportedModel:
            reading = self._sender.ask(harmless("image"), call, [])
        return reading.tower or self._adapter.tower_of(matrix(reading, 1, provider=self._adapter.name).shape[1])

    def _answered(self, running: set[Future[_Sent]], call: Call) -> Iterator[Vectors]:
        """The parts that are there, one at least; then the error, if there is one among them."""
        done, _ = wait(running, timeout=_patience_s(call), return_when=FIRST_COMPLETED)
        if not done:
            raise DeadlineExceeded(
                f"{self._adapter.name} did not answer in time: give the call more seconds (timeout_s) or less to do."
            )
        running -= done
        sent = [future.result() for future in done]
        yield from (found.part for found in sent if len(found.part) or found.part.failures)
        for found in sent:
            if found.error:
                raise found.error

    def _under_way(self, running: set[Future[_Sent]], call: Call) -> Iterator[Vectors]:
        """The parts of requests that were sent: they are paid for."""
        sent = [future for future in running if not future.cancel()]
        done, _ = wait(sent, timeout=_patience_s(call))
        yield from (future.result().part for future in done if len(future.result().part))

    def _send(self, batch: Batch, call: Call, tower: Tower) -> _Sent:
        """Ask about a batch; runs in a thread."""
        spent: list[Usage] = []
        parts = [_failed(batch.failures, tower)]
        error = None
        try:
            for asked, answer in self._sender.ask_for_each(batch, call, spent) if batch.entries else ():
                parts.append(
                    _failed((answer,), tower)
                    if isinstance(answer, Failure)
                    else believed(asked, answer, tower, provider=self._adapter.name)
                )
        except LookalikeError as raised:
            error = raised
        return _Sent(replace(joined(parts, tower), usage=sum(spent, Usage())), error)


def _patience_s(call: Call) -> float | None:
    """How long to wait for requests; None where each of them has its own end."""
    return max(0.0, call.left_s()) if math.isfinite(call.until) else None


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of a batch, and the error that ended it, if one did."""

    part: Vectors
    error: LookalikeError | None


def _failed(failures: tuple[Failure, ...], tower: Tower) -> Vectors:
    """No vectors, and why."""
    return replace(joined((), tower), failures=failures)
