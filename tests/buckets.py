"""S3 of the tests' own, on loopback: moto, which keeps buckets in memory and speaks the real protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from lookalike.secret import Secret
from lookalike.sources.bucket import BucketClient
from lookalike.sources.objects import BucketSettings

SECRET = "not/to-be-seen+in-any-error/"
"""May end in a slash, as AWS's own may."""


@dataclass(frozen=True)
class Bucket:
    """An empty bucket.

    Attributes:
        name: Its name.
        variables: The environment that reaches it.
        boto: Another client, which the bucket's owner uses.
    """

    name: str
    variables: Mapping[str, str]
    boto: Any

    @property
    def place(self) -> str:
        return f"s3://{self.name}/"

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.boto.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return bytes(self.boto.get_object(Bucket=self.name, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        self.boto.delete_object(Bucket=self.name, Key=key)

    @property
    def keys(self) -> list[str]:
        return [found["Key"] for found in self.boto.list_objects_v2(Bucket=self.name).get("Contents", ())]

    @property
    def client(self) -> BucketClient:
        return BucketClient(access(self.variables["AWS_ENDPOINT_URL"]))


def access(endpoint: str, *, timeout_s: float = 5.0, max_retries: int = 1) -> BucketSettings:
    """Settings for a server that speaks S3."""
    told = {
        "access_key_id": "a-key",
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "endpoint": endpoint,
    }
    options = {"s3": {name: Secret(value) for name, value in told.items()}}
    return BucketSettings(options=options, timeout_s=timeout_s, max_retries=max_retries)


@contextmanager
def running_s3() -> Iterator[str]:
    """A server without buckets; its address. Skips, saying so, where moto is not installed."""
    server = pytest.importorskip("moto.server", reason="moto is not here: pip install 'moto[server]'")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def new_bucket(endpoint: str) -> Bucket:
    """An empty bucket on that server."""
    import boto3

    name = f"photos-{uuid4().hex[:12]}"
    variables = {
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
    }
    boto = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="a-key",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    boto.create_bucket(Bucket=name)
    return Bucket(name, variables, boto)
