"""What a cache does when the process, the disk, the file or the database fails: it costs time, never the answer."""

from __future__ import annotations

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from lookalike.cache.layers import REST_S, LayeredCache
from lookalike.cache.memory import MemoryCache
from lookalike.cache.postgres import PostgresCache
from lookalike.cache.sqlite import SqliteCache
from lookalike.cached import CacheEntry, TowerName
from lookalike.errors import CacheDamaged, CacheError, ConfigError
from lookalike.secret import Secret
from tests.contract.test_cache import DIM, Clock, entries, key, same, tower
from tests.faults.test_store_faults import file_size_limit, small_disk, spin
from tests.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[2]
BATCH = 50

WRITER = """
import sys
from pathlib import Path
from lookalike.cache.sqlite import SqliteCache
from tests.contract.test_cache import entries, tower
cache, first = SqliteCache(Path(sys.argv[1])), int(sys.argv[2])
print("open", flush=True)
for number in range(first, first + 400):
    cache.put(tower(), entries([f"{number}/{i}" for i in range(50)], seed=number))
    print(number, flush=True)
"""


def batch(number: int) -> dict[bytes, CacheEntry]:
    """What a writer puts under this number."""
    return entries([f"{number}/{i}" for i in range(BATCH)], seed=number)


@contextmanager
def writer(path: Path, first: int) -> Iterator[subprocess.Popen[str]]:
    """A process that puts batches and says so, ended with the test."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_writer_leaves_what_it_put_and_nothing_wrong(tmp_path: Path) -> None:
    """kill -9 at random moments: every acknowledged batch is there, each entry to the bit, the file whole."""
    chance, path, done = random.Random(4), tmp_path / "c.sqlite", 0
    for _ in range(8):
        with writer(path, done) as process:
            assert line_of(process) == "open"
            for _ in range(chance.randint(1, 6)):
                done = int(line_of(process)) + 1
            spin(chance.uniform(0, 0.01))
            process.send_signal(signal.SIGKILL)
            for line in process.communicate()[0].splitlines():
                done = int(line) + 1
        cache = SqliteCache(path)
        for number in range(done):
            put = batch(number)
            assert all(same(entry, put[k]) for k, entry in zip(put, cache.get(list(put)), strict=True))
        later = batch(done)  # that was under way: whole or not there
        found = [entry for entry in cache.get(list(later)) if entry is not None]
        assert len(found) in {0, BATCH}
        assert cache.check() == done * BATCH + len(found)
        done += bool(found)
        cache.close()


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """Both write and read at the same time; each finds what the other has put."""
    path = tmp_path / "c.sqlite"
    cache = SqliteCache(path)
    with writer(path, 0) as process:
        assert line_of(process) == "open"
        for number in range(30):
            cache.put(tower(), batch(1000 + number))
            there = batch(int(line_of(process)))
            assert all(same(entry, there[k]) for k, entry in zip(there, cache.get(list(there)), strict=True))
    assert cache.check() >= 60 * BATCH
    cache.close()


def test_processes_that_make_the_file_together(tmp_path: Path) -> None:
    """Six processes begin a cache at the same moment: one makes the tables, all of them write."""
    path = tmp_path / "c.sqlite"
    with ExitStack() as stack:
        processes = [stack.enter_context(writer(path, 1000 * number)) for number in range(6)]
        for process in processes:
            assert [line_of(process), line_of(process).isdecimal()] == ["open", True]
    assert SqliteCache(path).check() >= 6 * BATCH


def test_the_file_stays_within_its_bound(tmp_path: Path) -> None:
    """What was used least recently gives way, its place is written over, and the file does not grow on."""
    clock = Clock()
    cache = SqliteCache(tmp_path / "c.sqlite", max_bytes=1_000_000, clock=clock)
    favourite = batch(0)
    cache.put(tower(), favourite)
    sizes = []
    for number in range(1, 400):  # about 6 MB of entries
        clock.now += 7200
        cache.put(tower(), batch(number))
        assert all(entry is not None for entry in cache.get(list(favourite)))
        sizes.append((tmp_path / "c.sqlite").stat().st_size)
    assert max(sizes) <= 1_200_000
    assert cache.stats().entries > 500_000 / (DIM * 4 + 160)
    assert all(entry is not None for entry in cache.get(list(batch(399))))
    assert all(entry is None for entry in cache.get(list(batch(1))))
    cache.check()
    cache.close()


def test_a_damaged_row_is_a_miss(tmp_path: Path) -> None:
    """A flipped bit, a shortened vector, and a vector under another's key are found out, until they are put again."""
    path, put = tmp_path / "c.sqlite", batch(0)
    SqliteCache(path).put(tower(), put)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT key, id FROM entries ORDER BY id").fetchall()
    connection.execute("UPDATE vectors SET vector = zeroblob(96) WHERE id = ?", (rows[0][1],))
    connection.execute("UPDATE vectors SET vector = substr(vector, 1, 92) WHERE id = ?", (rows[1][1],))
    connection.execute(
        "UPDATE vectors SET (vector, checksum) = (SELECT vector, checksum FROM vectors WHERE id = ?) WHERE id = ?",
        (rows[3][1], rows[2][1]),
    )
    connection.execute("UPDATE vectors SET vector = 'text' WHERE id = ?", (rows[4][1],))
    connection.commit()
    connection.close()
    cache = SqliteCache(path)
    damaged = {rows[place][0] for place in (0, 1, 2, 4)}
    for k, entry in zip(put, cache.get(list(put)), strict=True):
        assert (entry is None) == (k in damaged)
        assert entry is None or same(entry, put[k])
    with pytest.raises(CacheDamaged, match="4 of 50"):
        cache.check()
    cache.put(tower(), put)
    assert all(same(entry, put[k]) for k, entry in zip(put, cache.get(list(put)), strict=True))
    assert cache.check() == 50
    cache.close()


def written(path: Path) -> None:
    cache = SqliteCache(path)
    cache.put(tower(), batch(0))
    cache.close()


def garbage(path: Path) -> None:
    """A cache of which all but the first bytes are lost."""
    written(path)
    path.write_bytes(path.read_bytes()[:16] + random.Random(1).randbytes(50_000))


def photo(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff" + random.Random(1).randbytes(50_000))


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    written(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (garbage, CacheDamaged, "clear"),
        (photo, CacheError, "no cache of lookalike"),
        (foreign, CacheError, "no cache of lookalike"),
        (newer, CacheError, "format 2"),
    ],
)
def test_a_file_that_is_no_cache_of_ours_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], error: type[CacheError], says: str
) -> None:
    """Behind memory it costs nothing but is said once; not a byte of the file changes."""
    path = tmp_path / "c.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(error, match=says):
        SqliteCache(path).get([key("a")])
    cache, put = LayeredCache(MemoryCache(), SqliteCache(path)), batch(0)
    for _ in range(3):
        assert cache.get([key("unknown")]) == [None]
        cache.put(tower(), put)
    assert all(same(entry, put[k]) for k, entry in zip(put, cache.get(list(put)), strict=True))
    assert path.read_bytes() == before
    assert len(caplog.records) == 2  # reading, and writing


def test_a_damaged_file_is_cleared_away(tmp_path: Path) -> None:
    """`clear` begins anew where nothing can be read."""
    garbage(tmp_path / "c.sqlite")
    cache = SqliteCache(tmp_path / "c.sqlite")
    assert cache.clear() == 0
    cache.put(tower(), batch(0))
    assert cache.check() == BATCH
    cache.close()


@pytest.mark.parametrize("spoil", [photo, foreign, newer])
def test_a_file_that_is_no_cache_is_not_cleared_away(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """Somebody named the wrong file."""
    path = tmp_path / "c.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(CacheError):
        SqliteCache(path).clear()
    assert path.read_bytes() == before


def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full file system entries are kept in memory only, which is said once; those put before are found."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 1_000_000):
        behind = SqliteCache(folder / "c.sqlite")
        cache = LayeredCache(MemoryCache(), behind)
        for number in range(100):
            cache.put(tower(), batch(number))
            assert all(entry is not None for entry in cache.get(list(batch(number))))
        assert len(caplog.records) == 1
        assert "no room is left on the disk" in caplog.text
        assert all(entry is not None for entry in behind.get(list(batch(0))))
        assert behind.check() > 0
        behind.close()


def test_a_limit_on_file_size_counts_as_a_full_disk(tmp_path: Path) -> None:
    """A quota fails a put whole; when it is lifted, putting goes on."""
    cache = SqliteCache(tmp_path / "c.sqlite")
    cache.put(tower(), batch(0))
    with file_size_limit(200_000), pytest.raises(CacheError, match="no room"):
        for number in range(1, 100):
            cache.put(tower(), batch(number))
    cache.put(tower(), batch(200))
    assert cache.check() % BATCH == 0
    cache.close()


READ_ONLY = """
import os, sys
from pathlib import Path
from lookalike.cache.sqlite import SqliteCache
from lookalike.errors import CacheError
from tests.contract.test_cache import entries, tower
put = entries(["new"])  # what is imported late is imported now
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
cache = SqliteCache(Path(sys.argv[1]))
found = cache.get([*entries([f"0/{i}" for i in range(50)], seed=0)])
print(sum(entry is not None for entry in found), flush=True)
try:
    cache.put(tower(), put)
except CacheError as error:
    print(error, flush=True)
cache.count(hits=1)
cache.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand a cache to a user who may not write it")
def test_a_read_only_cache_is_read() -> None:
    """A user without the right to write finds what is there, and is told on putting."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "c.sqlite")
        path.parent.chmod(0o755)
        SqliteCache(path).put(tower(), batch(0))
        command = [sys.executable, "-c", READ_ONLY, str(path)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[0] == str(BATCH)
    assert "cannot be opened or written by this user" in result.stdout


class Failing:
    """A cache that fails as often as it is asked."""

    def __init__(self) -> None:
        self.n_asked = 0
        self.is_down = True

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        self._fail()
        return [None] * len(keys)

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:
        self._fail()

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        self._fail()

    def _fail(self) -> None:
        self.n_asked += 1
        if self.is_down:
            raise CacheError("The database is down.")


def test_what_failed_rests_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A cache that fails is asked once in half a minute, not for every input; it is used again when it works."""
    behind, clock = Failing(), Clock()
    cache = LayeredCache(MemoryCache(), behind, clock=clock)
    for _ in range(10):
        assert cache.get([key("a")]) == [None]
    assert behind.n_asked == 1
    clock.now += REST_S
    cache.get([key("a")])
    assert behind.n_asked == 2
    clock.now += REST_S
    behind.is_down = False
    for _ in range(3):
        cache.get([key("a")])
    assert behind.n_asked == 5
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_frozen_database_does_not_hold_up_an_answer() -> None:
    """A PostgreSQL that has stopped answering is cut off in time, new connections too, and used again afterwards."""
    with running_postgres() as server:
        cache, put = PostgresCache(Secret(server.url), timeout_s=0.3), batch(0)
        cache.put(tower(), put)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        for process in family:
            process.suspend()
        try:
            with pytest.raises(CacheError, match=r"did not answer within 0\.3 seconds"):
                cache.get(list(put))
        finally:
            for process in family:
                process.resume()
        assert all(same(entry, put[k]) for k, entry in zip(put, cache.get(list(put)), strict=True))
        cache.close()


def test_a_database_that_closed_idle_connections_is_asked_again(postgres_url: str) -> None:
    """A pooler's patience with an idle connection, or a restart, costs no lookup."""
    import psycopg

    cache, put = PostgresCache(Secret(postgres_url)), batch(0)
    cache.put(tower(), put)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        )
    assert all(same(entry, put[k]) for k, entry in zip(put, cache.get(list(put)), strict=True))
    cache.close()


def test_a_damaged_row_of_the_table_is_a_miss(postgres_url: str) -> None:
    """As in a file: never a wrong vector, and none that is missed for ever."""
    import psycopg

    cache, put = PostgresCache(Secret(postgres_url)), batch(7)
    cache.put(tower(), put)
    bad = next(iter(put))
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("UPDATE embedding_cache SET vector = set_byte(vector, 3, 1) WHERE key = %s", (bad,))
    for k, entry in zip(put, cache.get(list(put)), strict=True):
        assert (entry is None) == (k == bad)
    cache.put(tower(), put)
    assert same(cache.get([bad])[0], put[bad])
    cache.close()


def test_a_newer_table_is_left_alone(postgres_url: str) -> None:
    """Tables of a later version are neither read nor written."""
    import psycopg

    PostgresCache(Secret(postgres_url)).close()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("INSERT INTO embedding_cache_schema VALUES (2)")
        try:
            with pytest.raises(CacheError, match="version 2"):
                PostgresCache(Secret(postgres_url)).put(tower(), batch(0))
        finally:
            other.execute("DELETE FROM embedding_cache_schema WHERE version = 2")


@pytest.mark.parametrize(
    "url", ["postgresql://me:hush-hush@127.0.0.1:1/db?connect_timeout=1", "postgresql://me:hush-hush@[/db"]
)
def test_no_error_shows_the_password(url: str) -> None:
    """An address that cannot be reached, or read, is told without user and password."""
    with pytest.raises((CacheError, ConfigError)) as caught:
        PostgresCache(Secret(url)).get([key("a")])
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "hush-hush" not in str(seen)
        seen = seen.__cause__
