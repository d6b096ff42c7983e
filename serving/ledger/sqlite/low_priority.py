"""A one-thread executor with raised niceness for background work."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

NICENESS = 10


def low_priority_executor(name: str) -> ThreadPoolExecutor:
    """An executor of one thread whose niceness is raised by `NICENESS` (Linux; elsewhere a plain one)."""
    return ThreadPoolExecutor(1, name, _raise_niceness)


def _raise_niceness() -> None:
    with contextlib.suppress(OSError, AttributeError):  # only Linux has a niceness per thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
