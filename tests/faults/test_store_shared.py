"""One store under many hands: threads of a service, another process that writes, files changed by strangers."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from lookalike.errors import StoreError
from lookalike.store import database
from lookalike.store.database import Database
from lookalike.store.embedded import EmbeddedStore, create, open_store
from lookalike.store.table import SCREEN_FROM
from lookalike.types import Filter
from tests.faults.processes import WRITER, line_of, running, tell
from tests.faults.store_child import ALL, BATCH, SPACE, add_batch, batch_rows

N_THREADS = 8


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of pictures enough to have short codes."""
    folder = tmp_path_factory.mktemp("stores") / "screened"
    with create(folder, SPACE) as store:
        for number in range(SCREEN_FROM // BATCH + 1):
            add_batch(store, number)
    return folder


def test_threads_share_a_reader_while_another_process_writes(tmp_path: Path) -> None:
    """Eight threads ask one reader, plainly and by filter; a process adds, deletes and compacts; no answer is wrong."""
    folder, done = tmp_path / "s", threading.Event()
    create(folder, SPACE).close()

    def ask(store: EmbeddedStore, number: int) -> int:
        n_asked = 0
        while not done.is_set():
            for where in (ALL, Filter(project="default")):  # batch 0 is never thinned out
                (best, *_), considered = store.search(batch_rows(0)[number], limit=3, where=where)
                assert (best.item.id, considered >= BATCH) == (f"0/{number}", True)
            assert store.vectors([best.item.content])[1] == [best.item.content]
            n_asked += 1
        return n_asked

    with running(WRITER, folder, 0) as writer, open_store(folder) as reader, ThreadPoolExecutor(N_THREADS) as pool:
        while line_of(writer) != "added 0":
            pass
        tasks = [pool.submit(ask, reader, number) for number in range(N_THREADS)]
        n_compactions = 0
        while n_compactions < 10 and not any(task.done() for task in tasks):
            n_compactions += line_of(writer) == "compacted"
        done.set()
        assert all(task.result() for task in tasks)


def test_the_log_stays_short_under_readers_that_never_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some reader is always in the middle of a search, the write-ahead log is begun anew all the same."""
    monkeypatch.setattr(database, "LOG_BYTES", 500_000)
    folder, done = tmp_path / "s", threading.Event()

    def read_without_a_gap() -> None:
        reader, current = Database(folder, write=False), ExitStack()
        while not done.is_set():
            following = ExitStack()
            following.enter_context(reader.reading()).execute("SELECT * FROM state").fetchone()
            current.close()
            current = following
        current.close()
        reader.close()

    with create(folder, SPACE) as store, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_without_a_gap)
        for number in range(60):
            add_batch(store, number)
        done.set()
        reading.result()
        assert (folder / "items.sqlite-wal").stat().st_size < 1_000_000


@pytest.mark.parametrize(("other", "reason"), [(True, "replaced by another"), (False, "no index .* any more")])
def test_an_index_swapped_while_it_is_being_opened_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bool, reason: str
) -> None:
    """A thread whose connection leads to another index, as far along as the first, mixes nothing of the two."""
    folder, connect = tmp_path / "s", Database._connect
    for name in ("s", "other"):
        with create(tmp_path / name, SPACE) as store:
            add_batch(store, 0)

    def connect_late(self: Database, mode: str, *pragmas: str) -> sqlite3.Connection:
        folder.rename(tmp_path / "gone")
        if other:
            (tmp_path / "other").rename(folder)
        return connect(self, mode, *pragmas)

    with open_store(folder) as reader, reader._database.reading():  # its only connection is taken
        monkeypatch.setattr(Database, "_connect", connect_late)
        with pytest.raises(StoreError, match=reason):
            reader.search(batch_rows(0)[0], limit=1, where=ALL)


SEARCHER = """
with open_store(Path(sys.argv[1])) as store:
    print(len(store.search(batch_rows(0)[0], limit=3, where=ALL)[0]), flush=True)
    for _ in sys.stdin:
        try:
            print(len(store.search(batch_rows(1)[0], limit=3, where=ALL)[0]), flush=True)
        except StoreError as error:
            print(type(error).__name__, error, flush=True)
"""


@pytest.mark.parametrize("pattern", ["high-*.i8", "low-*.i8", "codes-*.i8"])
def test_a_file_cut_off_under_a_reader_is_an_error_not_a_crash(screened: Path, tmp_path: Path, pattern: str) -> None:
    """Rows that were mapped and are gone are named; touching them would end the process (SIGBUS)."""
    folder = shutil.copytree(screened, tmp_path / "s")
    with running(SEARCHER, folder) as reader:
        assert line_of(reader) == "3"
        (victim,) = folder.glob(pattern)
        os.truncate(victim, 8192)
        tell(reader, "search")
        assert line_of(reader).startswith(f"StoreCorrupt {victim} is cut off")


def test_a_store_made_anew_in_the_same_folder_leaves_mapped_rows_whole(tmp_path: Path) -> None:
    """A reader in the middle of a search keeps the rows it sees; its next call says that the index was replaced."""
    folder = tmp_path / "s"
    with create(folder, SPACE) as writer:
        add_batch(writer, 0)
    with open_store(folder) as reader, reader._snapshot() as (_, _, table):
        before = table.rows([0, BATCH - 1])
        for path in folder.glob("items.sqlite*"):
            path.unlink()
        create(folder, SPACE).close()
        assert (table.rows([0, BATCH - 1]) == before).all()
        with pytest.raises(StoreError, match="replaced by another"):
            reader.search(batch_rows(0)[0], limit=1, where=ALL)
