"""The figures of a benchmark as one JSON object and one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.stitched.comparison import RIVALS, Figures

TITLES = {
    "stitched": "the usual stitching: BentoML defaults, `get_online_features` of 48 (SQLite), `Booster.predict`",
    "stitched_redis": "the same with Feast's Redis online store",
    "empty": "an empty BentoML endpoint, tuned and mounted",
    "embedded": "riskgate, embedded: validated, scored, decided, recorded in the ledger",
    "redis": "riskgate on Redis: one worker; the recorder, Redis and PostgreSQL share the cores",
}


def page(report: Figures) -> str:
    """The Markdown page: only what was measured."""
    sections = (_head, _closed, _open, _stages, _growth, _state, _replay)
    return "\n".join(line for section in sections for line in section(report)) + "\n"


def _head(report: Figures) -> Iterator[str]:
    machine = report["machine"]
    yield from ("# Benchmark", "")
    yield (
        f"{report['date']} · {machine['processor']}, {machine['cores']} cores, {machine['memory_gigabytes']} GB, "
        f"{machine['system']}, load before {machine['load_before']}"
    )
    yield from ("", "Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()))


def _closed(report: Figures) -> Iterator[str]:
    rows = {name: report[name] for name in TITLES if name in report}
    if not rows:
        return
    load = report["load"]
    yield from ("", "## Side by side, closed loop", "")
    yield (
        f"{load['connections']} connections, every request a distinct valid payment, load generator on the same "
        f"machine, {load['rounds']} interleaved rounds of {load['seconds']:g} s after {load['warm_seconds']:g} s of "
        "warm-up. Medians of the rounds, in brackets the slowest and the fastest; µs: the server's processor time."
    )
    yield from ("", "| contender | requests/s | p50 ms | p99 ms | p99.9 ms | µs a request | errors |")
    yield "|---|---|---|---|---|---|---|"
    for name, f in rows.items():
        low, high = f["lowest_requests_per_second"], f["highest_requests_per_second"]
        yield (
            f"| {TITLES[name]} | {f['requests_per_second']:,.0f} ({low:,.0f}–{high:,.0f}) | {f['p50_ms']:.2f} "
            f"| {f['p99_ms']:.2f} | {f['p999_ms']:.2f} | {f['cpu_us_per_request']:.0f} | {f['errors']} |"
        )
    for name, rival in RIVALS.items():
        ours = rows.get(name, {})
        if "ratio_to_stitched" in ours:
            yield ""
            yield (
                f"`{name}` answers {ours['ratio_to_stitched']:.1f} times the requests of `{rival}` at "
                f"{ours['p99_ratio_to_stitched']:.3f} of its p99 latency and 1/{ours['cpu_ratio_to_stitched']:.1f} of "
                f"its processor time; {ours['fully_answered_share']:.2%} of its answers were of tier `full`."
            )
        if "share_of_empty" in ours:
            yield f"It reaches {ours['share_of_empty']:.0%} of what BentoML answers when it has nothing to do."
    if any("connections_1" in f for f in rows.values()):
        yield from ("", "| connections | " + " | ".join(f"{name}: requests/s, p99 ms" for name in rows) + " |")
        yield "|---|" + "---|" * len(rows)
        for connections in ("1", "32"):
            own = [f.get(f"connections_{connections}") for f in rows.values()]
            cells = [f"{one['requests_per_second']:,.0f}, {one['p99_ms']:.2f}" if one else "" for one in own]
            yield f"| {connections} | " + " | ".join(cells) + " |"


def _open(report: Figures) -> Iterator[str]:
    ours = {name: report[name]["open_loop"] for name in RIVALS if "open_loop" in report.get(name, {})}
    if not ours:
        return
    yield from ("", "## Open loop", "", "Latency from the moment a request was due on a constant schedule.", "")
    yield "| riskgate | share of saturation | offered/s | p50 ms | p99 ms | p99.9 ms | failed | generator late p99 ms |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, shares in ours.items():
        for share, f in shares.items():
            yield (
                f"| {name} | {share} % | {f['offered_per_second']:,.0f} | {f['p50_ms']:.2f} | {f['p99_ms']:.2f} "
                f"| {f['p999_ms']:.2f} | {f['failed']} | {f['generator_late_p99_ms']:.2f} |"
            )


def _stages(report: Figures) -> Iterator[str]:
    if "stages" not in report:
        return
    yield from ("", "## Where the time of a payment goes", "", "| step | µs of the processor |", "|---|---|")
    for name, cost in report["stages"].items():
        yield f"| {name} | {cost:.1f} |"
    yield from ("", "Steps alone find their data in the caches; in place they cost more.")


def _growth(report: Figures) -> Iterator[str]:
    if "growth" not in report:
        return
    growth = report["growth"]
    first = next(iter(growth.values()))["us_per_payment"]
    yield from ("", "## Cost of a payment after a long past, without HTTP", "")
    yield "| past events | entities | µs a payment | against the shortest | state bytes an entity | ready after s |"
    yield "|---|---|---|---|---|---|"
    for name, f in growth.items():
        yield (
            f"| {name} | {f['entities']:,} | {f['us_per_payment']:.1f} | {f['us_per_payment'] / first:.2f} "
            f"| {f['state_bytes_per_entity']:,} | {f['ready_seconds']} |"
        )


def _state(report: Figures) -> Iterator[str]:
    if "state" in report:
        s = report["state"]
        yield from ("", "## State and training on the default world", "")
        yield (
            f"{s['payments']:,} payments, {s['entities']:,} entities, {s['bytes_per_entity']} bytes of state each "
            f"({s['state_megabytes']} MB); folded at {s['folded_per_second']:,} payments/s."
        )
    if "training" in report:
        t = report["training"]
        yield (
            f"Training: the frame at {t['framed_per_second']:,} payments/s, {t['trees']} trees on "
            f"{t['learned_rows']:,} rows in {t['fit_seconds']} s."
        )


def _replay(report: Figures) -> Iterator[str]:
    if "replay" not in report:
        return
    r = report["replay"]
    yield from ("", "## Replay", "")
    yield (
        f"{r['payments']:,} payments ({r['dataset']}), all {r['features']} features, parquet in and parquet out: "
        f"{r['seconds']:.1f} s ({r['payments_per_second']:,} payments/s, {r['cpu_seconds']:.1f} s of the "
        f"processor), peak memory {r['peak_gigabytes']:.2f} GB. The state alone: {r['state_only_seconds']:.1f} s; "
        f"{r['entities']:,} entities of {r['state_bytes_per_entity']} bytes each."
    )
