"""Which objects of buckets may be named in requests, and whose they are; loads nothing of the web framework."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lookalike.errors import AccessDenied, ConfigError, InputError
from lookalike.http.keys import Caller
from lookalike.sources.objects import SCHEMES, ObjectName
from lookalike.sources.url import shown

SETTING = "LOOKALIKE_BUCKETS"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, or a folder of one, that pictures may be taken from.

    Attributes:
        prefix: What the uri of every object of it begins with; ends in a slash.
        project: The project that all of them belong to; empty if each request says so itself.
    """

    prefix: str
    project: str = ""


class Buckets:
    """The buckets that requests may name objects of; of several that fit, the longest counts."""

    def __init__(self, buckets: Iterable[Bucket] = ()) -> None:
        self._buckets = sorted(buckets, key=lambda bucket: len(bucket.prefix), reverse=True)

    @classmethod
    def parse(cls, words: Iterable[str]) -> Buckets:
        """What the setting says: "s3://photos", "s3://photos/shop-a", or either with "=project" behind it.

        Raises:
            ConfigError: A word is none of that.
        """
        return cls(_bucket(word) for word in words)

    def find(self, uri: str) -> Bucket | None:
        """The bucket that an object is in; None if requests may not name it."""
        return next((bucket for bucket in self._buckets if uri.startswith(bucket.prefix)), None)

    def project_of(self, uri: str, *, named: str | None, caller: Caller, item: str = "") -> str | None:
        """The project that an object will belong to; None if neither its bucket nor the request says one.

        Args:
            uri: Where the object is.
            named: The project that the request names, if it does.
            caller: Who asks; a key for some projects may name objects of those projects' own buckets alone.
            item: What the picture is called in errors.

        Raises:
            InputError: It is no object of a bucket.
            AccessDenied: It may not be named, not by this key, or not for this project.
        """
        name = ObjectName.of(uri)
        if name is None:
            schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise InputError(f"must be an object of a bucket ({schemes}), as s3://bucket/key, or a URL.", item=item)
        # An object's name is no path, but on the way to it somebody may take it for one.
        if not all(part.strip(".") for part in name.key.split("/")):
            raise InputError("has an empty part, '.' or '..' between its slashes: rename the object.", item=item)
        bucket = self.find(uri)
        if bucket is None or not (caller.projects is None or caller.sees(bucket.project)):
            raise AccessDenied(
                f"This service takes no pictures from {shown(uri)}: it would have to be started with that bucket in "
                f"{SETTING}.",
                known=True,
            )
        if bucket.project and named not in (None, bucket.project):
            raise AccessDenied(f"{shown(uri)} is in a bucket of another project.", known=True)
        return bucket.project or named


def _bucket(word: str) -> Bucket:
    prefix, has_project, project = word.rpartition("=") if "=" in word else (word, "", "")
    if ObjectName.of(prefix) is None or (has_project and not project.strip()):
        raise ConfigError(f"{SETTING} names {word!r}; it must be as s3://bucket, s3://bucket/folder=project, or such.")
    return Bucket(f"{prefix.rstrip('/')}/", project.strip())
