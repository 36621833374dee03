"""What pydantic finds wrong with a request, as one error in our words: the field, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lookalike.errors import InputError

MAX_NAME = 60
"""Characters of a field's name that an error repeats: the client may have made it up."""

KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
}
"""What a value must be, by the type of pydantic's error (docs.pydantic.dev/latest/errors/validation_errors)."""

SENTENCES = {
    "missing": "is missing: add it",
    "extra_forbidden": "is not known here: correct its name, or leave it out",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "too_short": "has {actual_length} entries: send {min_length} or more",
    "too_long": "has {actual_length} entries; {max_length} are allowed: send fewer",
}
"""What else may be wrong with it. Both tables are filled in from the error's own `ctx`."""

_UNION_TAGS = frozenset({"str", "Picture"})  # pydantic names the branch of a union that it tried


def invalid(errors: Sequence[Mapping[str, Any]]) -> InputError:
    """What pydantic found wrong with a request, as one error; what the request said is not repeated."""
    if not errors:
        return InputError("The request cannot be read.")
    if errors[0]["type"] == "json_invalid":
        return InputError(f"The body is not JSON: {errors[0]['ctx']['error']}.")
    place = place_of(errors[0])
    here = [error for error in errors if place_of(error) == place]
    n_others = len({place_of(error) for error in errors} - {place})
    more = f" (and {n_others} more)" if n_others else ""
    return InputError(f"{_complaint(here)}{more}.", item=place)


def place_of(error: Mapping[str, Any]) -> str:
    """The field that an error is about: ("body", "images", 3, "url") -> "images[3].url"."""
    location = error["loc"]
    parts = [part for part in location[1:] if part not in _UNION_TAGS] or location[:1]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME]}" for part in parts).lstrip(".")


def _complaint(errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with one field; several errors are the branches of a union, any of which would do."""
    wanted = [KINDS[error["type"]].format_map(error.get("ctx", {})) for error in errors if error["type"] in KINDS]
    if wanted:
        return f"must be {' or '.join(dict.fromkeys(wanted))}"
    first = errors[0]
    known = SENTENCES.get(first["type"])
    return f"cannot be used: {first['msg']}" if known is None else known.format_map(first.get("ctx", {}))
