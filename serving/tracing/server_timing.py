"""The header `Server-Timing` (W3C Server Timing, §2): what a reply took in all and, for a decision, in its parts."""

from __future__ import annotations

from collections.abc import Mapping

_DECISION = b"total;dur=%.3f, wait;dur=%.3f, features;dur=%.3f, model;dur=%.3f, decision;dur=%.3f"


def server_timing(total_ns: int, parts_us: Mapping[str, int] | None = None) -> bytes:
    """The value of the header; `parts_us` are the timings of a receipt. Durations are sent in milliseconds.

    >>> server_timing(912_000)
    b'total;dur=0.912'
    >>> server_timing(912_000, {"wait": 100, "features": 42, "model": 31, "decision": 20})
    b'total;dur=0.912, wait;dur=0.100, features;dur=0.042, model;dur=0.031, decision;dur=0.020'
    """
    total = total_ns * 1e-6
    if parts_us is None:
        return b"total;dur=%.3f" % total
    wait, features, model, decision = (
        parts_us["wait"], parts_us["features"], parts_us["model"], parts_us["decision"],
    )  # fmt: skip
    return _DECISION % (total, wait * 1e-3, features * 1e-3, model * 1e-3, decision * 1e-3)
