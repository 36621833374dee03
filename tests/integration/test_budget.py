"""A run with a limit: it ends before the limit, keeps what it paid for, and a next run pays for the rest alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from lookalike.calls import Inputs
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import BudgetExceeded
from lookalike.ingest import CHUNK_SIZE, Ingest, Target
from lookalike.metering.log import FILE, UsageLog, read_usage
from lookalike.metering.meter import Budget, Meter
from lookalike.ports import Meter as MeterPort
from lookalike.progress import Report
from lookalike.sources.folder import FolderSource
from lookalike.store.memory import MemoryStore
from lookalike.types import Vectors
from lookalike.usage import Usage
from tests.pictures import noise, write

PICTURE_USD = 0.01
N_PICTURES = 4 * CHUNK_SIZE


class PaidVectorizer(LocalVectorizer):
    """A model that is paid by the picture, as a provider's is."""

    def __init__(self, meter: MeterPort, before: Callable[[Inputs], None] = lambda _: None) -> None:
        super().__init__(FakeEncoder())
        self._meter = meter
        self._before = before

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        self._before(inputs)
        cost_usd = len(inputs) * PICTURE_USD
        self._meter.require(cost_usd)
        yield from super().embed(inputs, until=until)
        self._meter.record(Usage(requests=1, images=len(inputs), cost_usd=cost_usd))


class Bench:
    """A store, a log and a folder; each run has a budget of its own."""

    def __init__(self, folder: Path, n_pictures: int) -> None:
        self.folder = write(folder / "pictures", {f"{n:03}.png": noise(n) for n in range(n_pictures)})
        self.log_path = folder / FILE
        self.store = MemoryStore(FakeEncoder().tower.space)

    def run(self, limit_usd: float | None, before: Callable[[Inputs], None] = lambda _: None) -> Report:
        log = UsageLog(self.log_path)
        meter = Meter("test", "paid", key="", log=log, budget=Budget(limit_usd))
        embedder = Embedder(PaidVectorizer(meter, before))
        target = Target(store=self.store, ledger=self.store.ledger, embedder=embedder, threads=2)
        try:
            return Ingest(target).run([FolderSource(self.folder)])
        finally:
            log.close()

    @property
    def paid(self) -> int:
        """Pictures that were paid for, by all runs."""
        return sum((used for _, used in read_usage(self.log_path, since=date(2000, 1, 1))), Usage()).images


def test_a_run_ends_before_its_limit_and_the_next_goes_on(tmp_path: Path) -> None:
    """With money for two and a half of four chunks two are stored; the next run pays for the other two, and no more."""
    bench = Bench(tmp_path, N_PICTURES)
    with pytest.raises(BudgetExceeded) as caught:
        bench.run(2.5 * CHUNK_SIZE * PICTURE_USD)
    assert caught.value.spent_usd <= caught.value.limit_usd
    assert bench.store.n_items == bench.paid == 2 * CHUNK_SIZE
    bench.run(None)
    assert bench.store.n_items == bench.paid == N_PICTURES


def test_what_was_paid_for_behind_the_chunk_that_was_refused_is_stored(tmp_path: Path) -> None:
    """A large chunk is refused after a small one behind it was embedded: the small one is stored all the same."""
    n_last = 3
    bench = Bench(tmp_path, CHUNK_SIZE + n_last)
    last_is_done = threading.Event()

    def large_after_small(inputs: Inputs) -> None:
        if len(inputs) == CHUNK_SIZE:
            assert last_is_done.wait(30)

    class Told(UsageLog):
        def add(self, *args: object) -> None:
            super().add(*args)  # type: ignore[arg-type]
            last_is_done.set()

    log = Told(bench.log_path)
    meter = Meter("test", "paid", key="", log=log, budget=Budget(2 * n_last * PICTURE_USD))
    embedder = Embedder(PaidVectorizer(meter, large_after_small))
    target = Target(store=bench.store, ledger=bench.store.ledger, embedder=embedder, threads=2)
    with pytest.raises(BudgetExceeded):
        Ingest(target).run([FolderSource(bench.folder)])
    log.close()
    assert bench.store.n_items == bench.paid == n_last
    bench.run(None)
    assert bench.store.n_items == bench.paid == CHUNK_SIZE + n_last
