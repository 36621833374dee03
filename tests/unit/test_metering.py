"""The usage log and the budget: nothing is lost among processes, no fault stops a job, no limit is broken."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from lookalike.cli import main
from lookalike.config import Config
from lookalike.errors import BudgetExceeded, ConfigError, StoreCorrupt
from lookalike.metering.log import FILE, RETRY_AFTER_S, Account, UsageLog, read_usage
from lookalike.metering.meter import Budget, ModelMeter, key_name, today
from lookalike.secret import Secret
from lookalike.usage import Price, Usage

DAY = date(2026, 11, 20)
SOME = Usage(requests=1, texts=3, tokens=30, cost_usd=0.25, cached=2, saved_usd=0.125)
KEY = Secret("sk-very-secret-key-0123456789")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / FILE


def meter(log: UsageLog, budget: Budget | None = None, *, model: str = "m") -> ModelMeter:
    return ModelMeter("openai", model, key=key_name(KEY), log=log, budget=budget or Budget(), day=lambda: DAY)


def test_usage_adds_up_by_day_model_and_key(path: Path) -> None:
    """Two records of one account are one row; another day, model or key is another, the latest day first."""
    log = UsageLog(path)
    for _ in range(2):
        meter(log).record(SOME)
    meter(log, model="n").record(SOME)
    log.add(Account(DAY + timedelta(days=1), "openai", "m", ""), SOME)
    log.close()
    rows = read_usage(path, since=DAY)
    assert [(row[0].day.day, row[0].model) for row in rows] == [(21, "m"), (20, "m"), (20, "n")]
    assert rows[1][1] == SOME + SOME
    assert len(read_usage(path, since=DAY + timedelta(days=1))) == 1


def test_the_key_is_nowhere_in_the_log(path: Path) -> None:
    """A key is known by eight digits of its sha256; the file does not have a part of it."""
    log = UsageLog(path)
    meter(log).record(SOME)
    log.close()
    assert read_usage(path, since=DAY)[0][0].key == key_name(KEY)
    assert len(key_name(KEY)) == 8
    assert key_name(None) == key_name(Secret("")) == ""
    assert b"very-secret" not in path.read_bytes()


def test_many_processes_and_threads_lose_nothing(path: Path) -> None:
    """Six processes that begin at once, with four threads each, add up to every record."""
    code = """if True:
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from datetime import date
        from pathlib import Path
        from lookalike.metering.log import Account, UsageLog
        from lookalike.usage import Usage
        log = UsageLog(Path(sys.argv[1]))
        account = Account(date(2026, 11, 20), "openai", "m", "k")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: log.add(account, Usage(requests=1, cost_usd=0.5)), range(50)))
        log.close()"""
    started = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(6)]
    assert [process.wait(timeout=60) for process in started] == [0] * 6
    ((_, used),) = read_usage(path, since=DAY)
    assert used == Usage(requests=300, cost_usd=150)


def test_what_was_recorded_survives_a_kill(path: Path) -> None:
    """A record is in the log when `record` returns, however the process ends."""
    code = """if True:
        import os, signal, sys
        from datetime import date
        from pathlib import Path
        from lookalike.metering.log import Account, UsageLog
        from lookalike.usage import Usage
        UsageLog(Path(sys.argv[1])).add(Account(date(2026, 11, 20), "openai", "m", "k"), Usage(requests=1))
        os.kill(os.getpid(), signal.SIGKILL)"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert [used for _, used in read_usage(path, since=DAY)] == [Usage(requests=1)]


def test_a_log_that_cannot_be_written_stops_nothing_and_is_made_up_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a file in the folder's place, records go on and are said once; when it is gone, all of them are written."""
    now = 0.0
    path.parent.write_text("in the way")
    log = UsageLog(path, clock=lambda: now)
    with caplog.at_level(logging.WARNING, logger="lookalike.usage"):
        meter(log).record(SOME)
        meter(log).record(SOME)
    assert len(caplog.records) == 1
    path.parent.unlink()
    meter(log).record(SOME)  # too soon to try again
    assert not path.exists()
    now = RETRY_AFTER_S
    meter(log).record(SOME)
    log.close()
    ((_, used),) = read_usage(path, since=DAY)
    assert used == SOME + SOME + SOME + SOME


@pytest.mark.skipif(not Path("/dev/full").exists() or not shutil.which("sh"), reason="needs a limit on file sizes")
def test_a_full_disk_does_not_stop_a_job_nor_break_its_budget(path: Path) -> None:
    """Where no file may grow, records go on, and the request over the limit is refused all the same."""
    code = """if True:
        import resource, signal, sys
        from pathlib import Path
        from lookalike.errors import BudgetExceeded
        from lookalike.metering.log import UsageLog
        from lookalike.metering.meter import Budget, ModelMeter
        from lookalike.usage import Usage
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        log = UsageLog(Path(sys.argv[1]))
        meter = ModelMeter("openai", "m", key="", log=log, budget=Budget(1.0))
        done = 0
        try:
            while True:
                meter.require(0.3)
                meter.record(Usage(requests=1, cost_usd=0.3))
                done += 1
        except BudgetExceeded:
            log.close()
            sys.exit(done)"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60, capture_output=True)
    assert done.returncode == 3, done.stderr


def test_a_damaged_log_is_a_sentence_for_the_report_and_no_obstacle_for_a_job(path: Path) -> None:
    """The report names the file and what to do; adding to it goes on without it."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    meter(UsageLog(path)).record(SOME)
    with pytest.raises(StoreCorrupt, match=FILE):
        read_usage(path, since=DAY)


def test_a_budget_counts_what_is_under_way() -> None:
    """Four requests of 30 cents begin with a limit of $1.20, a fifth does not; when one was cheaper, there is room."""
    budget = Budget(1.2)
    for _ in range(4):
        budget.take(0.3)
    with pytest.raises(BudgetExceeded) as caught:
        budget.take(0.3)
    assert (caught.value.limit_usd, caught.value.spent_usd) == (1.2, 0)
    assert "$0.000000 of $1.2 are spent and $1.200000 under way" in str(caught.value)
    budget.settle(0.0)
    budget.take(0.3)


def test_a_budget_holds_among_threads() -> None:
    """However many threads ask at once, no more begin than fit."""
    budget = Budget(10.0)

    def take(_: int) -> bool:
        try:
            budget.take(1.0)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(50))) == 10


def test_a_small_request_frees_no_more_than_it_had_set_aside() -> None:
    """Requests end in any order: a large one stays counted until its own answer is there."""
    budget = Budget(5.0)
    with ThreadPoolExecutor(1) as another:
        another.submit(budget.take, 3.0).result()
        budget.take(1.0)
        budget.settle(1.0)
        with pytest.raises(BudgetExceeded):
            budget.take(1.5)
        another.submit(budget.settle, 1.0).result()
        budget.take(3.0)


def test_without_a_limit_nothing_is_refused() -> None:
    """A run without --max-cost may cost anything, and use models of unknown price."""
    budget = Budget()
    budget.take(1e9)
    budget.require_price(None, model="jina:jina-clip-v2")


def test_a_limit_that_could_not_be_kept_is_refused() -> None:
    """A model of unknown price is refused with a limit, by name; one with a price is not."""
    Budget(5).require_price(Price(), model="openai:a")
    with pytest.raises(ConfigError, match="jina:jina-clip-v2"):
        Budget(5).require_price(None, model="jina:jina-clip-v2")


def test_what_a_cache_saved_is_no_request(path: Path) -> None:
    """A hit is written down and frees nothing of what is under way."""
    budget = Budget(1.0)
    counted = meter(UsageLog(path), budget)
    counted.require(1.0)
    counted.record(Usage(cached=5, saved_usd=0.5))
    with pytest.raises(BudgetExceeded):
        counted.require(0.1)
    assert read_usage(path, since=DAY)[0][1].saved_usd == 0.5


def test_the_report_shows_days_models_keys_and_a_total(tmp_path: Path) -> None:
    """The table has each account and the sum; JSON has the same figures; other days are left out."""
    config = replace(Config.from_environ({}), cache_dir=tmp_path)
    log = UsageLog(tmp_path / FILE)
    for days_ago in (0, 1, 40):
        log.add(Account(today() - timedelta(days=days_ago), "openai", "text-embedding-3-small", "0a1b2c3d"), SOME)
    log.close()
    shown = CliRunner().invoke(main, ["usage"], obj=config, env={"COLUMNS": "110"}).stdout
    assert shown.count("openai:text-embedding-3-small") == 2
    assert "0a1b2c3d" in shown
    assert "$0.50" in shown.splitlines()[-2] + shown.splitlines()[-1]
    document = json.loads(CliRunner().invoke(main, ["usage", "--days", "1", "--json"], obj=config).stdout)
    assert document["total"]["cost_usd"] == 0.25
    assert [row["day"] for row in document["usage"]] == [today().isoformat()]


def test_an_unknown_price_is_not_nothing(tmp_path: Path) -> None:
    """Where no price is known the report has "?" and the model's name below; what failed cost nothing."""
    log = UsageLog(tmp_path / FILE)
    for model, used in (("a", Usage(requests=1, texts=3)), ("b", Usage(requests=1))):
        log.add(Account(today(), "openai", model, ""), used)
    log.close()
    config = replace(Config.from_environ({}), cache_dir=tmp_path)
    output = CliRunner().invoke(main, ["usage"], obj=config, env={"COLUMNS": "110"}).stdout
    assert output.count("?") == 3
    assert "no price is known: openai:a\n" in output


def test_without_a_log_the_report_says_so(tmp_path: Path) -> None:
    """Nothing was used: a sentence, and status 0."""
    config = replace(Config.from_environ({}), cache_dir=tmp_path)
    result = CliRunner().invoke(main, ["usage"], obj=config)
    assert result.exit_code == 0
    assert "No hosted model was used" in result.output
