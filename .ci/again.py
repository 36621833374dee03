"""Run the tests that failed in `make test` once more, by themselves.

A shared machine stalls for seconds now and then, and a test with a clock in it shows that. What fails twice has
failed; so has a run of which more than a few tests failed, or a half of it that ended before it could say which.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 5
PASSED, FAILED = "0", "1"  # what pytest exits with when it ran to its end


def main() -> None:
    """Exit with 0 if all that failed pass now."""
    failed: list[str] = []
    for half in (Path(".pytest_cache/faults"), Path(".pytest_cache/rest")):
        status = half / "status"
        if not status.exists() or status.read_text().strip() not in (PASSED, FAILED):
            sys.exit(f"{half.name}: these tests did not run to their end.")
        record = half / "v/cache/lastfailed"
        failed += json.loads(record.read_text()) if record.exists() else []
    if not 0 < len(failed) <= MOST:
        sys.exit(f"{len(failed)} tests failed; 1 to {MOST} are tried again.")
    again = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *failed]
    code = subprocess.run(again, check=False).returncode  # noqa: S603
    if code == 0:
        sys.stdout.write("\n".join(["Failed at first, and passed alone:", *failed, ""]))
    sys.exit(code)


if __name__ == "__main__":
    main()
