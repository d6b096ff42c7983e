"""One log line per notable decision, with its receipt id; written by a thread from a bounded queue.

The reply path only appends to the queue. The thread writes a few lines at a time, because payments wait while it holds
the GIL. Decisions that do not fit are counted, and the log reports the count: logging must not slow down an
overloaded service.
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
from serving.tracing.request_trace import CURRENT, RequestTrace

EVERY_SECONDS = 0.05
#: Lines per write: a few tenths of a millisecond.
LINES_PER_WRITE = 20
#: Queued lines; decisions beyond it are left out and counted.
MOST_LINES = 200
#: The count of decisions left out is logged when the queue is empty, or when it reaches this.
REPORT_AFTER = 5_000


class DecisionLog:
    """Logs decisions; `which` is `none`, `notable` (not approved, or below the full tier) or `all`."""

    def __init__(self, which: str, form: str, stream: TextIO | None = None) -> None:
        self.all = which == "all"
        self.off = which == "none"
        self.line = json_line if form == "json" else text_line
        self.stream = sys.stderr if stream is None else stream
        self.left_out = 0
        self._queue: deque[tuple[Decided, RequestTrace | None]] = deque()
        self._ending = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, decided: Decided) -> None:
        """Queue one decision; microseconds at most."""
        if self.off or not (self.all or decided.evaluation.decision is not Decision.APPROVE or decided.tier != FULL):
            return
        if len(self._queue) < MOST_LINES:
            self._queue.append((decided, CURRENT.get()))
        else:
            self.left_out += 1

    def begin(self) -> None:
        """Start the thread."""
        if not self.off:
            self._writer = threading.Thread(target=self._write_on, name="decision-log", daemon=True)
            self._writer.start()

    def end(self) -> None:
        """Stop the thread and write what is left."""
        self._ending.set()
        if self._writer is not None:
            self._writer.join(5.0)
        self.write()

    def write(self, most: int = MOST_LINES) -> None:
        """Write at most so many queued lines."""
        lines: list[str] = []
        while self._queue and len(lines) < most:
            lines.append(self._line_of(*self._queue.popleft()))
        if self.left_out and (not self._queue or self.left_out >= REPORT_AFTER):
            count, self.left_out = self.left_out, 0
            extra = {"count": count}
            lines.append(self.line(time.time(), "WARNING", "riskgate.decision", "decisions left out", extra))
        if lines:
            self.stream.write("\n".join(lines) + "\n")
            self.stream.flush()

    def _write_on(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            self.write(LINES_PER_WRITE)

    def _line_of(self, decided: Decided, request: RequestTrace | None) -> str:
        receipt = decided.receipt
        # No field of the payment: the receipt id leads to it.
        extra: dict[str, Any] = {
            "receipt_id": receipt.receipt_id,
            "decision": decided.evaluation.decision.word,
            "tier": decided.tier,
            "score": receipt.score,
            "rules": list(decided.evaluation.rules),
            "missing": list(receipt.missing),
            "microseconds": sum(receipt.timings_us.values()),
            "bundle": receipt.bundle[:12],
            **({} if request is None else request.fields()),
        }
        return self.line(receipt.arrival_time_ms / 1000, "INFO", "riskgate.decision", "decided", extra)
