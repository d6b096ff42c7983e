"""Refuses a second process on one ledger, whose order two services would break."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from serving.errors import CannotStart

FILE = "service.lock"
#: `is_served` of another process may hold the lock for an instant.
TRIES, RETRY_SECONDS = 5, 0.02


def lock(var: Path) -> IO[str]:
    """Lock the ledger in the folder for this process; closing the file unlocks it.

    Raises: CannotStart when another process holds it.
    """
    var.mkdir(parents=True, exist_ok=True)
    file = (var / FILE).open("a")
    for tries_left in reversed(range(TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError as error:
            if not tries_left:
                file.close()
                raise CannotStart(
                    f"Another process serves the ledger in {var}.",
                    "Stop it first, or set RISKGATE_VAR to a folder of its own.",
                ) from error
            time.sleep(RETRY_SECONDS)
    raise AssertionError("there is at least one try")


def is_served(var: Path) -> bool:
    """Whether a process holds the lock of the ledger in the folder; asks by holding a shared one for an instant."""
    try:
        with (var / FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
