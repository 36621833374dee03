"""A run with a limit: it ends before the limit, keeps what it paid for, and a next run pays for the rest alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from lookalike.calls import Inputs
from lookalike.cli import main
from lookalike.config import Config
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import BudgetExceeded
from lookalike.index import Index
from lookalike.ingest import CHUNK_SIZE, Ingest, Target
from lookalike.metering.log import FILE, UsageLog, read_usage
from lookalike.metering.meter import Budget, ModelMeter
from lookalike.ports import Meter
from lookalike.progress import Report
from lookalike.sources.folder import FolderSource
from lookalike.store.memory import MemoryStore
from lookalike.types import Vectors
from lookalike.usage import Usage
from tests.doubles.hosted import doubled
from tests.pictures import noise, write

PICTURE_USD = 0.01
N_PICTURES = 4 * CHUNK_SIZE


class PaidVectorizer(LocalVectorizer):
    """A model that is paid by the picture, as a provider's is."""

    def __init__(self, meter: Meter, before: Callable[[Inputs], None] = lambda _: None) -> None:
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
        meter = ModelMeter("test", "paid", key="", log=log, budget=Budget(limit_usd))
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
    meter = ModelMeter("test", "paid", key="", log=log, budget=Budget(2 * n_last * PICTURE_USD))
    embedder = Embedder(PaidVectorizer(meter, large_after_small))
    target = Target(store=bench.store, ledger=bench.store.ledger, embedder=embedder, threads=2)
    with pytest.raises(BudgetExceeded):
        Ingest(target).run([FolderSource(bench.folder)])
    log.close()
    assert bench.store.n_items == bench.paid == n_last
    bench.run(None)
    assert bench.store.n_items == bench.paid == CHUNK_SIZE + n_last


def test_the_command_ends_before_the_limit_and_goes_on(tmp_path: Path) -> None:
    """`index --max-cost` with a provider: status 1 and a sentence, then the rest; each picture is billed once."""
    pictures = write(tmp_path / "pictures", {f"{n}.png": noise(n) for n in range(20)})
    with doubled("titan") as (double, ref, settings):
        config = replace(
            Config.from_environ({"HOME": str(tmp_path)}),
            model=str(ref),
            providers=settings,
            index=tmp_path / "photos.lookalike",
            cache_dir=tmp_path / "cache",
        )
        command = ["index", str(pictures), "--json"]
        limited = CliRunner().invoke(main, [*command, "--max-cost", "0.0006"], obj=config)
        assert limited.exit_code == 1
        assert "What was paid for is stored" in limited.output
        billed = sum(1 for seen in double.seen if "inputImage" in seen.body)
        assert 0 < billed <= 10
        with Index.open(config=config) as index:
            stored = index.stats().items
        whole = CliRunner().invoke(main, command, obj=config)
        assert whole.exit_code == 0, whole.output
        assert json.loads(whole.stdout)["items"] == 20
        sent = [seen.raw for seen in double.seen if "inputImage" in seen.body]
    assert len(sent) == len(set(sent)) == 20
    document = json.loads(CliRunner().invoke(main, ["usage", "--json"], obj=config).stdout)
    assert document["total"]["images"] == 20
    assert document["total"]["cost_usd"] == pytest.approx(20 * 0.00006)
    assert document["total"]["cached"] == billed - stored  # paid for by the first run, in a chunk that it could not end


def test_a_limit_for_pictures_of_unknown_price_is_refused(tmp_path: Path) -> None:
    """Where only texts have a known price, they are embedded within the limit, and no picture is sent."""
    pictures = write(tmp_path / "pictures", {"0.png": noise(0)})
    with doubled("cohere") as (double, ref, settings):
        config = replace(
            Config.from_environ({"HOME": str(tmp_path)}),
            model=str(replace(ref, model="embed-v5.0-pro")),
            providers=settings,
            index=tmp_path / "photos.lookalike",
            cache_dir=tmp_path / "cache",
        )
        texts = CliRunner().invoke(main, ["embed", "a dog", "--max-cost", "1"], obj=config)
        assert texts.exit_code == 0, texts.output
        refused = CliRunner().invoke(main, ["index", str(pictures), "--max-cost", "1"], obj=config)
        assert refused.exit_code == 1
        assert "What a picture with cohere:embed-v5.0-pro costs is not known" in refused.output
        assert not [seen for seen in double.seen if "images" in seen.body]


def test_a_limit_for_a_model_of_unknown_price_is_refused(tmp_path: Path) -> None:
    """The command says that the limit could not be kept, and sends nothing."""
    with doubled("jina") as (double, ref, settings):
        config = replace(Config.from_environ({"HOME": str(tmp_path)}), model=str(ref), providers=settings)
        refused = CliRunner().invoke(main, ["embed", "a dog", "--max-cost", "1"], obj=config)
        assert refused.exit_code == 1
        assert "could not be kept" in refused.output
        assert double.seen == []
