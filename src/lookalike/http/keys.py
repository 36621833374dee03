"""API keys: what the settings and the file that they name say. Loads nothing of the web framework."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, cast, get_args

from lookalike.config import ServeSettings
from lookalike.errors import ConfigError

Scope = Literal["embed", "search", "write"]
"""What a key allows: vectors; searching, and looking at items; changing the index."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
MIN_KEY_CHARS = 16

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what for they may ask."""

    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: whose it is, and the sha256 of its text, which itself is not kept."""

    caller: Caller
    digest: bytes = field(repr=False)


def read_keys(settings: ServeSettings) -> list[ApiKey]:
    """The keys of the settings and of the file that they name.

    Raises:
        ConfigError: A line cannot be used, or a source of keys has none: that must not open the service to everybody.
    """
    keys: list[ApiKey] = []
    if settings.api_keys:
        keys += _parse("LOOKALIKE_API_KEYS", "entry", settings.api_keys.split(";"))
    if settings.api_keys_file is not None:
        place = f"LOOKALIKE_API_KEYS_FILE ({settings.api_keys_file})"
        try:
            lines = settings.api_keys_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{place} cannot be read: {reason}.") from error
        keys += _parse(place, "line", lines)
    if len({key.digest for key in keys}) < len(keys):
        raise ConfigError("LOOKALIKE_API_KEYS, LOOKALIKE_API_KEYS_FILE: one key stands there twice; remove one.")
    return keys


def _parse(place: str, unit: str, lines: list[str]) -> list[ApiKey]:
    keys = list(_parsed(place, unit, lines))
    if not keys:
        raise ConfigError(f"{place} names no key: add one, as `name embed,search KEY`, or unset it.")
    return keys


def _parsed(place: str, unit: str, lines: list[str]) -> Iterator[ApiKey]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{place}, {unit} {number}"
        if len(words) != 3:
            raise ConfigError(f"{where} has {len(words)} words where it needs three: `name embed,search KEY`.")
        name, scopes, key = words
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: the name must be 1 to 64 letters, digits, dots, dashes or underscores.")
        if not set(scopes.split(",")) <= set(SCOPES):
            raise ConfigError(f"{where}: the scopes must be of {', '.join(SCOPES)}, separated by commas only.")
        if len(key) < MIN_KEY_CHARS:
            raise ConfigError(f"{where}: the key is shorter than {MIN_KEY_CHARS} characters, so it can be guessed.")
        granted = cast(frozenset[Scope], frozenset(scopes.split(",")))
        yield ApiKey(Caller(name, granted), sha256(key.encode("utf-8")).digest())
