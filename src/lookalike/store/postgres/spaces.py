"""The spaces of a database: items and pictures are shared, and each space has a partition of vectors of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.changeover import Missing, SpaceEntry
from lookalike.contents import digest_of
from lookalike.errors import StoreError
from lookalike.postgres import Database, home_of
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.faults import speaking
from lookalike.store.postgres import schema, writing
from lookalike.store.postgres.finding import TIMEOUT_S
from lookalike.store.postgres.rows import plain
from lookalike.store.postgres.store import LONG_TIMEOUT_S
from lookalike.types import Rows
from lookalike.vectors import require_unit_rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection

PAGE = 1000
"""Pictures to a question when all that are missing are walked."""

Answer = TypeVar("Answer")

_SQL = statements("lookalike.store.postgres", "spaces.sql")
_STORE = statements("lookalike.store.postgres", "store.sql")


class PostgresSpaces:
    """changeover.SpaceKeeper over a database."""

    def __init__(self, url: Secret) -> None:
        self._database = schema.connect(url, timeout_s=TIMEOUT_S)

    def entries(self) -> list[SpaceEntry]:
        """All of them, by number."""

        def read(connection: Connection) -> list[Any]:
            schema.read_bound(connection, self._database.place)
            return connection.execute(_SQL["entries"]).fetchall()

        return [
            SpaceEntry(
                number=number,
                space=Space.from_json(identity),
                precision=precision,
                is_current=is_current,
                n_vectors=n_vectors,
                n_bytes=n_bytes,
            )
            for number, identity, precision, is_current, n_vectors, n_bytes in self._run(read)
        ]

    def current(self) -> int:
        """The number of the space that is searched; cheap."""
        return self._run(lambda connection: schema.read_bound(connection, self._database.place).number)

    def add(self, space: Space, *, precision: str) -> int:
        """Make an empty space beside the others; its number."""
        schema.require_length(space)

        def make(connection: Connection) -> int:
            asked = {"dim": space.dim, "identity": space.to_json(), "precision": precision}
            row = connection.execute(_SQL["insert_space"], asked).fetchone()
            names = {"space": int(row[0]) if row else 0, "dim": space.dim}
            connection.execute(_STORE["set_home"], {"home": home_of(connection)})
            connection.execute(_SQL["make_beside"].format(**names).encode())
            connection.execute(_SQL["attach"].format(**names).encode())
            return names["space"]

        return self._change(make)

    def switch(self, number: int, *, allow_missing: bool = False) -> int:
        """Let this space be the one that is searched; see changeover.SpaceKeeper.

        Writers wait for the moment of the switch, and searches for nothing. Items are looked at before, if they may
        have changed since that was done last; with `allow_missing` after it, so that a way back takes no time.
        """
        if number == self.current():
            return 0
        if not allow_missing:
            self._require_whole(number)

        def change(connection: Connection) -> bool:
            asked = {"space": number}
            connection.execute(_STORE["lock_compacting"])
            schema.read_bound(connection, self._database.place, number)
            is_whole = _is_whole(connection, number)
            if not is_whole and not allow_missing:  # somebody has written since it was looked at
                self._refuse(_n_bare(connection, number), number)
            if not is_whole and allow_missing:
                connection.execute(_SQL["note_gaps"], asked)
            connection.execute(_SQL["note_way_back"], asked)
            connection.execute(_SQL["switch"], asked)
            return is_whole or not allow_missing

        return 0 if self._change(change) else self._run(lambda connection: _n_bare(connection, number))

    def _require_whole(self, number: int) -> None:
        """StoreError unless every item has a vector in this space."""
        self._run(lambda connection: schema.read_bound(connection, self._database.place, number))
        if not self._run(lambda connection: _is_whole(connection, number)):
            current = self.current()
            self._refuse(self._run(lambda connection: _note_whole(connection, of=current, space=number)), number)

    def _refuse(self, n: int, number: int) -> None:
        if n:
            place = self._database.place
            raise StoreError(
                f"{n:,} items of {place} have no vector in space {number}. Run: lookalike spaces fill {number}. Or "
                "switch with --allow-missing: those are not found then.",
                store=place,
            )

    def drop(self, number: int) -> None:
        """Remove a space with its vectors. StoreLocked if searches of it do not end within seconds."""
        place = self._database.place

        def remove(connection: Connection) -> None:
            current = schema.read_bound(connection, place).number
            schema.read_bound(connection, place, number)
            if number == current:
                raise StoreError(
                    f"Space {number} of {place} is the one that is searched: switch to another first.", store=place
                )
            connection.execute(_SQL["drop_partition"].format(space=number).encode())
            connection.execute(_SQL["delete_space"], {"space": number})

        self._change(remove)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _change(self, work: Callable[[Connection], Answer]) -> Answer:
        def change(connection: Connection) -> Answer:
            schema.read_bound(connection, self._database.place)
            with connection.transaction():
                connection.execute(_SQL["set_patience"])
                connection.execute(_SQL["lock_index"])
                return work(connection)

        return self._run(change)

    def _run(self, work: Callable[[Connection], Answer]) -> Answer:
        return self._database.run(work, timeout_s=LONG_TIMEOUT_S)


class PostgresFilling:
    """changeover.Filling of one space of a database; use `open_filling`."""

    def __init__(self, database: Database, bound: schema.Bound) -> None:
        self._database = database
        self._bound = bound
        self.space = bound.space

    def __enter__(self) -> PostgresFilling:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def n_missing(self) -> int:
        """How many pictures in use have no vector in it."""
        return int(self._rows("count_missing", {})[0][0])

    def missing(self) -> Iterator[Missing]:
        """Each of them, with the places where it may be."""
        after = 0
        while rows := self._rows("missing", {"after": after, "limit": PAGE}):
            after = rows[-1][0]
            for _, digest, item, uris in rows:
                yield Missing(content=bytes(digest).hex(), item=plain(item), uris=tuple(map(plain, uris)))

    def put(self, contents: Sequence[str], vectors: Rows) -> None:
        """Store vectors of pictures that are still there; one that has its vector keeps it."""
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        digests, number = [digest_of(content) for content in contents], self._bound.number

        def write(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_STORE["lock_writing"])
                connection.execute(_SQL["lock_vectors"])
                if connection.execute(_SQL["keep_space"], {"space": number}).fetchone() is None:
                    raise schema.no_space(self._database.place, number)
                added = writing.fill_contents(connection, number, digests, vectors)
                if added:
                    writing.note_filled(connection, number, added)

        with speaking():
            self._database.run(write, timeout_s=LONG_TIMEOUT_S)

    def settle(self, reasons: dict[str, str]) -> int:  # noqa: ARG002 - items are shared
        """Nothing is to be brought over; how many items have no vector in this space."""

        def note(connection: Connection) -> int:
            current = schema.read_bound(connection, self._database.place).number
            return _note_whole(connection, of=current, space=self._bound.number)

        return self._database.run(note, timeout_s=LONG_TIMEOUT_S)

    def _rows(self, name: str, asked: dict[str, object]) -> list[Any]:
        asked = {**asked, "space": self._bound.number}
        return self._database.run(lambda c: c.execute(_SQL[name], asked).fetchall(), timeout_s=LONG_TIMEOUT_S)


def open_filling(url: Secret, number: int) -> PostgresFilling:
    """The filling of a space. Several processes may fill one: a picture gets one vector, of whoever came first.

    Raises:
        StoreError: There is no such space, or the database cannot be reached.
    """
    database = schema.connect(url, timeout_s=TIMEOUT_S)
    try:
        return PostgresFilling(database, database.run(lambda c: schema.read_bound(c, database.place, number)))
    except BaseException:
        database.close()
        raise


def _n_bare(connection: Connection, number: int) -> int:
    """How many items have no vector in a space."""
    row = connection.execute(_STORE["check_items"], {"space": number}).fetchone()
    return int(row[0]) if row else 0


def _is_whole(connection: Connection, number: int) -> bool:
    """Whether every item is known to have a vector in a space: nothing was added since that was noted."""
    row = connection.execute(_SQL["is_whole"], {"space": number}).fetchone()
    return bool(row and row[0])


def _note_whole(connection: Connection, *, of: int, space: int) -> int:
    """Count the items without a vector in a space, and note if there are none, as of the present version of another."""
    row = connection.execute(_SQL["version"], {"space": of}).fetchone()
    n = _n_bare(connection, space)
    if row and not n:
        connection.execute(_SQL["note_whole"], {"of": of, "at": row[0], "space": space})
    return n
