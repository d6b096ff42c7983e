"""The overload rehearsal counts what it should; its short form is driven against the real service."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serving.audit.verify import verify_ledger
from serving.store_config import LedgerConfig
from tests.bench import overload
from tests.bench.processes.contenders import embedded, fresh, running
from tests.serving.scoring_world import make_bundle


def seen(latencies_ms: list[float], status: list[int], tiers: list[int]) -> dict[str, np.ndarray]:
    due = np.arange(len(status)) * 1_000_000
    replied = np.array([-1 if ms < 0 else at + int(ms * 1e6) for ms, at in zip(latencies_ms, due, strict=True)])
    return {"due_ns": due, "sent_ns": due, "replied_ns": replied, "status": np.array(status), "tier": np.array(tiers)}


def test_late_refused_and_unanswered_payments_are_told_apart() -> None:
    amounts = np.array([1, 2, 3, 400, 500])
    told = overload.judged(seen([10, 101, 5, 99, -1], [200, 200, 503, 200, 0], [4, 3, 0, 1, 0]), amounts, 1.0)
    assert (told["offered"], told["answered"], told["refused"], told["failed"]) == (5, 3, 1, 1)
    assert told["late"] == 2  # one beyond deadline + 20 ms, one never
    assert told["tiers"] == {"full": 1, "stale": 0, "rules_only": 1, "default": 1}
    assert told["refused_share_of_cheaper_half"] == round(1 / 3, 4)
    assert told["answers"]["max_ms"] == 101.0


def test_promises_are_kept_or_not() -> None:
    good = overload.judged(seen([10] * 4, [200] * 4, [1] * 4), np.arange(4), 1.0)
    late = overload.judged(seen([10, 10, 10, 150], [200] * 4, [1] * 4), np.arange(4), 1.0)
    assert all(overload.promises(good, good, 4.0).values())
    broken = [what for what, kept in overload.promises(late, good, 5.0).items() if not kept]
    assert broken == ["1.5x: within deadline + 20 ms", "3x: the answered rate is not below saturation"]


def test_a_short_rehearsal_sheds_by_money_answers_everything_and_proves_it(tmp_path: Path) -> None:
    """Speed is not judged here, the machine may be busy: only what must hold at any speed."""
    contender = embedded(make_bundle(tmp_path / "bundle"), fresh(tmp_path / "var"))
    with running(contender, tmp_path / "logs") as one:
        rate = overload.saturation(one, tmp_path, 1.0)
        told = overload.offered(one, tmp_path, 3.0 * rate, 2.0, 3)
        after = overload.offered(one, tmp_path, 0.2 * rate, 1.0, 5)
    assert told["failed"] == 0, told["example"]
    assert told["answered"] + told["refused"] == told["offered"]
    assert told["tiers"]["rules_only"] + told["tiers"]["default"] > 0, "three times saturation must shed"
    # By rank, up to chance: on a busy machine nearly everybody or nearly nobody may be shed.
    assert told["full_share_of_dearest_tenth"] >= told["full_share_of_cheaper_half"] - 0.02
    assert told["refused_share_of_dearest_tenth"] <= told["refused_share_of_cheaper_half"] + 0.05
    assert after["failed"] == 0
    assert after["answered"] >= 0.9 * after["offered"], "when the load is gone nobody is refused"
    result = verify_ledger(LedgerConfig(tmp_path / "var"))
    assert (result.mismatches, result.differences) == (0, [])
    assert result.payments >= told["answered"] + after["answered"]
    page = overload.page(
        {"date": "now", "machine": {"processor": "x", "cores": 2, "load_before": 0.0}, "embedded": {
            "saturation_per_second": rate, "phases": {"3": told}, "promises": overload.promises(told, told, rate)}}
    )  # fmt: skip
    assert "| 3 × = " in page
