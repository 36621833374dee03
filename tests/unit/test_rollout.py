"""Who a feature is for."""

from __future__ import annotations

import pytest

from lookalike.config import Config
from lookalike.errors import ConfigError, FeatureOff
from lookalike.http.statuses import status_of
from lookalike.places import Address
from lookalike.rollout import Rollout

PROJECTS = [f"project {n}" for n in range(1000)]


def rollout(text: str) -> Rollout:
    """What FEATURE_IMAGE_SEARCH says, as the service reads it."""
    return Config.from_environ({"FEATURE_IMAGE_SEARCH": text}).serve.image_search


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 1000),
        ("on", 1000),
        ("1", 1000),
        ("100 %", 1000),
        ("off", 0),
        ("0", 0),
        ("False", 0),
        ("0%", 0),
    ],
)
def test_everybody_or_nobody(text: str, n: int) -> None:
    """On, unless it is switched off."""
    assert sum(map(rollout(text).has, PROJECTS)) == n


def test_some_projects_by_name() -> None:
    """Those that are named, and no other."""
    assert [name for name in ("shop", "summer", "other") if rollout("shop, summer").has(name)] == ["shop", "summer"]


def test_a_share_grows_without_taking_it_from_anybody() -> None:
    """About so many, always the same, and whoever has it at 10 % has it at 50 %; named ones have it in any case."""
    few, many = ({name for name in PROJECTS if rollout(share).has(name)} for share in ("10%", "50 %"))
    assert few < many
    assert (70 < len(few) < 130, 450 < len(many) < 550) == (True, True)
    late = next(name for name in PROJECTS if name not in many)
    assert rollout(f"50%, {late}").has(late)


@pytest.mark.parametrize(
    "text",
    ["101%", "10%, 20%", "50", "100", "50, shop", "-5%", "2.5%", "% 5", "on, shop", "shop, OFF", "25%, on"],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    """A share that is none, and a switch beside others, are no projects; the sentence names the variable."""
    with pytest.raises(ConfigError, match="FEATURE_IMAGE_SEARCH"):
        rollout(text)


def test_a_project_may_be_called_by_a_number() -> None:
    """By one that cannot have been meant as a share."""
    assert rollout("2024, 1001").projects == ("2024", "1001")


@pytest.mark.parametrize(
    ("text", "project", "sentence"),
    [
        ("off", "shop", "switched off"),
        ("off", None, "switched off"),
        ("shop", None, "for which one"),
        ("shop", "other", "'other' yet"),
    ],
)
def test_whoever_has_it_not_is_told_so(text: str, project: str | None, sentence: str) -> None:
    """404, with a sentence; all projects at once can only be searched where all have it."""
    with pytest.raises(FeatureOff, match=sentence) as caught:
        rollout(text).require("Image search", project)
    assert status_of(caught.value) == 404
    rollout("shop").require("Image search", "shop")
    rollout("on").require("Image search", None)


def test_the_backend_says_which_of_two_indexes_is_used() -> None:
    """A folder or a database, by one variable; without it LOOKALIKE_INDEX decides."""
    both = {"LOOKALIKE_INDEX": "/photos.lookalike", "DATABASE_URL": "postgresql://me@host/shop"}
    assert str(Config.from_environ(both).index) == "/photos.lookalike"
    assert str(Config.from_environ({**both, "VECTOR_BACKEND": "embedded"}).index) == "/photos.lookalike"
    database = Config.from_environ({**both, "VECTOR_BACKEND": "pgvector"}).index
    assert isinstance(database, Address)
    assert database.reveal() == both["DATABASE_URL"]
    own = {"LOOKALIKE_INDEX": "postgresql://me@host/photos", "VECTOR_BACKEND": "pgvector"}
    assert str(Config.from_environ({**both, **own}).index) == "postgresql://host/photos"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"VECTOR_BACKEND": "pgvector"}, "set DATABASE_URL"),
        ({"VECTOR_BACKEND": "pgvector", "DATABASE_URL": "mysql://hush@host/db"}, "set DATABASE_URL"),
        ({"VECTOR_BACKEND": "embedded", "LOOKALIKE_INDEX": "postgresql://me:hush@host/db"}, "set it to a folder"),
        ({"VECTOR_BACKEND": "faiss"}, "one of: auto, embedded, pgvector"),
    ],
)
def test_a_backend_without_its_index_is_refused(environ: dict[str, str], sentence: str) -> None:
    """With a sentence that says what to set, and repeats no password."""
    with pytest.raises(ConfigError, match=sentence) as caught:
        Config.from_environ(environ)
    assert "hush" not in str(caught.value)
