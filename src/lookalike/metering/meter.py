"""`ports.Meter`: counts what one model uses, and keeps a run within its budget."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from hashlib import sha256

from lookalike.errors import BudgetExceeded, ConfigError
from lookalike.metering.log import Account, UsageLog
from lookalike.secret import Secret
from lookalike.usage import Price, Usage

KEY_DIGITS = 8
"""Of a key's sha256 (hex): they tell keys apart, and nobody gets from them to a key."""


def key_name(key: Secret | None) -> str:
    """What a key is called in reports; empty without a key."""
    return sha256(key.reveal().encode("utf-8")).hexdigest()[:KEY_DIGITS] if key else ""


def today() -> date:
    """The day in UTC: the same for every process, wherever it runs."""
    return datetime.now(UTC).date()


class Budget:
    """What one run may spend, all its models together. Safe to use from several threads.

    It is kept in memory: neither a full disk nor another process can break it. What is under way counts as spent, as
    it was estimated, until its answer says what it cost.

    Args:
        limit_usd: In US dollars; None for no limit.
    """

    def __init__(self, limit_usd: float | None = None) -> None:
        self._limit_usd = limit_usd
        self._spent_usd = 0.0
        self._under_way: list[tuple[int, float]] = []  # of which thread, and how much
        self._lock = threading.Lock()

    def require_price(self, price: Price | None, *, model: str) -> None:
        """Refuse a model whose price is not known, if there is a limit.

        Raises:
            ConfigError: The limit could not be kept.
        """
        if self._limit_usd is not None and price is None:
            raise ConfigError(
                f"What {model} costs is not known, so a limit of ${self._limit_usd:g} could not be kept: leave out "
                "--max-cost and LOOKALIKE_MAX_COST_USD, or use a model that `lookalike cost` has a price for."
            )

    def take(self, cost_usd: float) -> None:
        """Set so much aside for a request.

        Raises:
            BudgetExceeded: There is not so much left; nothing was set aside.
        """
        with self._lock:
            if self._limit_usd is not None and self._committed_usd() + cost_usd > self._limit_usd:
                under_way_usd = self._committed_usd() - self._spent_usd
                more = f" and ${under_way_usd:.6f} under way" if self._under_way else ""
                raise BudgetExceeded(
                    f"The next request would cost about ${cost_usd:.6f}, and ${self._spent_usd:.6f} of "
                    f"${self._limit_usd:g} are spent{more}. What was paid for is stored; the same command goes "
                    "on from there, with a limit of its own.",
                    limit_usd=self._limit_usd,
                    spent_usd=self._spent_usd,
                )
            self._under_way.append((threading.get_ident(), cost_usd))

    def settle(self, cost_usd: float) -> None:
        """A request of this thread is over and has cost so much; what this thread had set aside is free again."""
        with self._lock:
            me = threading.get_ident()
            own = next((place for place, (thread, _) in enumerate(self._under_way) if thread == me), None)
            if own is not None:
                del self._under_way[own]
            self._spent_usd += cost_usd

    def _committed_usd(self) -> float:
        return self._spent_usd + sum(cost_usd for _, cost_usd in self._under_way)


class ModelMeter:
    """Counts what one model uses; see `ports.Meter`.

    Args:
        provider: As in the model's name.
        model: The provider's name for it.
        key: What it is called in reports; see `key_name`.
        log: Where it is written down.
        budget: What may be spent; shared by all models of a run.
        day: Says which day it is.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        key: str,
        log: UsageLog,
        budget: Budget,
        day: Callable[[], date] = today,
    ) -> None:
        self._whose = (provider, model, key)
        self._log = log
        self._budget = budget
        self._day = day

    def require(self, cost_usd: float) -> None:
        """Before a request: BudgetExceeded if it would cost more than is left; ConfigError if nobody knows."""
        if math.isinf(cost_usd):
            provider, model, _ = self._whose
            self._budget.require_price(None, model=f"a picture with {provider}:{model}")
            cost_usd = 0.0
        self._budget.take(cost_usd)

    def record(self, usage: Usage) -> None:
        """After a request, also one that failed; or what a cache saved, which is no request."""
        if usage.requests:
            self._budget.settle(usage.cost_usd)
        self._log.add(Account(self._day(), *self._whose), usage)
