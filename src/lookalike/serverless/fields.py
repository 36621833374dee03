"""The fields of a request, read as what they should be, with the service's own sentences where they are not."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from lookalike.errors import InputError
from lookalike.http.contents import require_room
from lookalike.http.validation import MAX_NAME


class Fields:
    """A JSON object or a query string.

    Args:
        values: By name; of a query string, texts.
        known: Every field that there may be.
        place: What stands before a field's name in errors: "query[1]".

    Raises:
        InputError: There is a field that is not known; a misspelt one would silently do nothing.
    """

    def __init__(self, values: Mapping[str, Any], known: Collection[str], *, place: str = "") -> None:
        self.place = place
        self._values = values
        for name in values:
            if name not in known:
                raise self._error(name[:MAX_NAME], "is not known here: correct its name, or leave it out.")

    @classmethod
    def of_json(cls, body: bytes, known: Collection[str]) -> Fields:
        """The fields of a body."""
        try:
            values = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InputError("The body is not JSON.") from error
        if not isinstance(values, dict):
            raise InputError("The body must be a JSON object.")
        return cls(values, known)

    @classmethod
    def of_query(cls, query: str, known: Collection[str], *, several: Collection[str] = ()) -> Fields:
        """The fields of a query string; those of `several` may stand there more than once, and are lists."""
        values: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in several:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return cls(values, known)

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def one_of(self, *names: str) -> str:
        """The one of these fields that there is. InputError if it is none or several of them."""
        given = [name for name in names if name in self]
        if len(given) != 1:
            raise InputError(f"Send exactly one of {', '.join(map(repr, names))}.", item=self.place)
        return given[0]

    def text(self, name: str) -> str:
        """A text."""
        value = self._values.get(name)
        if not isinstance(value, str):
            raise self._error(name, "must be a text.")
        return value

    def number(self, name: str, default: float, *, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number, in JSON or as text in a query string."""
        value = self._values.get(name, default)
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not math.isfinite(found) or not least <= found <= most:
            limits = f" from {least:g} to {most:g}" if math.isfinite(least) else ""
            raise self._error(name, f"must be a number{limits}.")
        return found

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within limits."""
        found = self.number(name, default, least=least, most=most)
        if found != int(found):
            raise self._error(name, f"must be a whole number from {least} to {most}.")
        return int(found)

    def listed(self, name: str, *, most: int) -> list[Any]:
        """A list that is not empty. TooLarge if it has more entries than are allowed."""
        value = self._values.get(name)
        if not isinstance(value, list) or not value:
            raise self._error(name, "must be a list that is not empty.")
        require_room(len(value), most, name=self.called(name))
        return value

    def numbers(self, name: str) -> list[float]:
        """A list of numbers."""
        value = self._values.get(name)
        numbers = isinstance(value, list) and all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in value
        )
        if not isinstance(value, list) or not numbers:
            raise self._error(name, "must be a list of numbers.")
        return value

    def texts_by_name(self, name: str) -> dict[str, str]:
        """An object of texts, or the 'key:value' texts of a query string; empty if it is left out."""
        value = self._values.get(name) or {}
        if isinstance(value, list):
            pairs = [entry.partition(":") for entry in value]
            if not all(colon for _, colon, _ in pairs):
                raise self._error(name, "must be 'key:value'.")
            value = {key: wanted for key, _, wanted in pairs}
        if not isinstance(value, dict) or not all(isinstance(wanted, str) for wanted in value.values()):
            raise self._error(name, "must be an object of texts.")
        return value

    def optional(self, name: str) -> str | None:
        """A text, or None."""
        return self.text(name) if name in self else None

    def called(self, name: str) -> str:
        """A field's name with its place, for errors."""
        return f"{self.place}.{name}" if self.place else name

    def _error(self, name: str, reason: str) -> InputError:
        return InputError(reason, item=self.called(name))
