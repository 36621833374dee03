"""Questions to an address before it is used: what is it, and what does it serve?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lookalike.messages import Answer, Request
from lookalike.providers.reference import ProviderSettings
from lookalike.providers.refusals import PASSING, Asked, Said, error_of
from lookalike.retry import RetryPolicy
from lookalike.wire import Wire

Ask = Callable[[Request], Answer]
"""The answer to a request, whatever its status, but for those that may pass."""


@contextmanager
def questions(base_url: str, asked: Asked, settings: ProviderSettings) -> Iterator[Ask]:
    """A way to ask, for as long as the block lasts.

    What may pass is asked again, so that a server that is just starting is waited for; all questions together take no
    longer than a call may.

    Args:
        base_url: Where it is.
        asked: Who it is, for errors.
        settings: The time that a call may take, and the proxy.

    Raises:
        Unavailable, RateLimited, DeadlineExceeded: It did not answer; raised where it is asked.
    """
    policy = RetryPolicy(base_s=0.2, cap_s=5.0, deadline_s=settings.timeout_s)
    until = policy.deadline()
    wire = Wire(base_url, host=asked.provider, headers={}, proxy=settings.proxy_for(base_url))

    def attempt(request: Request) -> Answer:
        answer = wire.ask(request, lambda: until - policy.clock())
        if answer.status == 429 or answer.status in PASSING:
            raise error_of(answer, Said.of(answer), asked, policy.wall_clock())
        return answer

    try:
        yield lambda request: policy.run(lambda: attempt(request), until=until, on_pause=lambda _error, _pause_s: None)
    finally:
        wire.close()
