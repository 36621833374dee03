"""Every route under generated requests, right and wrong: no 500, no hang, and every answer is as OpenAPI says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lookalike import Config, Index
from lookalike.config import ServeSettings
from tests.pictures import picture, write
from tests.serving import Running, opened, serving

MAX_EXAMPLES = 20
TIMEOUT_S = 5.0
"""A request that takes longer hangs."""

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with every route, over an index of a few pictures."""
    home = tmp_path_factory.mktemp("fuzz")
    write(home, {f"pictures/{colour}.png": picture(colour) for colour in ("red", "blue", "green")})
    limits = ServeSettings(workers=2, max_batch_items=8, max_text_chars=1_000, buckets=("s3://photos",))
    config = replace(Config.from_environ(), model="tiny", index=home / "index", serve=limits)
    with Index.create(config=config) as index:
        index.ingest([home / "pictures"])
    with (
        opened(config) as context,
        serving(
            context.service, index=context.index, settings=limits, intake=context.intake, feeding=context.feeding
        ) as running,
    ):
        yield running


def operations(running: Running) -> Iterator[Any]:
    """Every operation that the service says it has."""
    for operation in schemathesis.openapi.from_url(f"{running.url}/openapi.json").get_all_operations():
        yield operation.ok()


def aim(case: schemathesis.Case) -> None:
    """Let a request that is as described get past what random text never hits."""
    (case.headers or {}).pop("X-Request-Timeout", None)
    if isinstance(case.body, dict) and "model" in case.body:
        case.body |= {"model": "tiny", "dimensions": None}


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_no_request_breaks_a_route(running: Running, mode: schemathesis.GenerationMode) -> None:
    """Whatever is sent, as described or not, gets an answer in time that is no 500 and that OpenAPI describes."""
    for operation in operations(running):
        sent = 0

        @settings(max_examples=MAX_EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: schemathesis.Case) -> None:
            nonlocal sent
            sent += 1
            if mode is schemathesis.GenerationMode.POSITIVE:
                aim(case)
            case.call_and_validate(checks=CHECKS, timeout=TIMEOUT_S)

        with suppress(Unsatisfiable):  # a route that takes nothing cannot be asked wrongly
            send()
        assert sent or not (operation.body or operation.query), operation.label
