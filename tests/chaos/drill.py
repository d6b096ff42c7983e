"""One fault many times under load, a proof after each, and what came out as figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

from tests.chaos.proof import Proof
from tests.serving.load import Callers, Heard


class Struck(Protocol):
    """A rig, of either profile."""

    callers: Callers

    def begin(self) -> Callers:
        """New callers."""
        ...

    def prove(self, answers: Mapping[str, Mapping[str, Any]]) -> Proof:
        """What holds after a fault."""
        ...


Rig = TypeVar("Rig", bound=Struck)


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
    differences: list[str] = field(default_factory=list)

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
        for sent, answered, whole in list(heard.times):
            if whole and sent >= gone:
                return answered - gone
        time.sleep(0.02)
    raise AssertionError(f"no full decision within {PATIENCE_SECONDS:.0f} s after the fault")


def strike(rig: Rig, happen: Callable[[Rig], float], drill: Drill) -> None:
    """Let one fault happen under load and wait until decisions are whole again."""
    callers = rig.begin()
    callers.wait_for(WARM)
    gone = happen(rig)
    drill.seconds_to_recover.append(round(recovered(callers.heard, gone), 3))
    callers.wait_for(AFTER)
    heard = callers.end()
    drill.runs += 1
    drill.without_receipt += sum(answer["receipt_id"] is None for answer in heard.answers.values())
    refusals = Counter(str(status) for _, status in heard.refusals)
    drill.refused = dict(Counter(drill.refused) + refusals)


def drill_of(name: str, happen: Callable[[Rig], float], rig: Rig, runs: int) -> Drill:
    """The same fault `runs` times on one ledger."""
    drill, answers = Drill(name), dict[str, Any]()
    for _ in range(runs):
        strike(rig, happen, drill)
        answers |= rig.callers.heard.answers
        add(drill, rig.prove(answers))
    return drill


def add(drill: Drill, proof: Proof) -> None:
    """Let a proof, which is of everything so far, enter the figures."""
    drill.acknowledged, drill.verified = proof.acknowledged, proof.recorded
    drill.lost += proof.lost
    drill.doubled += proof.doubled
    drill.state_mismatches += proof.state_mismatches
    drill.verify_mismatches += proof.verify_mismatches
    drill.differences += proof.differences[: 5 - len(drill.differences)]
