"""The header `Server-Timing` (W3C Server Timing, §2): what a reply took in all and, for a decision, in its parts."""

from __future__ import annotations

from collections.abc import Mapping

#: Microseconds as milliseconds in text: formatting five numbers for every reply took 1 us, looking them up takes 0.3.
_SHORT = tuple(b"%d.%03d" % divmod(us, 1_000) for us in range(5_000))


def server_timing(total_ns: int, parts_us: Mapping[str, int] | None = None) -> bytes:
    """The value of the header; `parts_us` are the timings of a receipt, none below 0. Durations are milliseconds.

    >>> server_timing(912_000)
    b'total;dur=0.912'
    >>> server_timing(7_912_000, {"wait": 100, "features": 42, "model": 31, "decision": 20})
    b'total;dur=7.912, wait;dur=0.100, features;dur=0.042, model;dur=0.031, decision;dur=0.020'
    """
    total_us = total_ns // 1_000
    if parts_us is None:
        return b"total;dur=" + _milliseconds(total_us)
    wait, features = parts_us["wait"], parts_us["features"]
    model, decision = parts_us["model"], parts_us["decision"]
    try:
        parts = (_SHORT[total_us], _SHORT[wait], _SHORT[features], _SHORT[model], _SHORT[decision])
    except IndexError:
        parts = (
            _milliseconds(total_us), _milliseconds(wait), _milliseconds(features), _milliseconds(model),
            _milliseconds(decision),
        )  # fmt: skip
    return b"total;dur=%b, wait;dur=%b, features;dur=%b, model;dur=%b, decision;dur=%b" % parts


def _milliseconds(us: int) -> bytes:
    return b"%d.%03d" % divmod(us, 1_000)
