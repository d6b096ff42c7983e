"""Progress of a long command: bars on a terminal; where the output is a file or a pipe, a line every few seconds.

Every command of the three packages shows its progress through this module, so none is silent in a log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

#: Seconds between two lines of a stage where the output is no terminal.
EVERY_SECONDS = 5.0


class Bars:
    """A command in stages, one after the other: one bar per stage on a terminal, a moving one without a total."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.now: TaskID | None = None

    def stage(self, name: str, total: int | None = None) -> None:
        """End the present stage and begin one of this name."""
        self.finish()
        self.now = self.bars.add_task(name, total=total)

    def update(self, completed: int, total: int | None = None) -> None:
        """Set the count of the present stage, and its total once that is known."""
        if self.now is not None:
            self.bars.update(self.now, completed=completed, total=total)

    def advance(self, count: int) -> None:
        """Add to the count of the present stage."""
        if self.now is not None:
            self.bars.advance(self.now, count)

    def finish(self) -> None:
        """End the present stage."""
        if self.now is not None:
            total = self.bars.tasks[self.now].total or 1
            self.bars.update(self.now, total=total, completed=total)


class Lines:
    """Plain lines for a log: every `every_s` seconds how far the present stage is, and one when a stage ends.

    A thread writes them, because a stage may be one long call that reports nothing in between. `closing=False`
    leaves out the line at the end of a stage that took less than `every_s`.
    """

    def __init__(self, console: Console, every_s: float, closing: bool = True) -> None:
        self.console, self.every_s, self.closing = console, every_s, closing
        self._name, self._completed, self._began_s = "", 0, 0.0
        self._total: int | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, name="progress", daemon=True)
        self._thread.start()

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Bars`."""
        self.finish()
        with self._lock:
            self._name, self._completed, self._total = name, 0, total
            self._began_s = time.monotonic()

    def update(self, completed: int, total: int | None = None) -> None:
        """See `Bars`."""
        self._completed = completed
        self._total = total if total is not None else self._total

    def advance(self, count: int) -> None:
        """See `Bars`."""
        self._completed += count

    def finish(self) -> None:
        """See `Bars`."""
        with self._lock:
            if self._name and (self.closing or time.monotonic() - self._began_s >= self.every_s):
                self._say("done")
            self._name = ""

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._over.wait(self.every_s):
            with self._lock:
                if self._name:
                    self._say("")

    def _say(self, end: str) -> None:
        parts = [self._counted(), end, f"{time.monotonic() - self._began_s:.0f} s"]
        text = f"{self._name}: {', '.join(part for part in parts if part)}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _counted(self) -> str:
        if not self._total:
            return f"{self._completed:,}" if self._completed else ""
        return f"{self._completed:,} of {self._total:,} ({min(self._completed / self._total, 1.0):.0%})"


#: What a command reports its progress to.
Stages = Bars | Lines


@contextmanager
def progress(console: Console, every_s: float = EVERY_SECONDS) -> Iterator[Stages]:
    """Stages that are shown while the block runs; where the output is no terminal, a line every `every_s` seconds."""
    if not console.is_terminal:
        with closing(Lines(console, every_s)) as lines:
            yield lines
            lines.finish()
        return
    columns = (SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, MofNCompleteColumn(), TimeElapsedColumn(), console=console) as drawn:
        bars = Bars(drawn)
        yield bars
        bars.finish()


@contextmanager
def waiting(console: Console, what: str, every_s: float = EVERY_SECONDS) -> Iterator[None]:
    """One stage without a count: a spinner on a terminal; elsewhere a line only if it takes `every_s` seconds."""
    if console.is_terminal:
        with console.status(what):
            yield
        return
    with closing(Lines(console, every_s, closing=False)) as lines:
        lines.stage(what)
        yield
        lines.finish()
