"""Pictures that are handed in: what is sent of them, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lookalike.calls import failure_of as failure_from
from lookalike.client.answers import Fields, entries, failure_of, fields_of, place_of
from lookalike.client.inputs import Part, encoded, picture, require_texts
from lookalike.client.refusals import stranger
from lookalike.client.values import NewItem, RemoteJob, RemoteJobs
from lookalike.embed import OnError
from lookalike.errors import InputError
from lookalike.messages import Answer
from lookalike.orders import JobState
from lookalike.types import Failure


def documents(items: Sequence[NewItem], on_error: OnError, failures: list[Failure]) -> Iterator[tuple[int, str, str]]:
    """(place, name, JSON) of each picture, read when its turn comes; what cannot be read is raised or collected."""
    for place, item in enumerate(items):
        name = (item.id or f"items[{place}]").encode(errors="backslashreplace").decode()  # to be shown
        try:
            yield place, name, json.dumps(_document(item, name))
        except InputError as error:
            if on_error == "raise":
                raise
            failures.append(failure_from(place, name, error))


def body_of(part: Part[str]) -> bytes:
    """The body of the request that hands these pictures in."""
    return f'{{"items": [{", ".join(part.payloads)}]}}'.encode()


def jobs_of(answer: Answer, asked: Mapping[int, str], host: str) -> RemoteJobs:
    """The jobs of an answer.

    Args:
        answer: What came back.
        asked: The pictures that were sent, in order: for each its place in the caller's sequence, and its name.
        host: Who answers.

    Raises:
        ProviderError: It is not an answer to this: a picture has neither a job nor an error.
    """
    fields, places = fields_of(answer, host), list(asked)
    found = {place_of(entry, places, host): job_of(entry, host) for entry in entries(fields, "jobs")}
    failures = [failure_of(entry, places, asked, host) for entry in entries(fields, "errors")]
    if {failure.position for failure in failures} != set(places).difference(found):
        raise stranger(host, "leaves pictures without a job and without an error")
    return RemoteJobs(tuple(found[place] for place in sorted(found)), tuple(failures))


def job_of(fields: Fields, host: str) -> RemoteJob:
    """One job. ProviderError if it is none."""
    try:
        return RemoteJob(
            number=int(fields["job"]),
            id=str(fields["id"]),
            project=str(fields["project"]),
            state=JobState(fields["state"]),
            attempts=int(fields.get("attempts", 0)),
            reason=str(fields.get("reason", "")),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise stranger(host, "does not describe its jobs") from error


def _document(item: NewItem, name: str) -> dict[str, object]:
    if (item.image is None) == (item.uri is None):
        raise InputError("is handed in by exactly one of image and uri.", item=name)
    is_file = isinstance(item.image, str | Path)
    fields = {
        "id": item.id or (Path(str(item.image)).name if is_file else None),
        "image": None if item.image is None else encoded(picture(item.image, name)),
        "uri": item.uri,
        "project": item.project,
        "caption": item.caption or None,
        "metadata": dict(item.metadata) or None,
    }
    require_texts(fields, item=name)
    return {field: value for field, value in fields.items() if value is not None}
