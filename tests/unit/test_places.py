"""What an address of an index says, shows and means."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.errors import ConfigError
from lookalike.places import Address, address_of, place_of

HOST = "postgresql://me:secret@host/db"


@pytest.mark.parametrize(
    ("text", "table", "database", "shown"),
    [
        (f"{HOST}#photos", "photos", HOST, "postgresql://host/db#photos"),
        (
            f"{HOST}?sslmode=require#shop.photos",
            "shop.photos",
            f"{HOST}?sslmode=require",
            "postgresql://host/db#shop.photos",
        ),
        (f"{HOST}#My%20%22Photos%22", 'My "Photos"', HOST, "postgresql://host/db#My%20%22Photos%22"),
        (HOST, "", HOST, "postgresql://host/db"),
        (f"{HOST}#", "", HOST, "postgresql://host/db"),
        ("postgresql://me:sec#ret@host/db", "", "postgresql://me:sec#ret@host/db", "postgresql://host/db"),
        ("postgresql://me:s#t@host/db#photos", "photos", "postgresql://me:s#t@host/db", "postgresql://host/db#photos"),
        ("postgresql://host/db?password=se#cret", "", "postgresql://host/db?password=se#cret", "postgresql://host/db"),
    ],
)
def test_what_stands_after_the_sign_is_a_table(text: str, table: str, database: str, shown: str) -> None:
    """The name of a table is read and shown; a sign in a password is part of that, and never shown."""
    place = place_of(text)
    assert isinstance(place, Address)
    assert (place.table, place.database.reveal(), str(place)) == (table, database, shown)
    assert "sec" not in repr(place)


@pytest.mark.parametrize("name", ['a "b"', "a#b/c?d&e=f:g@h", "100%", "写真", "shop.photos"])
def test_a_table_is_found_again_by_its_address(name: str) -> None:
    """Any name of a table goes into an address and comes out of it."""
    place = Address(HOST).at("other").at(name)
    assert (place.table, place.database.reveal()) == (name, HOST)


@pytest.mark.parametrize("name", ["a#b", "host", "user/photos", "postgres", "C:/photos", "a=b"])
def test_folders_are_paths(name: str) -> None:
    """What is no address of a database is a folder, with a sign in its name or not."""
    assert place_of(name) == Path(name)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://me:secret@host/db",
        "POSTGRESQL://me:secret@host/db",
        "postgresql:/me:secret@host/db",
        "mysql://me:secret@host/db",
        "host=db password=secret",
        "password = secret host=db",
    ],
)
def test_an_address_in_another_form_is_no_folder(text: str) -> None:
    """It is refused, and not repeated: made into a folder, it would show its password to whoever lists files."""
    with pytest.raises(ConfigError, match="postgresql://user:password@host/database") as caught:
        place_of(text)
    assert "secret" not in str(caught.value)


def test_a_database_of_another_make_is_none_of_ours() -> None:
    """A product's own DATABASE_URL may be anything."""
    assert address_of("mysql://me:secret@host/db") is None
    assert address_of(HOST) == Address(HOST)
