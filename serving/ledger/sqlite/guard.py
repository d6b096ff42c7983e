"""Watches the file of a ledger for its service: what SQLite would lose without an error is found and named.

Before SQLite opens the ledger, the WAL is checked, and a damaged one is kept. While the service runs, a low-priority
thread keeps the head of the ledger up to date, checks the WAL, and finds the pages of damage that a query met. No
payment waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from serving.errors import DamagedLedger, LedgerError
from serving.ledger import head as heads
from serving.ledger.sqlite.damage import located, page_findings, pages_damaged
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.low_priority import low_priority_executor
from serving.ledger.sqlite.wal_check import WalDamage, steady_damage
from serving.ledger.sqlite.wal_preallocate import log_of

log = logging.getLogger("riskgate.ledger")

EVERY_SECONDS = 1.0
#: Seconds between two checks of the WAL; and so many times as long as the last one took, for a fiftieth of a core.
WAL_EVERY_SECONDS, WAL_SHARE = 5.0, 50
#: The largest ledger whose pages are checked after a start: the check reads them all, and meanwhile no commit restarts
#: the WAL. `verify` checks those of any ledger.
CHECKED_BYTES = 1 << 30


class LedgerGuard:
    """What is known about the completeness of one ledger file; made before SQLite opens the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = heads.read_head(path.parent)
        self.ledger: Ledger | None = None
        self._reader: Ledger | None = None
        self._accepted = heads.accepted(path.parent)
        self._located: DamagedLedger | None = None
        self._wal_due = 0.0
        self._pages_checked = False
        self._failure = ""
        self.wal = steady_damage(log_of(path))
        if self.wal is not None:
            self._keep_wal(self.wal)

    def begin(self, ledger: Ledger) -> None:
        """Compare a ledger that SQLite has just opened with its head, and log what is missing.

        Raises: LedgerError.
        """
        self.ledger = ledger
        if self.wal is not None:
            # Frames behind the damage would be taken for damage again, or for part of a later WAL.
            ledger.restart_wal()
        for sentence in self.unaccepted():
            log.error("%s", sentence)
        self._advance(ledger)
        if self.unaccepted():
            log.error(
                "the ledger is not complete; payments are decided, and /readyz is not ready until its loss is "
                "repaired or accepted: %s",
                heads.COMMAND,
            )

    def unaccepted(self) -> list[str]:
        """The findings that no operator has accepted."""
        return [one for one in self.head.found if one not in self._accepted]

    def completeness(self) -> str:
        """The check of `/readyz`: `ok`, or what is missing and what to do."""
        found = self.unaccepted()
        if not found:
            return "ok"
        return f"{' '.join(found)} Restore what is missing from a backup, or accept it: {heads.COMMAND}."

    def damage(self) -> str:
        """The damage that a query of the running service or the check of the pages met; empty without."""
        found = self._located or (None if self.ledger is None else self.ledger.damage)
        return "" if found is None else str(found)

    async def run(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Look after the ledger in a thread until cancelled."""
        loop = asyncio.get_running_loop()
        with low_priority_executor("ledger-guard") as thread:
            try:
                while True:
                    await loop.run_in_executor(thread, self.look)
                    await asyncio.sleep(every_seconds)
            finally:
                if self._reader is not None:
                    self._reader.release()
                    self._reader = None

    def look(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the head, check the WAL if that is due, and locate damage; a failure is logged once."""
        try:
            if self._reader is None:
                self._reader = Ledger(self.path, read_only=True)
            self._accepted = heads.accepted(self.path.parent)
            began = clock()
            if began >= self._wal_due:
                self._check_wal()
                now = clock()
                self._wal_due = now + max(WAL_EVERY_SECONDS, WAL_SHARE * (now - began))
            self._look_for_damage()
            self._advance(self._reader)
            self._failure = ""
        except (LedgerError, sqlite3.Error, OSError) as error:
            if str(error) != self._failure:
                log.warning("the head of the ledger cannot be kept: %s", error)
            self._failure = str(error)

    def end(self, ledger: Ledger) -> None:
        """Keep the head of a flushed ledger whose service stops."""
        with contextlib.suppress(LedgerError, OSError):
            self._advance(ledger)

    def _advance(self, ledger: Ledger) -> None:
        now = heads.advanced(self.head, ledger)
        for sentence in now.found[len(self.head.found) :]:
            log.error("%s", sentence)
        if now != self.head or not (self.path.parent / heads.HEAD).exists():
            self.head = now
            heads.write_head(self.path.parent, now)

    def _check_wal(self) -> None:
        found = steady_damage(log_of(self.path))
        if found is None:
            return
        # SQLite still reads the frames behind the damage, until it opens the file again: they are brought to safety.
        # The WAL must be empty then: its frames before the damage would hide the newer pages in the file.
        assert self._reader is not None
        self._reader.restart_wal()
        self._find(
            f"{found.sentence()} It was found while the service ran, and what stands behind it was copied into "
            f"ledger.sqlite: `python -m serving verify` tells whether page {found.page:,} is damaged."
        )

    def _look_for_damage(self) -> None:
        met = None if self.ledger is None else self.ledger.damage
        if self._located is not None:
            return
        if met is not None:
            self._located = located(self.path, met)
        elif not self._pages_checked:
            self._pages_checked = True
            if self.path.stat().st_size <= CHECKED_BYTES and (found := page_findings(self.path, quick=True)):
                self._located = pages_damaged(found)
        if self._located is not None:
            log.error("%s", self._located)

    def _keep_wal(self, found: WalDamage) -> None:
        wal = log_of(self.path)
        kept = wal.with_name(f"{wal.name}.damaged-{int(wal.stat().st_mtime)}")
        try:
            if not kept.exists():
                shutil.copyfile(wal, kept)
            self._find(f"{found.sentence()} A copy is kept as {kept.name}.")
        except OSError as error:
            self._find(f"{found.sentence()} No copy could be kept: {error.strerror}.")

    def _find(self, sentence: str) -> None:
        if sentence not in self.head.found:
            self.head = heads.Head(self.head.seq, self.head.digest, (*self.head.found, sentence))
            log.error("%s", sentence)
            with contextlib.suppress(OSError):  # the disk is full: it stays in memory until the head can be written
                heads.write_head(self.path.parent, self.head)
