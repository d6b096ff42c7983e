"""Refuses a second process on one ledger, whose order two services would break."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from serving.errors import CannotStart


def lock(var: Path) -> IO[str]:
    """Lock the ledger in the folder for this process; closing the file unlocks it.

    Raises: CannotStart when another process holds it.
    """
    var.mkdir(parents=True, exist_ok=True)
    file = (var / "service.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise CannotStart(
            f"Another process serves the ledger in {var}.",
            "Stop it first, or set RISKGATE_VAR to a folder of its own.",
        ) from error
    return file
