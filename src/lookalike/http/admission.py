"""Which pictures may be ordered: whose they are, whether they look like pictures, whether their place may be asked."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import AccessDenied, InputError, LookalikeError, TooLarge
from lookalike.http.buckets import Buckets
from lookalike.http.fetching import Fetcher
from lookalike.http.intake import Wanted
from lookalike.http.keys import Caller
from lookalike.http.orders import Handed
from lookalike.image import require_picture
from lookalike.orders import Order
from lookalike.policy import ImagePolicy

MAX_NAME_BYTES = 2_000
"""Of an id, of a project's name and of a place: an index in PostgreSQL takes few more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What may be handed in by one caller.

    Attributes:
        caller: Who it is.
        default: The project where neither the request nor the key says one.
        policy: What the image door lets through.
        fetcher: Knows which URLs may be asked; None if none may.
        buckets: The buckets whose objects may be named.
    """

    caller: Caller
    default: str
    policy: ImagePolicy
    fetcher: Fetcher | None
    buckets: Buckets

    def admit(self, handed: Handed) -> Wanted | LookalikeError:
        """The picture as it may be ordered, or why it may not."""
        try:
            return self._admitted(handed)
        except (InputError, AccessDenied) as error:
            return error

    def _admitted(self, handed: Handed) -> Wanted:
        if isinstance(handed.data, LookalikeError):
            raise handed.data
        for field, name in (("id", handed.id), ("project", handed.project or ""), ("uri", handed.uri)):
            _require_short(name, f"{handed.name}.{field}".lstrip("."))
        if any("\0" in text for text in (handed.caption, *handed.metadata, *handed.metadata.values())):
            raise InputError("has the character U+0000 in its caption or metadata, which is no text.", item=handed.name)
        if handed.data is not None:
            require_picture(handed.data, self.policy, item=handed.name)
            project = self.caller.writes_to(handed.project, default=self.default)
        else:
            project = self._project_elsewhere(handed)
        order = Order(
            id=handed.id or handed.uri,
            uri=handed.uri,
            project=project,
            caption=handed.caption,
            metadata=handed.metadata,
        )
        return Wanted(order=order, data=handed.data, name=handed.name)

    def _project_elsewhere(self, handed: Handed) -> str:
        """The project of a picture that lies elsewhere, if that place may be asked."""
        named, default = handed.project, self.default
        if not handed.uri.lower().startswith(("http://", "https://")):
            named = self.buckets.project_of(handed.uri, named=named, caller=self.caller, item=handed.name)
        elif self.fetcher is None:
            raise AccessDenied(
                "This service does not fetch pictures from URLs: send the picture itself, or start the service with "
                "LOOKALIKE_ALLOW_URLS=1.",
                known=True,
            )
        else:
            self.fetcher.require(handed.uri)
        return self.caller.writes_to(named, default=default)


def _require_short(name: str, item: str) -> None:
    n_bytes = len(name.encode())
    if n_bytes > MAX_NAME_BYTES:
        raise TooLarge(
            f"has {n_bytes:,} bytes; {MAX_NAME_BYTES:,} are allowed.", item=item, actual=n_bytes, limit=MAX_NAME_BYTES
        )
    if "\0" in name:
        raise InputError("has the character U+0000 in it, which is no text.", item=item)
