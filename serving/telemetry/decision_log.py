"""One log line a decision worth a look, with its receipt id: written beside the reply path, bounded.

The reply path only puts the decision into a short queue. A thread writes a few lines at a time, because payments
wait while it holds the interpreter; what does not fit is counted and told, because a log must not be what slows
an overloaded service down.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Any, TextIO

from serving.decision.decider import Decided
from serving.decision.decision import Decision
from serving.decision.evaluator import FULL
from serving.telemetry.logs import json_line, text_line

EVERY_SECONDS = 0.05
#: Lines of one writing: a few tenths of a millisecond.
AT_ONCE = 20
#: Lines that may wait; beyond it the log says how many were left out.
MOST_LINES = 200
#: So many left out are told of although others still wait.
TELL_AFTER = 5_000


class DecisionLog:
    """Takes note of decisions; `which` is `none`, `notable` (not approved, or below the full tier) or `all`."""

    def __init__(self, which: str, form: str, stream: TextIO | None = None) -> None:
        self.all = which == "all"
        self.off = which == "none"
        self.line = json_line if form == "json" else text_line
        self.stream = sys.stderr if stream is None else stream
        self.left_out = 0
        self._waiting: deque[Decided] = deque()
        self._ending = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, decided: Decided) -> None:
        """Take note of one decision; microseconds at most."""
        if self.off or not (self.all or decided.judgement.decision is not Decision.APPROVE or decided.tier != FULL):
            return
        if len(self._waiting) < MOST_LINES:
            self._waiting.append(decided)
        else:
            self.left_out += 1

    def begin(self) -> None:
        """Start writing."""
        if not self.off:
            self._writer = threading.Thread(target=self._write_on, name="decision-log", daemon=True)
            self._writer.start()

    def end(self) -> None:
        """Write what is left and stop."""
        self._ending.set()
        if self._writer is not None:
            self._writer.join(5.0)
        self.write()

    def write(self, most: int = MOST_LINES) -> None:
        """Write lines that wait, so many at most."""
        lines: list[str] = []
        while self._waiting and len(lines) < most:
            lines.append(self._told(self._waiting.popleft()))
        if self.left_out and (not self._waiting or self.left_out >= TELL_AFTER):
            count, self.left_out = self.left_out, 0
            extra = {"count": count}
            lines.append(self.line(time.time(), "WARNING", "riskgate.decision", "decisions left out", extra))
        if lines:
            self.stream.write("\n".join(lines) + "\n")
            self.stream.flush()

    def _write_on(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            self.write(AT_ONCE)

    def _told(self, decided: Decided) -> str:
        receipt = decided.receipt
        # The receipt id leads to everything else; no field of the payment stands here.
        extra: dict[str, Any] = {
            "receipt_id": receipt.receipt_id,
            "decision": decided.judgement.decision.word,
            "tier": decided.tier,
            "score": receipt.score,
            "rules": list(decided.judgement.rules),
            "missing": list(receipt.missing),
            "microseconds": sum(receipt.timings_us.values()),
            "bundle": receipt.bundle[:12],
        }
        return self.line(receipt.arrival_time_ms / 1000, "INFO", "riskgate.decision", "decided", extra)
