"""The results of the load test as a page, a file of figures and a table on the terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from training.html import number, page, picture, share
from training.load_test.rehearsal import Rehearsal
from training.load_test.timeline import DECISIONS, Run, Second
from training.runs.plots import AMBER, BLUE, GREEN, QUIET, RED
from training.runs.terminal import table_of_figures

_TIERS = (("full", BLUE), ("stale", GREEN), ("rules_only", AMBER), ("default", RED), ("none", "#1f2933"))
_HEADS = ("", "11/11, the night", "11/11, the rest", "normal day")
_COLOURS = dict(zip(DECISIONS[1:], (GREEN, AMBER, RED), strict=True))


def write_report(rehearsal: Rehearsal, folder: Path, console: Console) -> None:
    """Write `festival.json` and `festival.html` and print the totals."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "festival.json").write_bytes(msgspec.json.format(msgspec.json.encode(rehearsal), indent=1))
    (folder / "festival.html").write_text(festival_page(rehearsal), encoding="utf-8")
    lines = table_of_figures(f"11/11 and a normal day, {rehearsal.profile} profile", _HEADS[:1], _HEADS[1:])
    for row in _rows(rehearsal):
        lines.add_row(*row)
    console.print(lines)
    console.print(rehearsal.notice)
    console.print(f"{folder / 'festival.html'} and {folder / 'festival.json'}")


def festival_page(rehearsal: Rehearsal) -> str:
    """The report of `make festival`."""
    runs = (rehearsal.festival, rehearsal.rest_of_the_day, rehearsal.normal_day)
    return page(
        "load_test.html",
        rehearsal=rehearsal,
        heads=_HEADS,
        rows=_rows(rehearsal),
        runs=[(run.name, picture(partial(_series, run, rehearsal.deadline_ms), 9.6, 9.0, 4)) for run in runs],
    )


def _rows(rehearsal: Rehearsal) -> list[tuple[str, ...]]:
    runs = (rehearsal.festival, rehearsal.rest_of_the_day, rehearsal.normal_day)

    def each(name: str, of: Any) -> tuple[str, ...]:
        return name, *(of(run) for run in runs)

    return [
        each("offered / served", lambda r: f"{r.offered:,} / {r.served:,}"),
        each("most in a second", lambda r: f"{r.peak_per_second:,}"),
        each("missed deadlines", lambda r: f"{r.missed_deadlines:,}"),
        each("p50 / p99 / p99.9 ms", lambda r: f"{r.p50_ms} / {r.p99_ms} / {r.p999_ms}"),
        each("tiers", lambda r: ", ".join(f"{n:,} {t}" for t, n in r.tiers.items())),
        each("decisions", lambda r: ", ".join(f"{n:,} {d}" for d, n in r.decisions.items())),
        each("good payments challenged or worse", lambda r: f"{r.insulted} of {r.good:,} ({r.insulted_share:.2%})"),
        each("fraud value challenged or worse", lambda r: share(r.fraud_value_caught)),
        ("insults, to a normal day", f"{number(rehearsal.night_insult_ratio_to_normal_day, 2)} (night alone)",
         f"{number(rehearsal.insult_ratio_to_normal_day, 2)} (night and day)", "1"),
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
