"""What the embedded store does when the process, the disk or the files fail. Real processes, real limits."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreNotFound,
    StoreReadOnly,
    StoreTooNew,
)
from lookalike.queues.sqlite_file import QueueFile
from lookalike.store.embedded import EmbeddedStore, create, open_store
from lookalike.store.faults import read_only
from lookalike.store.memory import MemoryStore
from lookalike.store.table import SCREEN_FROM
from lookalike.types import Filter
from lookalike.vectors import normalise
from tests.faults.processes import WRITER, line_of, running, tell
from tests.faults.store_child import ALL, BATCH, DIM, SPACE, add_batch, batch_rows, thin_out
from tests.pictures import write as put


def answers(store: EmbeddedStore | MemoryStore, *, seed: int = 1) -> list[tuple[str, float]]:
    """What a fixed query finds."""
    found, _ = store.search(normalise(np.random.default_rng(seed).standard_normal((1, DIM)))[0], limit=20, where=ALL)
    return [(scored.item.id, round(scored.similarity, 4)) for scored in found]


def test_nothing_acknowledged_is_lost_by_a_killed_writer(tmp_path: Path) -> None:
    """kill -9 at 20 random moments of adding, deleting and compacting: all that was acknowledged is there, once."""
    chance = random.Random(5)
    folder, twin = tmp_path / "s", MemoryStore(SPACE)
    create(folder, SPACE).close()
    number = 0
    for _ in range(20):
        with running(WRITER, folder, number) as writer:
            acknowledged = [line_of(writer) for _ in range(chance.randint(1, 9))]
            spin(chance.uniform(0, 0.02))
            writer.send_signal(signal.SIGKILL)
            acknowledged += iter(lambda writer=writer: line_of(writer), "")
        for line in acknowledged:
            replay(twin, line)
        with open_store(folder) as store:
            number = caught_up(store, twin)
            assert answers(store) == answers(twin)
            store.check()
    with open_store(folder, write=True) as store:
        add_batch(store, number)
        add_batch(twin, number)
        assert answers(store) == answers(twin)
        assert store.stats().items == twin.stats().items


ADD_ONE = """
with open_store(Path(sys.argv[1]), write=True) as store:
    print("open", flush=True)
    add_batch(store, int(sys.argv[2]))
"""


def test_a_writer_killed_while_it_writes_short_codes_leaves_a_whole_store(tmp_path: Path) -> None:
    """kill -9 around the batch from which on there are short codes: the store is whole, and gets its codes after."""
    chance, last = random.Random(6), SCREEN_FROM // BATCH
    with create(tmp_path / "small", SPACE) as store:
        for number in range(last):
            add_batch(store, number)
        assert not list((tmp_path / "small").glob("codes-*"))
        expected = None
    for attempt in range(4):
        folder = shutil.copytree(tmp_path / "small", tmp_path / str(attempt))
        with running(ADD_ONE, folder, last) as writer:
            assert line_of(writer) == "open"
            spin(chance.uniform(0, 0.05))
            writer.kill()
            writer.wait()
        with open_store(folder, write=True) as store:
            store.check()
            assert store.stats().items in {last * BATCH, (last + 1) * BATCH}
            add_batch(store, last)
            add_batch(store, last + 1)
            store.check()
            assert len(list(folder.glob("codes-*"))) == 1
            expected = expected or answers(store)
            assert answers(store) == expected


def spin(seconds: float) -> None:
    """Let so much time pass, more exactly than sleeping would."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def replay(twin: MemoryStore, line: str) -> None:
    """Do to the twin what a writer acknowledged."""
    match line.split():
        case ["added", number]:
            add_batch(twin, int(number))
        case ["thinned", number]:
            thin_out(twin, int(number))


def caught_up(store: EmbeddedStore, twin: MemoryStore) -> int:
    """Check that the store holds what the twin does, or one whole operation more; the number of the next batch."""
    held = {item.id for item in store.items(ALL)}
    expected = {item.id for item in twin.items(ALL)}
    batches = max((int(name.split("/")[0]) + 1 for name in expected), default=0)
    if held != expected and len(held) > len(expected):
        add_batch(twin, batches)
        batches += 1
    elif held != expected:
        thin_out(twin, batches - 3)
    assert held == {item.id for item in twin.items(ALL)}
    assert store.stats().items == len(held)
    return batches


def test_a_reader_sees_each_commit_of_another_process(tmp_path: Path) -> None:
    """What a writer has acknowledged is found by the next search of a reader that was open all along."""
    folder, twin = tmp_path / "s", MemoryStore(SPACE)
    create(folder, SPACE).close()
    with open_store(folder) as reader, running(WRITER, folder, 0) as writer:
        assert line_of(writer) == "open"
        while twin.stats().items < 1000:
            line = line_of(writer)
            replay(twin, line)
            if line.startswith("added"):
                query = batch_rows(int(line.split()[1]))[7]
                assert reader.search(query, limit=1, where=ALL)[0][0].item.id == f"{line.split()[1]}/7"
                assert reader.search(query, limit=1, where=Filter(project="default"))[0][0].item.id.endswith("/7")
        assert reader.stats().items >= 1000


def test_a_reader_outlives_a_compaction(tmp_path: Path) -> None:
    """Files that a compaction has removed go on being read until the reader looks for newer ones."""
    with create(tmp_path / "s", SPACE) as writer, open_store(tmp_path / "s") as reader:
        add_batch(writer, 0)
        add_batch(writer, 1)
        thin_out(writer, 0)
        before = answers(reader)
        walk = reader.items(ALL)
        next(walk)
        assert writer.compact() == 34
        assert answers(reader) == before
        assert len(list(walk)) == 2 * BATCH - 34 - 1
        assert sorted(path.name for path in (tmp_path / "s").glob("*.i8")) == ["high-2.i8", "low-2.i8"]


def digests(folder: Path) -> dict[str, str]:
    """What every file of a store holds, but for the lock and SQLite's index of its log."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "lock" and not path.name.endswith("-shm") and path.stat().st_size
    }


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 20,000 pictures, large enough to have short codes."""
    folder = tmp_path_factory.mktemp("stores") / "pristine"
    with create(folder, SPACE) as store:
        for number in range(200):
            add_batch(store, number)
    return folder


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def garble_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 64)


def flip_a_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 + 12345)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x55]))


@pytest.mark.parametrize("pattern", ["high-*.i8", "low-*.i8", "codes-*.i8", "items.sqlite"])
@pytest.mark.parametrize("damage", [cut, empty, garble_head, Path.unlink])
def test_a_damaged_file_is_named_and_left_alone(
    pristine: Path, tmp_path: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    """Opening finds a file that is cut off, empty, foreign or missing, says which, and writes nothing."""
    folder = shutil.copytree(pristine, tmp_path / "s")
    (victim,) = folder.glob(pattern)
    damage(victim)
    before = digests(folder)
    expected = StoreNotFound if damage is Path.unlink and pattern == "items.sqlite" else StoreCorrupt
    for write in (False, True):
        with pytest.raises(expected) as caught:
            open_store(folder, write=write).close()
        assert str(folder) in str(caught.value)
        if expected is StoreCorrupt:
            assert victim.name in str(caught.value)
            assert "backup" in str(caught.value)
    assert digests(folder) == before


@pytest.mark.parametrize("pattern", ["high-*.i8", "low-*.i8", "codes-*.i8"])
def test_a_check_finds_a_single_flipped_byte(pristine: Path, tmp_path: Path, pattern: str) -> None:
    """What opening cannot afford to read, `check` does."""
    folder = shutil.copytree(pristine, tmp_path / "s")
    with open_store(folder) as store:
        store.check()
    (victim,) = folder.glob(pattern)
    flip_a_byte(victim)
    with open_store(folder) as store, pytest.raises(StoreCorrupt, match=victim.name):
        store.check()


def test_damage_within_the_database_is_found(pristine: Path, tmp_path: Path) -> None:
    """A page of the database overwritten: StoreCorrupt from `check`, never a foreign error."""
    folder = shutil.copytree(pristine, tmp_path / "s")
    path = folder / "items.sqlite"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 8192 * 8192)
        file.write(os.urandom(8192))
    with open_store(folder) as store, pytest.raises(StoreCorrupt, match=r"items\.sqlite"):
        store.check()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A store of a later version is neither read nor written; the error says to upgrade."""
    create(tmp_path / "s", SPACE).close()
    connection = sqlite3.connect(tmp_path / "s" / "items.sqlite")
    connection.execute("UPDATE meta SET format = 3")
    connection.commit()
    connection.close()
    for write in (False, True):
        with pytest.raises(StoreTooNew, match="Upgrade"):
            open_store(tmp_path / "s", write=write)


def test_an_older_format_is_read_and_made_new_by_the_next_writer(pristine: Path, tmp_path: Path) -> None:
    """A store of format 1, which had an index of digests: nothing is lost, and the index goes."""
    folder = shutil.copytree(pristine, tmp_path / "s")
    connection = sqlite3.connect(folder / "items.sqlite")
    connection.execute("CREATE UNIQUE INDEX contents_digest ON contents (digest)")
    connection.execute("UPDATE meta SET format = 1")
    connection.commit()
    with open_store(folder) as store:
        before = answers(store)
        contents, _ = store.sample(10, seed=0)
        assert store.vectors(contents)[1] == contents
    with open_store(folder, write=True) as store:
        assert answers(store) == before
        store.check()
    assert connection.execute("SELECT format FROM meta").fetchone() == (2,)
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'contents_digest'").fetchone() is None
    connection.close()


def test_a_content_that_is_there_twice_is_found(pristine: Path, tmp_path: Path) -> None:
    """No index keeps digests apart, so `check` looks."""
    folder = shutil.copytree(pristine, tmp_path / "s")
    connection = sqlite3.connect(folder / "items.sqlite")
    connection.execute("UPDATE contents SET digest = (SELECT digest FROM contents WHERE slot = 0) WHERE slot = 1")
    connection.commit()
    connection.close()
    with open_store(folder) as store, pytest.raises(StoreCorrupt, match="1 contents twice"):
        store.check()


def test_no_store_and_one_store_too_many(tmp_path: Path) -> None:
    """Opening what is not there and creating what is there are errors, and leave nothing behind."""
    with pytest.raises(StoreNotFound):
        open_store(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    create(tmp_path / "s", SPACE).close()
    with pytest.raises(StoreError, match="already"):
        create(tmp_path / "s", SPACE)
    open_store(tmp_path / "s", write=True).close()


def test_a_deleted_or_replaced_store_is_noticed(tmp_path: Path) -> None:
    """What is not there any more neither answers nor is written to, although its files are still held open."""
    folder, other = tmp_path / "a.lookalike", tmp_path / "b.lookalike"
    create(other, SPACE).close()
    with create(folder, SPACE) as writer, open_store(folder) as reader:
        add_batch(writer, 0)
        assert reader.n_items == BATCH
        folder.rename(tmp_path / "gone")
        for call in (lambda: reader.n_items, lambda: add_batch(writer, 1)):
            with pytest.raises(StoreNotFound, match="any more"):
                call()
        other.rename(folder)
        for call in (lambda: reader.n_items, lambda: add_batch(writer, 1)):
            with pytest.raises(StoreError, match="replaced by another"):
                call()


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    """One writer at a time; the other is refused at once, by process id, and may come when the first is gone."""
    create(tmp_path / "s", SPACE).close()
    with running(WRITER, tmp_path / "s", 0) as writer:
        assert line_of(writer) == "open"
        with pytest.raises(StoreLocked, match=str(writer.pid)):
            open_store(tmp_path / "s", write=True)
        writer.kill()
        writer.wait()
    with open_store(tmp_path / "s", write=True) as store, pytest.raises(StoreLocked, match=str(os.getpid())):
        add_batch(store, 999)
        open_store(tmp_path / "s", write=True)


def test_a_reader_does_not_write(tmp_path: Path) -> None:
    """Every writing method of a store that was opened for reading says so."""
    create(tmp_path / "s", SPACE).close()
    with open_store(tmp_path / "s") as store:
        for write in (
            lambda: add_batch(store, 0),
            lambda: store.delete([("default", "a")]),
            store.compact,
            lambda: store.ledger.record([]),
            lambda: store.ledger.forget("default", ["a"]),
        ):
            with pytest.raises(StoreReadOnly):
                write()


def test_who_may_not_write_is_told_what_they_can_do(tmp_path: Path) -> None:
    """An index can be searched as it is; where there is none yet, another place has to be chosen."""
    create(tmp_path / "s", SPACE).close()
    assert "Search it as it is" in str(read_only(tmp_path / "s"))
    assert "Choose another place for the index" in str(read_only(tmp_path / "new"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user of the machine may look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


POWERLESS_READER = """
folder = Path(sys.argv[1])
open_store(folder).search(batch_rows(0)[0], limit=1, where=ALL)  # what is imported late is imported now
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)  # nobody
assert not os.access(folder, os.W_OK)
try:
    open_store(folder, write=True)
except StoreReadOnly as error:
    print(type(error).__name__, flush=True)
store = open_store(folder)
for _ in sys.stdin:
    print(store.stats().items, store.search(batch_rows(0)[0], limit=1, where=ALL)[0][0].item.id, flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand a store to a user who may not write it")
@pytest.mark.parametrize("state", ["closed", "being written", "left by a killed writer"])
def test_a_read_only_folder_is_searched(open_folder: Path, state: str) -> None:
    """A user without the right to write searches a store in any state, sees new commits, and cannot write."""
    folder = open_folder / "s"
    create(folder, SPACE).close()
    with running(WRITER, folder, 0) as writer:
        while line_of(writer) != "added 2":
            pass
        writer.kill()
        writer.wait()
    holder = None if state == "left by a killed writer" else open_store(folder, write=True)
    if state == "closed" and holder is not None:
        holder.close()
    with running(POWERLESS_READER, folder) as reader:
        assert line_of(reader) == "StoreReadOnly"
        tell(reader, "search")
        n_items, first = line_of(reader).split()
        assert (int(n_items) >= 3 * BATCH, first) == (True, "0/0")
        with holder if state == "being written" and holder else open_store(folder, write=True) as store:
            add_batch(store, 900)
            tell(reader, "search")
            assert int(line_of(reader).split()[0]) == int(n_items) + BATCH


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond `n_bytes`: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """A file system of `n_bytes` at a folder."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root and the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_up(store: EmbeddedStore) -> int:
    """Add batches until the disk is full; how many were acknowledged."""
    for number in range(10_000):
        try:
            add_batch(store, number)
        except StoreFull as error:
            assert "free some space" in str(error)
            return number
    raise AssertionError("the disk never filled up")


def holds(store: EmbeddedStore, n_batches: int) -> bool:
    """Whether the store holds and finds exactly the first batches."""
    twin = MemoryStore(SPACE)
    for number in range(n_batches):
        add_batch(twin, number)
    return store.stats().items == n_batches * BATCH and answers(store) == answers(twin)


@pytest.mark.parametrize("megabytes", [1, 2, 3])
def test_a_full_disk_costs_nothing_that_was_stored(tmp_path: Path, megabytes: int) -> None:
    """On a full file system a batch fails whole; the store answers as before, and goes on when there is room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, megabytes * 1_000_000):
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(300_000))
        with create(folder / "s", SPACE) as store:
            n_batches = fill_up(store)
            assert n_batches >= 1
            assert holds(store, n_batches)
            ballast.unlink()
            add_batch(store, n_batches)
            assert holds(store, n_batches + 1)
        with open_store(folder / "s") as store:
            assert holds(store, n_batches + 1)
            store.check()


def test_a_disk_without_room_for_a_reader_is_told(tmp_path: Path) -> None:
    """The first reader needs room too, for what it shares with a writer: without it, the error says what to do."""
    with small_disk(tmp_path, 2_000_000):
        with create(tmp_path / "s", SPACE) as store:
            add_batch(store, 0)
        QueueFile(tmp_path / "s").close()
        with pytest.raises(OSError, match="No space left"), (tmp_path / "rest").open("wb", buffering=0) as rest:
            while rest.write(bytes(4096)):
                pass
        with pytest.raises(StoreFull, match="free some space"):
            open_store(tmp_path / "s")
        with pytest.raises(StoreFull, match="No room is left"):
            QueueFile(tmp_path / "s")
        (tmp_path / "rest").unlink()
        with open_store(tmp_path / "s") as store:
            assert holds(store, 1)


def test_a_limit_on_file_size_counts_as_a_full_disk(tmp_path: Path) -> None:
    """A quota by file fails a batch whole; when it is lifted the store goes on."""
    with create(tmp_path / "s", SPACE) as store:
        with file_size_limit(1_000_000):
            n_batches = fill_up(store)
            assert holds(store, n_batches)
        add_batch(store, n_batches)
        assert holds(store, n_batches + 1)
        store.check()


@pytest.mark.parametrize("name", ["lock", "a.jpg", "items", "spaces/own.txt"])
def test_a_folder_of_somebodys_files_is_left_alone(tmp_path: Path, name: str) -> None:
    """No index is made among them, not even a file that is called as ours are is touched; the error names one."""
    put(tmp_path, {name: b"mine\n", ".DS_Store": b""})
    with pytest.raises(StoreError, match=f"'{name.split('/')[0]}' for one, and no index: nothing was written"):
        create(tmp_path, SPACE)
    assert (tmp_path / name).read_bytes() == b"mine\n"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_a_folder_without_files_of_anybody_is_taken(tmp_path: Path) -> None:
    """What the system puts there is in nobody's way, nor what is left of an index that was never finished."""
    put(tmp_path, {".hidden": b"x", "lock": b"12345", "high-1.i8": b"x", "items.sqlite.new-journal": b""})
    (tmp_path / "lost+found").mkdir()
    create(tmp_path, SPACE).close()
    open_store(tmp_path).close()


MAKER = """
import resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
create(Path(sys.argv[1]), SPACE)
"""
"""Makes a store, and is killed by the kernel when a file grows beyond a limit."""

LIMITS = [1000, 2**12, 2**13, 2**15]
"""Bytes to a file: too few for the vectors' headers, and ever more of the tables."""


@pytest.mark.parametrize("n_bytes", LIMITS)
def test_a_disk_too_small_for_a_new_store(tmp_path: Path, n_bytes: int) -> None:
    """Creating a store on a full disk fails with StoreFull, and can be tried again."""
    with file_size_limit(n_bytes), pytest.raises(StoreFull):
        create(tmp_path / "s", SPACE)
    require_new(tmp_path / "s")


@pytest.mark.parametrize("n_bytes", LIMITS)
def test_the_making_of_a_store_can_be_killed(tmp_path: Path, n_bytes: int) -> None:
    """Wherever it was ended, what it left is in nobody's way: the store can be made there."""
    with running(MAKER, tmp_path / "s", n_bytes) as maker:
        assert maker.wait() == -signal.SIGXFSZ
    assert list((tmp_path / "s").iterdir())
    require_new(tmp_path / "s")


def test_a_store_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """However little room there is: the error is StoreFull, or there is a store that can be read."""
    made = []
    for n_pages in range(12, 60, 2):
        with small_disk(tmp_path, n_pages * 2**12):
            try:
                create(tmp_path / "s", SPACE).close()
            except StoreFull:
                made.append(False)
            else:
                made.append(True)
            subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path)], check=True)
            if made[-1]:
                open_store(tmp_path / "s").close()
            else:
                require_new(tmp_path / "s")
    assert set(made) == {True, False}


def require_new(folder: Path) -> None:
    """Make a store, and see that it holds what it is given."""
    with create(folder, SPACE) as store:
        add_batch(store, 0)
        assert holds(store, 1)
        store.check()
