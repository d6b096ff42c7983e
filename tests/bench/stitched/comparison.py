"""Requests per second, p99 and processor time compared with those of the stitched stack."""

from __future__ import annotations

from typing import Any

Figures = dict[str, Any]

#: Which of ours is compared with which stitching.
RIVALS = {"embedded": "stitched", "redis": "stitched_redis"}


def compared(contenders: dict[str, Figures]) -> dict[str, Figures]:
    """The contenders with each of ours set against its rival and against the empty endpoint."""
    figures = dict(contenders)
    for name, rival_name in RIVALS.items():
        ours, rival, empty = (contenders.get(one) for one in (name, rival_name, "empty"))
        if ours is None:
            continue
        ratios: Figures = {}
        if rival:
            ratios["ratio_to_stitched"] = round(ours["requests_per_second"] / rival["requests_per_second"], 2)
            ratios["p99_ratio_to_stitched"] = round(ours["p99_ms"] / rival["p99_ms"], 4)
            ratios["cpu_ratio_to_stitched"] = round(rival["cpu_us_per_request"] / ours["cpu_us_per_request"], 2)
        if empty:
            ratios["share_of_empty"] = round(ours["requests_per_second"] / empty["requests_per_second"], 3)
        figures[name] = ours | ratios
    return figures
