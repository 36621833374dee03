"""Which pictures may be ordered: whose they are, whether they look like pictures, whether their place may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

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

MAX_FACTS_BYTES = 16 << 10
"""Of a caption, and of all keys and values of metadata: an answer has those of a thousand items, written in one go."""

MAX_KEYS = 100
"""Of metadata: a folder's index has a row for each."""


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
        for field, text, max_bytes in _texts(handed):
            _require_text(text, max_bytes, item=f"{handed.name}.{field}".lstrip("."))
        if (n := len(handed.metadata)) > MAX_KEYS:
            sentence = f"has {n:,} keys in its metadata; {MAX_KEYS:,} are allowed."
            raise TooLarge(sentence, item=handed.name, actual=n, limit=MAX_KEYS)
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


def _texts(handed: Handed) -> Iterator[tuple[str, str, int]]:
    """What the texts of a picture are called, and how many bytes each may have."""
    yield "id", handed.id, MAX_NAME_BYTES
    yield "project", handed.project or "", MAX_NAME_BYTES
    yield "uri", handed.uri, MAX_NAME_BYTES
    yield "caption", handed.caption, MAX_FACTS_BYTES
    yield "metadata", "".join(chain.from_iterable(handed.metadata.items())), MAX_FACTS_BYTES


def _require_text(text: str, max_bytes: int, *, item: str) -> None:
    n_bytes = len(text.encode())
    if n_bytes > max_bytes:
        raise TooLarge(f"has {n_bytes:,} bytes; {max_bytes:,} are allowed.", item=item, actual=n_bytes, limit=max_bytes)
    if "\0" in text:
        raise InputError("has the character U+0000 in it, which is no text.", item=item)
