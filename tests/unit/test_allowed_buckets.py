"""Which objects of buckets may be named over HTTP, and whose they are."""

from __future__ import annotations

import pytest

from lookalike.errors import AccessDenied, ConfigError, InputError
from lookalike.http.buckets import Buckets
from lookalike.http.keys import Caller

BUCKETS = Buckets.parse(["s3://photos", "s3://photos/shop-a/=shop-a", "gs://b/x=y=shop b"])
EVERYBODY = Caller("all", frozenset({"write"}))


def keyed(*projects: str) -> Caller:
    """A key for some projects."""
    return Caller("some", frozenset({"write"}), frozenset(projects))


@pytest.mark.parametrize(
    ("uri", "named", "project"),
    [
        ("s3://photos/a.png", None, None),
        ("s3://photos/a.png", "shop", "shop"),
        ("s3://photos/shop-a/a.png", None, "shop-a"),
        ("s3://photos/shop-a/a.png", "shop-a", "shop-a"),
        ("s3://photos/shop-ab/a.png", None, None),
        ("gs://b/x=y/a.png", None, "shop b"),
    ],
)
def test_the_longest_prefix_says_whose_an_object_is(uri: str, named: str | None, project: str | None) -> None:
    """A folder's own project, or else what the request says."""
    assert BUCKETS.project_of(uri, named=named, caller=EVERYBODY) == project


@pytest.mark.parametrize(
    "uri", ["s3://photos-private/a.png", "s3://other/a.png", "gs://photos/a.png", "gs://b/y/a.png"]
)
def test_other_buckets_are_not_read(uri: str) -> None:
    """What is not listed is refused, also where its name begins as one that is."""
    with pytest.raises(AccessDenied, match="takes no pictures from"):
        BUCKETS.project_of(uri, named=None, caller=EVERYBODY)


def test_an_object_of_one_project_is_not_handed_to_another() -> None:
    """A request cannot say that it belongs elsewhere."""
    with pytest.raises(AccessDenied, match="another project"):
        BUCKETS.project_of("s3://photos/shop-a/a.png", named="shop-b", caller=EVERYBODY)


@pytest.mark.parametrize("uri", ["s3://photos/a.png", "s3://photos/shop-a/a.png", "s3://nowhere/a.png"])
def test_a_key_for_some_projects_reads_their_buckets_alone(uri: str) -> None:
    """A shared bucket, another project's and one that is not there are refused in the same words."""
    with pytest.raises(AccessDenied, match="takes no pictures from"):
        BUCKETS.project_of(uri, named=None, caller=keyed("shop-b"))
    assert BUCKETS.project_of("s3://photos/shop-a/a.png", named=None, caller=keyed("shop-a")) == "shop-a"


@pytest.mark.parametrize(
    "uri",
    [
        *("/etc/passwd", "file:///etc/passwd", "photos/a.png", "ftp://photos/a.png", "s3:photos/a.png", ""),
        *("s3://", "s3://photos", "s3://photos/", "s3://photos/../private/a.png", "s3://photos/a/./b.png"),
        *("s3://photos//a.png", "s3://photos/shop-a/..", "s3:///a.png"),
    ],
)
def test_what_is_no_object_is_refused(uri: str) -> None:
    """Files of the service's machine, and names that somebody on the way could take for a path to elsewhere."""
    with pytest.raises(InputError):
        BUCKETS.project_of(uri, named=None, caller=EVERYBODY)


@pytest.mark.parametrize("word", ["photos", "s3://", "http://photos", "s3://photos=", "s3://photos= ", "=shop"])
def test_a_setting_that_names_no_bucket_is_an_error(word: str) -> None:
    """The service does not start with it, and the sentence names the setting."""
    with pytest.raises(ConfigError, match="LOOKALIKE_BUCKETS"):
        Buckets.parse([word])
