"""What went wrong with a bucket, said as our errors do: no sentence repeats what the bucket or its library wrote.

That may hold a key, or an address with a signature in it.
"""

from __future__ import annotations

import re

from lookalike.errors import ConfigError, ImageError, InputError, LookalikeError, RateLimited, Refused, Unavailable
from lookalike.sources.objects import ObjectName

METADATA_SERVICES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "MissingAccount")
"""Who is asked for credentials where none are set, and what Azure's library says then."""

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""By scheme the variables that hold its credentials."""

UNASKABLE = "has a name that cannot be asked for: '.', '..' or nothing between slashes, or a line break."

NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
PAUSES = frozenset({"SlowDown", "TooManyRequests", "ServerBusy", "RequestLimitExceeded"})


def translated(error: Exception, name: ObjectName, *, doing: str) -> LookalikeError:
    """The error that an error of obstore stands for.

    Args:
        error: What it raised.
        name: What it was asked for.
        doing: "read", "listed" or "written".
    """
    told, kind = str(error), type(error).__name__
    status = int(found[1]) if (found := re.search(r"status code: (\d{3})", told)) else None
    code = found[1] if (found := re.search(r"<Code>(\w+)</Code>", told)) else ""
    if code in NO_BUCKET:
        return Refused(f"There is no bucket {name.place}: check its name.", provider=name.place, status=status)
    if any(service in told for service in METADATA_SERVICES):
        return ConfigError(f"{name.place} needs credentials, and there are none: set {CREDENTIALS[name.scheme]}.")
    if "redirect without LOCATION" in told:
        return ConfigError(f"{name.place} is in another region than AWS_REGION says: set that.")
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        return Refused(
            f"{name} cannot be {doing}: {name.place} refuses it (HTTP {status or 403}). Check "
            f"{CREDENTIALS[name.scheme]}, and what they allow.",
            provider=name.place,
            status=status or 403,
        )
    if isinstance(error, FileNotFoundError):
        return ImageError("is not there.", item=str(name))
    if kind == "InvalidPathError" and doing == "listed":
        key = found[1] if (found := re.search(r'Path "(.+?)"', told, re.DOTALL)) else ""
        return InputError(f"cannot be listed past the object {key!r}: rename it. It {UNASKABLE}", item=str(name))
    if kind == "InvalidPathError" or isinstance(error, ValueError):
        return InputError(UNASKABLE, item=str(name))
    return _failed(name, doing, status, code)


def _failed(name: ObjectName, doing: str, status: int | None, code: str) -> LookalikeError:
    where = f"{name} cannot be {doing}"
    if code in PAUSES or status == 429:
        return RateLimited(
            f"{where}: its bucket asks for a pause: try again later.", provider=name.place, status=status
        )
    if status is not None and 400 <= status < 500 and status != 408:
        return Refused(f"{where}: its bucket answers HTTP {status}.", provider=name.place, status=status)
    reason = f"failed (HTTP {status})" if status else "cannot be reached, is too slow, or broke off"
    return Unavailable(f"{where}: its bucket {reason}: try again later.", provider=name.place, status=status)
