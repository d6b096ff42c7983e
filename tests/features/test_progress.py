"""Where the output is a file, a long command still says every few seconds how far it is."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from features import progress
from features.__main__ import main
from features.catalogue.catalogue import catalogue
from tests.serving.scoring_world import history

ROOT = Path(__file__).resolve().parents[2]


#: Seconds between two lines, so that a test need not wait for long.
SOON = 0.05


def to_file() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def wait_for_lines(console: Console, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(lines_of(console)) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_line_every_few_seconds_is_few_enough_to_read_and_often_enough_to_trust() -> None:
    assert 2 <= progress.EVERY_SECONDS <= 10


def test_a_stage_with_a_total_writes_how_far_it_is() -> None:
    console = to_file()
    with progress.progress(console, SOON) as shown:
        shown.stage("replaying", 2_000)
        shown.advance(500)
        wait_for_lines(console, 2)
        shown.update(2_000)
    lines = lines_of(console)
    assert re.fullmatch(r"replaying: 500 of 2,000 \(25%\), \d+ s", lines[0])
    assert re.fullmatch(r"replaying: 2,000 of 2,000 \(100%\), done, \d+ s", lines[-1])


def test_one_long_call_that_reports_nothing_writes_lines_too() -> None:
    console = to_file()
    with progress.progress(console, SOON) as shown:
        shown.stage("fitting")
        wait_for_lines(console, 2)
    assert all(re.fullmatch(r"fitting: (done, )?\d+ s", line) for line in lines_of(console))
    assert len(lines_of(console)) >= 3


def test_each_stage_says_when_it_ends() -> None:
    console = to_file()
    with progress.progress(console, SOON) as shown:
        for name in ("reading", "training"):
            shown.stage(name)
    assert [line for line in lines_of(console) if "done" in line] == ["reading: done, 0 s", "training: done, 0 s"]


def test_a_wait_writes_lines_while_it_lasts_and_none_when_it_is_short() -> None:
    long = to_file()
    with progress.waiting(long, "promoting", SOON):
        wait_for_lines(long, 2)
    assert len(lines_of(long)) >= 2 and all(line.startswith("promoting: ") for line in lines_of(long))
    short = to_file()
    with progress.waiting(short, "promoting"):
        pass
    assert lines_of(short) == []


def test_nothing_more_is_written_after_a_failure() -> None:
    console = to_file()
    with pytest.raises(ValueError, match="broken"), progress.progress(console, SOON) as shown:
        shown.stage("reading")
        raise ValueError("broken")
    assert not any(thread.name == "progress" for thread in threading.enumerate())
    assert not any("done" in line for line in lines_of(console))


def test_a_terminal_gets_a_bar_and_no_lines() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress.progress(console, SOON) as shown:
        shown.stage("replaying", 10)
        shown.advance(5)
        assert isinstance(shown, progress.Bars)
    assert isinstance(console.file, io.StringIO) and "10/10" in console.file.getvalue()


def test_a_replay_into_a_file_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(history(catalogue(), count=500), tmp_path / "history.parquet")
    arguments = ["replay", str(tmp_path / "history.parquet"), str(tmp_path / "features.parquet")]
    monkeypatch.setattr(sys, "argv", ["features", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert re.search(r"^replaying: 500 of 500 \(100%\), done, \d+ s$", capsys.readouterr().out, flags=re.M)


def test_every_command_shows_its_progress_this_way() -> None:
    """Bars and spinners of rich are silent in a file: nobody else draws them."""
    drawn = [
        path.relative_to(ROOT).as_posix()
        for package in ("features", "training", "serving")
        for path in sorted((ROOT / package).rglob("*.py"))
        if re.search(r"rich\.(progress|status|live)\b|\.status\(", path.read_text())
    ]
    assert drawn == ["features/progress.py"]
