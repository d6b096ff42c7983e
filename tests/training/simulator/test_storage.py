"""A world on disk is complete or resumable, never half-written and never a mixture of two worlds."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from features.errors import InvalidDeclaration, InvalidHistory
from features.history.schema import HISTORY_SCHEMA
from tests.training.simulator.small import SMALL
from training.data.source_map import load
from training.simulator.manifest import WorldMismatch, read_manifest
from training.simulator.parameters import World, days_between
from training.simulator.simulate import simulate
from training.simulator.storage import read_history, read_truth, write_profiles, write_world
from training.world_commands import world_of

TINY = msgspec.structs.replace(SMALL, payments=3_000, payers=200, days=20)


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def test_what_is_written_is_what_was_lived_and_the_truth_stands_aside(tmp_path: Path) -> None:
    manifest = write_world(TINY, tmp_path)
    lived = simulate(TINY)
    assert read_history(tmp_path).equals(lived.history)
    assert read_truth(tmp_path)["story"].to_pylist() == lived.typologies.tolist()
    assert manifest.complete and manifest.payments == TINY.payments and len(manifest.days) == TINY.days
    assert read_history(tmp_path).schema == HISTORY_SCHEMA, "no column tells the story"
    assert write_profiles(tmp_path).is_file()
    some = read_history(tmp_path, first=TINY.dates[3], last=TINY.dates[4])
    assert some.num_rows == sum(manifest.days[d.isoformat()] for d in TINY.dates[3:5])


def test_a_killed_run_leaves_no_half_written_day_and_is_gone_on_with(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    world = msgspec.structs.replace(TINY, payments=200_000, payers=20_000)
    write_world(world, whole)
    arguments = ["--payments", "200000", "--payers", "20000", "--out", str(killed)]
    script = (
        "import sys; from pathlib import Path; import msgspec;"
        "from tests.training.simulator.test_storage import TINY;"
        "from training.simulator.storage import write_world;"
        "write_world(msgspec.structs.replace(TINY, payments=200_000, payers=20_000), Path(sys.argv[-1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], env=dict(os.environ))
    until = time.monotonic() + 60
    while len(list(killed.glob("history/*/*.parquet"))) < 3 and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = read_manifest(killed)
    assert found is not None and not found.complete
    with pytest.raises(InvalidHistory, match="only"):
        read_history(killed)
    before = {path: path.stat().st_mtime_ns for path in killed.glob("*/*/*.parquet")}
    write_world(world, killed)
    assert _files(killed) == _files(whole), "resumed or in one go: the same bytes"
    noted = [path for path in before if path.parent.name.removeprefix("day=") in found.days]
    assert noted and all(path.stat().st_mtime_ns == before[path] for path in noted), "whole days are left alone"


def test_a_lost_partition_is_written_again(tmp_path: Path) -> None:
    write_world(TINY, tmp_path)
    files = _files(tmp_path)
    next(tmp_path.glob("history/day=*/history.parquet")).unlink()
    (tmp_path / "truth" / "day=2026-09-14" / "truth.partial").write_bytes(b"torn")
    write_world(TINY, tmp_path)
    assert _files(tmp_path) == files
    assert not list(tmp_path.rglob("*.partial"))


def test_another_world_is_not_mixed_in_and_a_fresh_one_replaces_it(tmp_path: Path) -> None:
    write_world(TINY, tmp_path)
    other = msgspec.structs.replace(TINY, seed=8)
    with pytest.raises(WorldMismatch, match="holds another world") as refused:
        write_world(other, tmp_path)
    assert "--fresh" in refused.value.repair
    assert write_world(other, tmp_path, fresh=True).digest == other.digest


def test_impossible_parameters_are_refused_together_and_nothing_is_touched(tmp_path: Path) -> None:
    nonsense = World(payers=0, fraud_share=1.5, days=-3, never_reported_share=2.0, typologies=("unheard of",))
    with pytest.raises(InvalidDeclaration) as refused:
        write_world(nonsense, tmp_path / "world")
    said = " ".join(refused.value.problems)
    assert len(refused.value.problems) >= 5
    for part in ("payers is 0", "fraud_share is 1.5", "before its start", "never_reported_share", "'unheard of'"):
        assert part in said
    assert not (tmp_path / "world").exists()


def test_the_command_line_tells_every_problem_at_once() -> None:
    with pytest.raises(InvalidDeclaration) as refused:
        world_of(0, 0, "2026-11-12", "2026-11-11", 1, 2.0, 100, ("mule=yesterday", "gossip"), True, True, True)
    said = " ".join(refused.value.problems)
    for part in ("payments is 0", "payers is 0", "before its start", "fraud_share is 2.0", "'yesterday'", "'gossip'"):
        assert part in said
    assert days_between(dt.date(2026, 11, 1), dt.date(2026, 11, 11)) == 11


def test_the_command_writes_a_world_and_says_what_it_proves(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "simulate", "--payments", "2000", "--payers", "200", "--stores", "500"]
    command += ["--start", "2026-11-01", "--end", "2026-11-14", "--story", "mule=2026-11-05"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "2,000 payments of 14 days" in done.stdout and "not how much real fraud" in done.stdout
    assert set(read_truth(tmp_path)["story"].to_pylist()) <= {None, "mule"}
    done = subprocess.run([*command, "--fraud-share", "7"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and "fraud_share is 7.0" in done.stderr and "Traceback" not in done.stderr


def test_the_world_has_a_data_set_of_its_own() -> None:
    known = load("world")
    assert known.source is None and known.reference_currency == "INR"
    assert not known.recipe("demo").problems("demo")
