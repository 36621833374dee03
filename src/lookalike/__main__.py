"""The command `lookalike`, and `python -m lookalike`.

A worker process imports its parent's main script again (docs.python.org, multiprocessing, "Safe importing of main
module"): of the command that is this file, which is why it imports nothing that costs.
"""

import atexit
import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):  # a closed one is None, which not every library expects
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  pathlib costs, and it stays open
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background of a script
    if heeded:
        signal.signal(signal.SIGINT, _end)  # there is nothing to unwind yet, and libraries swallow it while imported
        # The interpreter's last steps bring the system's handler back, and the status would be that of a signal.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    if sys.argv[1:2] == ["serve"]:
        from lookalike.service import prepare_service

        prepare_service()  # it works while the rest of the command line is imported
    from lookalike.cli import main as run

    if heeded:
        signal.signal(signal.SIGINT, _interrupt)
    run(prog_name="lookalike")


def _interrupt(*_: object) -> None:
    """End in order, which may take as long as a batch; if asked once more, at once."""
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt


def _end(*_: object) -> None:
    """End as a killed process does, which no index minds: to unwind twice leaves threads in libraries, which abort."""
    cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress bar hides it
    with suppress(OSError):  # the terminal may be closed
        os.write(2, cursor + b"\nInterrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
