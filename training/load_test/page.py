"""The results of the load test as a page, a file of figures and a table on the terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from training.html import heading, page, paragraph, picture, share, table
from training.load_test.rehearsal import Rehearsal
from training.load_test.timeline import DECISIONS, Run, Second
from training.runs.plots import AMBER, BLUE, GREEN, QUIET, RED

_TIERS = (("full", BLUE), ("stale", GREEN), ("rules_only", AMBER), ("default", RED), ("none", "#1f2933"))
_HEADS = ("", "11/11, the night", "11/11, the rest", "normal day")
_COLOURS = dict(zip(DECISIONS[1:], (GREEN, AMBER, RED), strict=True))


def write_report(rehearsal: Rehearsal, folder: Path, console: Console) -> None:
    """Write `festival.json` and `festival.html` and print the totals."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "festival.json").write_bytes(msgspec.json.format(msgspec.json.encode(rehearsal), indent=1))
    (folder / "festival.html").write_text(festival_page(rehearsal), encoding="utf-8")
    lines = Table(title=f"11/11 and a normal day, {rehearsal.profile} profile", title_justify="left")
    for name in _HEADS:
        lines.add_column(name, justify="left" if not name else "right")
    for row in _rows(rehearsal):
        lines.add_row(*row)
    console.print(lines)
    console.print(rehearsal.notice)
    console.print(f"{folder / 'festival.html'} and {folder / 'festival.json'}")


def festival_page(rehearsal: Rehearsal) -> str:
    """The report of `make festival`."""
    parts = [
        paragraph(rehearsal.notice, notice=True),
        paragraph(
            f"Profile {rehearsal.profile}. Each second of the rehearsal plays "
            f"{rehearsal.seconds_of_the_night_per_second:.0f} seconds of the night (of the days more), so that "
            "the rush fits this machine. Requests left when they were due; "
            f"latency counts from then, and {rehearsal.deadline_ms:.0f} ms is the deadline."
        ),
        table(_HEADS, _rows(rehearsal)),
    ]
    for run in (rehearsal.festival, rehearsal.rest_of_the_day, rehearsal.normal_day):
        parts += [
            heading(f"{run.name}, second by second"),
            picture(partial(_series, run, rehearsal.deadline_ms),
                    f"{run.name}: offered and served rate, latencies, tiers and decisions each second", 9.6, 9.0, 4),
        ]  # fmt: skip
    parts += [
        heading("Fraud in the night, by story"),
        table(
            ("story", "payments", "challenged or worse", "value, INR", "of it challenged or worse"),
            [
                (s.typology, f"{s.payments}", f"{s.caught}", f"{s.value_minor / 100:,.0f}",
                 share(s.caught_minor / s.value_minor if s.value_minor else None))
                for s in rehearsal.festival.by_typology
            ],
        ),
    ]  # fmt: skip
    return page("The night of 11/11: a rehearsal with simulated payments", parts)


def _rows(rehearsal: Rehearsal) -> list[tuple[str, ...]]:
    runs = (rehearsal.festival, rehearsal.rest_of_the_day, rehearsal.normal_day)

    def each(name: str, of: Any) -> tuple[str, ...]:
        return name, *(of(run) for run in runs)

    def ratio(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    return [
        each("offered / served", lambda r: f"{r.offered:,} / {r.served:,}"),
        each("most in a second", lambda r: f"{r.peak_per_second:,}"),
        each("missed deadlines", lambda r: f"{r.missed_deadlines:,}"),
        each("p50 / p99 / p99.9 ms", lambda r: f"{r.p50_ms} / {r.p99_ms} / {r.p999_ms}"),
        each("tiers", lambda r: ", ".join(f"{n:,} {t}" for t, n in r.tiers.items())),
        each("decisions", lambda r: ", ".join(f"{n:,} {d}" for d, n in r.decisions.items())),
        each("good payments challenged or worse", lambda r: f"{r.insulted} of {r.good:,} ({r.insulted_share:.2%})"),
        each("fraud value challenged or worse", lambda r: share(r.fraud_value_caught)),
        ("insults, to a normal day", f"{ratio(rehearsal.night_insult_ratio_to_normal_day)} (night alone)",
         f"{ratio(rehearsal.insult_ratio_to_normal_day)} (night and day)", "1"),
    ]  # fmt: skip


def _series(run: Run, deadline_ms: float, axes: Any) -> None:
    at = np.array([s.second for s in run.seconds])
    rates, waits, tiers, decisions = axes
    rates.fill_between(at, [s.offered for s in run.seconds], color=QUIET, alpha=0.5, step="mid", label="offered")
    rates.step(at, [s.served for s in run.seconds], where="mid", color=BLUE, lw=1.4, label="served")
    rates.set(ylabel="requests/s")
    for name, colour in (("p50_ms", BLUE), ("p99_ms", AMBER), ("p999_ms", RED)):
        values = [np.nan if getattr(s, name) is None else getattr(s, name) for s in run.seconds]
        waits.plot(at, values, color=colour, lw=1.3, label=name.replace("_ms", "").replace("p999", "p99.9"))
    waits.axhline(deadline_ms, color=QUIET, ls="--", lw=1, label="deadline")
    waits.set(ylabel="ms", yscale="log")
    _stacked(tiers, run.seconds, "tiers", _TIERS)
    tiers.set(ylabel="tier")
    for name, colour in _COLOURS.items():
        counts = [s.decisions.get(name, 0) for s in run.seconds]
        decisions.step(at, counts, where="mid", color=colour, lw=1.3, label=name)
    decisions.set(ylabel="decisions/s", xlabel="second of the rehearsal (time of day in India below)")
    marks = at[:: max(len(at) // 9, 1)]
    decisions.set_xticks(marks, [f"{m}\n{run.seconds[m].moment[:5]}" for m in marks])
    for one in axes:
        one.legend(loc="upper right", frameon=False, ncols=5, fontsize=8)


def _stacked(axes: Any, seconds: tuple[Second, ...], field: str, names: Any) -> None:
    at = [s.second for s in seconds]
    floor = np.zeros(len(at))
    for name, colour in names:
        counts = np.array([getattr(s, field).get(name, 0) for s in seconds], float)
        if counts.any():
            axes.bar(at, counts, bottom=floor, width=1.0, color=colour, label=name)
            floor += counts
