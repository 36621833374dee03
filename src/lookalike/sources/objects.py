"""Objects of buckets, by name: "s3://bucket/key", and what opening a bucket takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.secret import Secret

SCHEMES = ("s3", "gs", "az")
"""S3 and what speaks as it does (Supabase Storage, MinIO, R2); Google Cloud Storage; Azure Blob Storage."""

VARIABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "s3": {
        "access_key_id": ("AWS_ACCESS_KEY_ID",),
        "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "session_token": ("AWS_SESSION_TOKEN",),
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "skip_signature": ("AWS_SKIP_SIGNATURE",),
    },
    "gs": {
        "application_credentials": ("GOOGLE_APPLICATION_CREDENTIALS",),
        "service_account_key": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
        "base_url": ("GOOGLE_BASE_URL",),
        "skip_signature": ("GOOGLE_SKIP_SIGNATURE",),
    },
    "az": {
        "account_name": ("AZURE_STORAGE_ACCOUNT_NAME",),
        "account_key": ("AZURE_STORAGE_ACCOUNT_KEY",),
        "sas_key": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
        "endpoint": ("AZURE_STORAGE_ENDPOINT",),
        "skip_signature": ("AZURE_SKIP_SIGNATURE",),
    },
}
"""By scheme the variables that say how buckets are reached, as the clouds' own tools have them."""


@dataclass(frozen=True, slots=True)
class ObjectName:
    """An object of a bucket, or a part of one.

    Attributes:
        scheme: One of SCHEMES.
        bucket: The name of the bucket; with Azure of the container.
        key: Its name there, as it is: nothing in it is percent-encoded. Empty for all of the bucket.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> ObjectName | None:
        """What a uri means; None if it is not of a bucket."""
        found = re.fullmatch(r"(s3|gs|az)://([^/\s]+)(?:/(.*))?", uri, re.DOTALL)
        return cls(found[1], found[2], found[3] or "") if found else None

    @property
    def place(self) -> str:
        """Its bucket, for messages."""
        return f"{self.scheme}://{self.bucket}"

    def __str__(self) -> str:
        return f"{self.place}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class BucketSettings:
    """How buckets are reached.

    Attributes:
        options: By scheme what its library is told ("access_key_id", "endpoint"); what is left out, it looks for where
            the clouds' own tools do (the role of a machine).
        timeout_s: For one request, with all of its answer.
        max_retries: How often a request is sent again that failed without being refused.
    """

    options: Mapping[str, Mapping[str, Secret]] = field(default_factory=dict)
    timeout_s: float = 30.0
    max_retries: int = 3
