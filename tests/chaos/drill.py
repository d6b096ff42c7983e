"""One fault many times under load, a proof after each, and what came out as figures."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.faults import Kind
from tests.chaos.proof import Proof, prove
from tests.chaos.rig import Rig
from tests.serving.load import Heard

#: Answers before a fault and after it.
WARM, AFTER = 150, 150
PATIENCE_SECONDS = 60.0


@dataclass
class Drill:
    """The figures of one kind of fault; seconds are from the cause's end to a decision in full that is recorded."""

    fault: str
    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    state_mismatches: int = 0
    verify_mismatches: int = 0
    seconds_to_recover: list[float] = field(default_factory=list)
    without_receipt: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    verified: int = 0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept in every run."""
        return not (self.lost or self.doubled or self.state_mismatches or self.verify_mismatches)

    def figures(self) -> dict[str, Any]:
        """For `var/chaos.json`."""
        return asdict(self) | {"seconds_to_recover_worst": max(self.seconds_to_recover, default=None)}


def recovered(heard: Heard, gone: float) -> float:
    """Seconds until a payment sent after the cause was gone had a full, recorded decision."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for sent, answered, whole in heard.times[-2_000:]:
            if whole and sent >= gone:
                return answered - gone
        time.sleep(0.02)
    raise AssertionError(f"no full decision within {PATIENCE_SECONDS:.0f} s after the fault")


def strike(rig: Rig, kind: Kind, drill: Drill) -> None:
    """Let one fault happen under load and wait until decisions are whole again."""
    callers = rig.begin()
    callers.wait_for(WARM)
    gone = kind.happen(rig)
    drill.seconds_to_recover.append(round(recovered(callers.heard, gone), 3))
    callers.wait_for(AFTER)
    heard = callers.end()
    drill.runs += 1
    drill.without_receipt += sum(answer["receipt_id"] is None for answer in heard.answers.values())
    refusals = Counter(str(status) for _, status in heard.refusals)
    drill.refused = dict(Counter(drill.refused) + refusals)


def drill_of(kind: Kind, folder: Path, bundle: Path, port: int, runs: int) -> Drill:
    """The same fault `runs` times on one ledger."""
    drill, answers = Drill(kind.name), dict[str, Any]()
    rig = Rig(folder, bundle, port, tmpfs=kind.tmpfs, stepped=kind.stepped)
    try:
        for _ in range(runs):
            strike(rig, kind, drill)
            answers |= rig.callers.heard.answers
            rig.stop()
            add(drill, prove(rig.var, answers))
            rig.start()
        rig.stop()
    finally:
        rig.end()
    return drill


def add(drill: Drill, proof: Proof) -> None:
    """Let a proof, which is of everything so far, enter the figures."""
    drill.acknowledged, drill.verified = proof.acknowledged, proof.recorded
    drill.lost += proof.lost
    drill.doubled += proof.doubled
    drill.state_mismatches += proof.state_mismatches
    drill.verify_mismatches += proof.verify_mismatches
