"""A double that refuses what its provider would refuse."""

from __future__ import annotations

from pathlib import Path

from tests.doubles.double import Double, Exchange, Seen


class StrictDouble(Double):
    """Answers rightly unless it has a complaint."""

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.rule = as_specified

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """The status and the JSON of what the provider has against a request."""
        raise NotImplementedError

    def error_headers(self, status: int) -> dict[str, str]:
        """What an error says in headers, their names as those of `Exchange.say`."""
        return {}


def as_specified(exchange: Exchange) -> None:
    """The right answer, or the complaint that the provider would have."""
    double = exchange.double
    assert isinstance(double, StrictDouble)
    complaint = double.complaint(exchange.seen)
    if complaint is None:
        exchange.succeed()
    else:
        exchange.say(complaint[1], complaint[0], **double.error_headers(complaint[0]))
