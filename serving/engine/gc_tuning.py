"""Python's collector, kept from what lives until the end: looking at all of that again takes 20-80 ms at a time."""

from __future__ import annotations

import gc


def keep_what_is_there() -> None:
    """Let the collector look at new objects only, and seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
