"""The spaces of an index, opened: who keeps them, and who fills one.

Beside `app`, this is the only module that knows these adapters; each is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from lookalike.changeover import Filling, SpaceEntry, SpaceKeeper
from lookalike.environment import expanded
from lookalike.errors import InputError
from lookalike.places import Address, Place


@contextmanager
def open_spaces(place: Place) -> Iterator[SpaceKeeper]:
    """The spaces of the index at a place.

    Raises:
        StoreError: There is none, or it cannot be read.
        InputError: It is an attached table, which has one.
    """
    if isinstance(place, Address):
        _require_own(place)
        from lookalike.store.postgres.spaces import PostgresSpaces

        with closing(PostgresSpaces(place)) as spaces:
            yield spaces
    else:
        from lookalike.store.switching import EmbeddedSpaces

        yield EmbeddedSpaces(expanded(place, "index"))


@contextmanager
def open_filling(place: Place, number: int) -> Iterator[Filling]:
    """What fills a space of the index at a place.

    Raises:
        StoreError: There is no such space, or somebody else fills it.
    """
    if isinstance(place, Address):
        _require_own(place)
        from lookalike.store.postgres import spaces

        with spaces.open_filling(place, number) as filling:
            yield filling
    else:
        from lookalike.store import switching

        with switching.open_filling(expanded(place, "index"), number) as beside:
            yield beside


@contextmanager
def watching(place: Place) -> Iterator[Callable[[], int]]:
    """What says, cheaply, which space is searched now, by its number; StoreError if it cannot be read."""
    if isinstance(place, Address) and place.table:
        yield lambda: 0
    elif isinstance(place, Address):
        from lookalike.store.postgres.spaces import PostgresSpaces

        with closing(PostgresSpaces(place)) as spaces:
            yield spaces.current
    else:
        from lookalike.store import pointer

        folder = expanded(place, "index")
        yield lambda: pointer.read(folder).current


def _require_own(place: Address) -> None:
    if place.table:
        raise InputError(
            "an attached table has the space that it was attached with: for another model put its vectors into a "
            "column of their own, and attach the table again with that.",
            item=place.table,
        )


def chosen(entries: list[SpaceEntry], name: str) -> SpaceEntry:
    """The space that somebody means, by its number, its label or the id of its space.

    Raises:
        InputError: There is none of that name, or there are several.
    """
    found = [entry for entry in entries if name in (str(entry.number), entry.label, entry.space.id, entry.space.model)]
    exact = [entry for entry in found if str(entry.number) == name] or [e for e in found if e.label == name] or found
    if len(exact) == 1:
        return exact[0]
    known = ", ".join(f"{entry.number} ({entry.label})" for entry in (exact or entries))
    what = "is the name of several spaces: say its number" if exact else "is no space of this index"
    raise InputError(f"{name!r} {what}: {known}.")
