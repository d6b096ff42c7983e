"""The figures of a benchmark as one JSON object and one page of Markdown."""

from __future__ import annotations

from typing import Any

Figures = dict[str, Any]


def compared(contenders: dict[str, Figures]) -> dict[str, Figures]:
    """The contenders with ours set against the others."""
    ours, stitched, empty = (contenders.get(name) for name in ("embedded", "stitched", "empty"))
    ratios: Figures = {}
    if ours and stitched:
        ratios["ratio_to_stitched"] = round(ours["requests_per_second"] / stitched["requests_per_second"], 2)
        ratios["p99_ratio_to_stitched"] = round(ours["p99_ms"] / stitched["p99_ms"], 4)
    if ours and empty:
        ratios["share_of_empty"] = round(ours["requests_per_second"] / empty["requests_per_second"], 3)
    return contenders | ({"embedded": ours | ratios} if ours else {})


def page(report: Figures, titles: dict[str, str]) -> str:
    """The Markdown page."""
    machine, load = report["machine"], report["load"]
    lines = [
        "# Benchmark",
        "",
        f"{report['date']} · {machine['processor']}, {machine['cores']} cores, {machine['memory_gigabytes']} GB, "
        f"{machine['system']}, load before {machine['load_before']}",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        "",
        f"Closed loop, {load['connections']} connections, every request a distinct valid payment, load generator on "
        f"the same machine, {load['rounds']} interleaved rounds of {load['seconds']:g} s after "
        f"{load['warm_seconds']:g} s of warm-up. Medians of the rounds, in brackets the slowest and the fastest.",
        "",
        "| contender | requests/s | p50 ms | p99 ms | p99.9 ms | errors |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in titles.items():
        if name in report:
            f = report[name]
            low, high = f["lowest_requests_per_second"], f["highest_requests_per_second"]
            lines.append(
                f"| {title} | {f['requests_per_second']:,.0f} ({low:,.0f}–{high:,.0f}) | {f['p50_ms']:.2f} "
                f"| {f['p99_ms']:.2f} | {f['p999_ms']:.2f} | {f['errors']} |"
            )
    ours = report.get("embedded", {})
    if "ratio_to_stitched" in ours:
        lines += [
            "",
            f"riskgate answers {ours['ratio_to_stitched']:.1f} times the requests of the usual stitching at "
            f"{ours['p99_ratio_to_stitched']:.2f} of its p99 latency; {ours['fully_answered_share']:.2%} of its "
            "answers were of tier `full`.",
        ]
    if "share_of_empty" in ours:
        lines.append(f"It reaches {ours['share_of_empty']:.0%} of what BentoML answers when it has nothing to do.")
    if "replay" in report:
        r = report["replay"]
        lines += [
            "",
            "## Replay",
            "",
            f"{r['payments']:,} payments ({r['dataset']}), all {r['features']} features, parquet in and parquet out: "
            f"{r['seconds']:.1f} s ({r['payments_per_second']:,} payments/s, {r['cpu_seconds']:.1f} s of the "
            f"processor), peak memory {r['peak_gigabytes']:.2f} GB. The state alone: {r['state_only_seconds']:.1f} s; "
            f"{r['entities']:,} entities of {r['state_bytes_per_entity']} bytes each.",
        ]
    return "\n".join(lines) + "\n"
