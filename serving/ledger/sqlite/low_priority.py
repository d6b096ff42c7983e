"""A thread for work that nobody waits for: it takes what the payments leave of the processor."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

NICENESS = 10


def behind_payments(name: str) -> ThreadPoolExecutor:
    """An executor of one thread that steps back behind those that answer."""
    return ThreadPoolExecutor(1, name, _step_back)


def _step_back() -> None:
    with contextlib.suppress(OSError, AttributeError):  # threads have a niceness of their own on Linux only
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
