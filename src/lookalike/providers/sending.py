"""One request until it is answered: within what is allowed, as often as it helps, and without the inputs to blame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lookalike.calls import failure_of
from lookalike.errors import DeadlineExceeded, InputError, LookalikeError, RateLimited, Refused, Unavailable
from lookalike.messages import Answer, Request
from lookalike.providers.adapter import Adapter, Reading
from lookalike.providers.billing import Bill
from lookalike.providers.pacing import Breaker, Call, Pace, Patience
from lookalike.providers.splitting import Batch, Entry
from lookalike.providers.uploads import grey_picture
from lookalike.spaces import Modality
from lookalike.types import Failure
from lookalike.usage import Usage
from lookalike.wire import Wire

BLAMING = (400, 413, 422)
"""Statuses of a refusal that one of several inputs may be to blame for."""

MAX_EXTRA = 64
"""Further requests to find out which inputs of a refused one are to blame: three among a thousand take about 50."""

HARMLESS_TEXT = "a photo"

_log = logging.getLogger("lookalike.providers")


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends one provider's requests. Safe to use from several threads.

    Attributes:
        adapter: The provider's wire shapes.
        wire: The connections to it.
        patience: When a request is tried again.
        pace: How fast requests may follow.
        breaker: Whether it is down.
        bill: What requests may cost, and who counts.
    """

    adapter: Adapter
    wire: Wire
    patience: Patience
    pace: Pace
    breaker: Breaker
    bill: Bill

    def ask(self, batch: Batch, call: Call, spent: list[Usage]) -> Reading:
        """The answer to one request, asked for again where that may help.

        Args:
            batch: What is asked.
            call: How long it may take; no try takes all of that.
            spent: Gets what each attempt used, those that failed included.

        Raises:
            LookalikeError: The last attempt's error.
        """
        request = self.adapter.request(batch.modality, [entry.prepared for entry in batch.entries])
        call = call.request()

        def attempt() -> Reading:
            self.breaker.require()
            self.pace.await_turn(batch, call)
            self.bill.require(batch)  # last: what it sets aside is free again when the request's usage is recorded
            usage, one_try = Usage(requests=1), call.one_try()
            try:
                with self.breaker.watching(one_try.left_s()):
                    answer = self.wire.ask(self._hurried(request, one_try), one_try.left_s)
                    if not 200 <= answer.status < 300:
                        raise self._refusal(answer)
                    usage = self.bill.of(batch, Reading(()))  # it is paid for, whether or not it can be read
                    reading = self.adapter.read(answer, batch.modality, len(batch.entries))
                    usage = self.bill.of(batch, reading)
                    self.pace.correct(batch, reading.tokens + reading.image_tokens)
                    return reading
            except DeadlineExceeded as error:
                if call.left_s() > 0:
                    raise self._silent() from error
                raise
            finally:
                spent.append(self.bill.record(usage))

        def before_pause(error: LookalikeError, pause_s: float) -> None:
            self.breaker.require()
            if call.left_s() <= 0:
                raise error
            _log.info("%s It is asked again in %.1f s.", error, pause_s)

        retry = replace(self.patience.retry, sleep=call.pause)
        return retry.run(attempt, until=call.until, on_pause=before_pause)

    def ask_for_each(self, batch: Batch, call: Call, spent: list[Usage]) -> Iterator[tuple[Batch, Reading | Failure]]:
        """The answers to a batch, in parts where the provider refuses it as a whole.

        A refused batch is halved until the inputs to blame are found. Before that something harmless is asked: if that
        is refused as well, the inputs are not to blame.

        Yields:
            Some of the batch with its answer, or a single input with the reason why it has none.

        Raises:
            Refused: Everything is refused, or too much to look for the reason.
            LookalikeError: As `ask`.
        """
        parts, n_extra, is_served = [batch], 0, False
        while parts:
            part = parts.pop()
            try:
                reading = self.ask(part, call, spent)
            except Refused as error:
                if error.status not in BLAMING:
                    raise
                if not is_served:
                    self._require_served(batch.modality, call, spent, error)
                is_served = True
                if len(part.entries) == 1:
                    yield part, _blamed(part.entries[0], error)
                    continue
                n_extra += 2
                if n_extra > MAX_EXTRA:
                    raise _hopeless(error) from error
                parts += reversed(part.halves())
            else:
                is_served = True
                yield part, reading

    def _refusal(self, answer: Answer) -> LookalikeError:
        error = self.adapter.refusal(answer, self.patience.retry.wall_clock())
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            self.pace.hold(error.retry_after_s)
        return error

    def _silent(self) -> Unavailable:
        return Unavailable(
            f"{self.adapter.name} did not answer within the time of one try, which is half of what was left: give the "
            "call more seconds (timeout_s, LOOKALIKE_PROVIDER_TIMEOUT_S) or less to do.",
            provider=self.adapter.name,
        )

    def _hurried(self, request: Request, call: Call) -> Request:
        """The request, with the seconds that are left for it where the provider wants to know."""
        name = self.adapter.limits.timeout_header
        return replace(request, headers={**request.headers, name: f"{call.left_s():.3f}"}) if name else request

    def _require_served(self, modality: Modality, call: Call, spent: list[Usage], error: Refused) -> None:
        """Raise `error` if a harmless input is refused as well."""
        try:
            self.ask(harmless(modality), call, spent)
        except Refused as also:
            raise error from also


def harmless(modality: Modality) -> Batch:
    """Something that every provider embeds."""
    prepared = HARMLESS_TEXT if modality == "text" else grey_picture()
    return Batch(modality, [Entry(0, "probe", prepared, tokens=3)])


def _blamed(entry: Entry, error: Refused) -> Failure:
    return failure_of(entry.position, entry.name, InputError(str(error), item=entry.name))


def _hopeless(error: Refused) -> Refused:
    return Refused(
        f"{error} Many inputs of one request are refused; which ones, {MAX_EXTRA} further requests have not told.",
        provider=error.provider,
        status=error.status,
    )
