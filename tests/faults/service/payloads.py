"""Bodies that are not what the route asks for: each is to be refused with a sentence, or answered."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.faults.service.stream import data_uri
from tests.pictures import noise


def _json(**fields: object) -> bytes:
    return json.dumps({"model": "tiny", **fields}).encode()


def _image(value: object) -> bytes:
    return _json(input=value, modality="image")


BODIES: dict[str, Callable[[], bytes]] = {
    "empty body": lambda: b"",
    "not JSON": lambda: b"input=hello",
    "half of a JSON": lambda: _json(input="hello")[:-4],
    "nested 100,000 deep": lambda: b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number for a text": lambda: _json(input=7),
    "null": lambda: _json(input=None),
    "no input": _json,
    "no texts": lambda: _json(input=[]),
    "an empty text": lambda: _json(input=""),
    "text of a million letters": lambda: _json(input="long " * 200_000),
    "text with half a surrogate pair": lambda: b'{"model": "tiny", "input": "\\ud83d"}',
    "text with control characters": lambda: _json(input="\0\x01\x1b[2J\u202e"),
    "100,000 texts": lambda: _json(input=["a"] * 100_000),
    "token ids": lambda: _json(input=[[1, 2, 3]]),
    "numbers that are not finite": lambda: b'{"model": "tiny", "input": NaN}',
    "an unknown model": lambda: json.dumps({"model": "gpt-9", "input": "a"}).encode(),
    "invalid UTF-8": lambda: b'{"model": "tiny", "input": "\xff\xfe"}',
    "a picture that is not base64": lambda: _image("data:image/png;base64,@@@@"),
    "a picture without its data": lambda: _image("data:image/png;base64,"),
    "a picture on a private address": lambda: _image("http://169.254.169.254/latest/meta-data"),
    "a picture by a file's path": lambda: _image("file:///etc/passwd"),
    "one broken picture among 31": lambda: _image(
        [data_uri(noise(n)) if n != 17 else data_uri(b"broken") for n in range(32)]
    ),
    "a picture of 40 MB of zeros": lambda: _image(data_uri(bytes(40_000_000))),
}
"""By name: what makes the body of a POST to /v1/embeddings."""
