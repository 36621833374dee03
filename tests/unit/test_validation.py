"""Complaints about requests: a field's name and a sentence of ours, whatever pydantic calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from lookalike.errors import InputError
from lookalike.http.questions import ExampleOptions, SearchRequest, WordsOptions
from lookalike.http.schemas import ImageRequest, OpenAIRequest, TextRequest, parse
from lookalike.http.validation import invalid

BODIES = (TextRequest, ImageRequest, OpenAIRequest, SearchRequest)
QUERY_STRINGS = (WordsOptions, ExampleOptions)
WRONG = [None, True, 5, -1, 1e9, 0.5, "", "x", [], [5], [None] * 20, {}, {"x": 1}, [{"x": 1}]]
"""At least one of them fits no field."""


def complaints(model: type[BaseModel], document: dict[str, Any]) -> list[Any]:
    """What pydantic has against a query string, as FastAPI hands it on."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [{**one, "loc": ("query", *one["loc"])} for one in error.errors()]
    return []


def refusal_of(model: type[BaseModel], document: dict[str, Any]) -> InputError | None:
    """Why a body is refused, if it is."""
    try:
        parse(model, json.dumps(document).encode())
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("model", "field"), [(model, field) for model in BODIES for field in [*model.model_fields, "made_up"]]
)
def test_a_bad_field_of_a_body_is_named_in_our_words(model: type[BaseModel], field: str) -> None:
    """Whatever stands in a field, the refusal begins with its name, and no sentence of pydantic's shows."""
    required = {name: "x" for name, info in model.model_fields.items() if info.is_required()}
    refusals = [refusal_of(model, {**required, field: value}) for value in WRONG]
    ours = [refusal for refusal in refusals if refusal is not None]
    assert ours or (model, field) == (OpenAIRequest, "made_up")  # it takes what it does not know
    assert all(refusal.item.startswith(field) for refusal in ours)
    assert not [str(refusal) for refusal in ours if "cannot be used" in str(refusal)]


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 5_000, "nan"], ids=lambda value: value[:5])
@pytest.mark.parametrize("model", QUERY_STRINGS)
def test_a_bad_parameter_is_named_in_our_words(model: type[BaseModel], value: str) -> None:
    """The same of a query string, where every value is a text."""
    for field in [*model.model_fields, "made_up"]:
        found = complaints(model, {"q": "a", field: [value] if field == "where" else value})
        if found:
            refusal = invalid(found)
            assert refusal.item == field
            assert "cannot be used" not in str(refusal)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "q: is missing: add it."),
        ({"q": "a", "lmit": "3"}, "lmit: is not known here: correct its name, or leave it out."),
        ({"q": "a", "limit": "many"}, "limit: must be a whole number."),
        ({"q": "a", "limit": "0"}, "limit: must be 1 or more."),
        ({"q": "a", "limit": "5000"}, "limit: must be 1000 or less."),
        ({"q": "a", "min_confidence": "much"}, "min_confidence: must be a number."),
        ({"limit": "many", "lmit": "3"}, "q: is missing: add it (and 2 more)."),
    ],
)
def test_what_to_do_is_said(document: dict[str, Any], sentence: str) -> None:
    """Each complaint about a query string, as its caller reads it."""
    found = sorted(complaints(WordsOptions, document), key=lambda one: one["type"] != "missing")
    assert str(invalid(found)) == sentence


def test_what_is_invalid_is_not_repeated() -> None:
    """The place of a value and how many more are wrong; never the value, which may be a secret."""

    class Body(BaseModel):
        texts: list[str]
        limit: int

    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"texts": ["a", 7], "limit": "secret"})
    error = invalid([{**one, "loc": ("body", *one["loc"])} for one in caught.value.errors()])
    assert (error.item, error.reason) == ("texts[1]", "must be a text (and 1 more).")


def test_a_complaint_that_nobody_foresaw_is_a_sentence_too() -> None:
    """What is in no table is pydantic's own, behind the field's name."""
    found = {"type": "date_parsing", "loc": ("body", "day"), "msg": "Input should be a valid date"}
    assert str(invalid([found])) == "day: cannot be used: Input should be a valid date."
