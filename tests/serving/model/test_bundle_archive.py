"""The archive holds a whole copy of each served bundle, even while several workers keep it at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.bundle.bundle import read_bundle
from serving.model.bundle_archive import keep, kept_bundle


def test_workers_that_keep_a_bundle_at_the_same_time_leave_one_whole_copy(bundle: Path, tmp_path: Path) -> None:
    known = read_bundle(bundle)
    for turn in range(20):
        kept = tmp_path / str(turn)
        with ThreadPoolExecutor(8) as workers:
            done = [workers.submit(keep, bundle, known, kept) for _ in range(8)]
        folders = {one.result() for one in done}
        assert list(kept.iterdir()) == [*folders]
        assert kept_bundle(kept, known.digest, known.policy.digest).digest == known.digest


def test_a_damaged_copy_is_replaced(bundle: Path, tmp_path: Path) -> None:
    known = read_bundle(bundle)
    folder = keep(bundle, known, tmp_path)
    (folder / "model.txt").write_text("half")
    assert keep(bundle, known, tmp_path) == folder
    assert kept_bundle(tmp_path, known.digest, known.policy.digest).digest == known.digest
