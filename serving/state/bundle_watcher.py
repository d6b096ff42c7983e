"""A newly promoted champion takes over between two payments; one that does not fit is refused and the old goes on.

Looking, reading, checking and warming happen in a thread. Only the last step, the `promotion` event and the
exchange, is the engine's, in one turn of the event loop: every payment before the event was decided by the
old bundle, every one after it by the new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from features.errors import RiskgateError
from serving.decision.vector_codec import vector_bytes
from serving.errors import CannotStart, LedgerError
from serving.settings import Settings
from serving.state import startup
from serving.state.startup import Opened
from serving.telemetry.metrics import Counted

log = logging.getLogger("riskgate.swap")

FILES = ("bundle.json", "model.txt", "policy.json", "contract.json")

Mark = tuple[object, ...]


class Succession:
    """Watches the place a setting names for another bundle; `take` makes it the one that decides."""

    def __init__(
        self,
        settings: Settings,
        find: Callable[[], Path],
        opened: Opened,
        take: Callable[[Opened], Awaitable[None]],
        counted: Counted,
        seen: Mark | None = None,
    ) -> None:
        self.settings = settings
        self.find = find
        self.opened = opened
        self.take = take
        self.counted = counted
        #: Why the bundle that lies there is not served; empty when it is.
        self.refused = ""
        self._now = asyncio.Event()
        self._told: Mark | None = mark_of(find) if seen is None else seen
        self._before: Mark | None = self._told

    def hurry(self) -> None:
        """Look at once rather than at the next turn (SIGHUP)."""
        self._now.set()

    async def follow(self) -> None:
        """Run for ever: look every few seconds."""
        while True:
            try:
                await asyncio.wait_for(self._now.wait(), self.settings.swap_seconds or None)
                self._now.clear()
                self._before = await asyncio.to_thread(mark_of, self.find)
            except TimeoutError:
                pass
            await self.look()

    async def look(self) -> bool:
        """Take over what lies there if it is new and whole; whether it now decides."""
        mark = await asyncio.to_thread(mark_of, self.find)
        settled, self._before = mark == self._before, mark
        # Seen unchanged twice: nobody is still writing it.
        if mark == self._told or not settled:
            return False
        try:
            opened = await asyncio.to_thread(self._open)
            if _same(opened, self.opened):
                self._told, self.refused = mark, ""
                return False
            await self.take(opened)
        except LedgerError as error:
            log.warning("the new bundle waits for the ledger: %s", error)
            return False
        except (RiskgateError, OSError) as error:
            self._told = mark
            self._refuse(str(error))
            return False
        former, self.opened = self.opened, opened
        self._told, self.refused = mark, ""
        self.counted.add("taken")
        log.info("%s decides from here on, instead of %s", opened.bundle.model_name, former.bundle.model_name)
        return True

    def _open(self) -> Opened:
        opened = startup.open_bundle(self.find(), self.settings)
        now, new = self.opened.catalogue.contract(), opened.catalogue.contract()
        if now.hash != new.hash:
            raise CannotStart(
                f"Bundle {opened.bundle.model_name} needs other features (catalogue {new.hash[:8]}, this process "
                f"computes {now.hash[:8]}): {'; '.join(now.differences(new)[:5])}.",
                "Restart the service with it: the state is then rebuilt from the ledger.",
            )
        warm(opened)
        return opened

    def _refuse(self, sentence: str) -> None:
        self.refused = f"A new bundle is refused, {self.opened.bundle.model_name} goes on: {sentence}"
        self.counted.add("refused")
        log.error("%s", self.refused, extra={"bundle": self.opened.bundle.digest[:12]})


def mark_of(find: Callable[[], Path]) -> Mark:
    """What changes whenever the bundle at a place does; cheap to look at."""
    try:
        folder = find().resolve()
        stats = [(folder / name).stat() for name in FILES]
    except (RiskgateError, OSError) as error:
        return ("nothing", type(error).__name__)
    return (str(folder), *((one.st_ino, one.st_size, one.st_mtime_ns) for one in stats))


def warm(opened: Opened) -> None:
    """Page the trees in and compile, before the first payment rather than by it.

    A vector in which every feature is missing is a valid one. Where no compiled code is cached yet, as in a bento that
    was just copied, the packing of the first receipt would take seconds.
    """
    vector = np.full(len(opened.catalogue.names), np.nan)
    opened.judge.score(vector)
    opened.judge.scorer.contributions(vector)
    vector_bytes(vector)


def _same(one: Opened, other: Opened) -> bool:
    a, b = one.bundle, other.bundle
    return (a.digest, a.policy.digest) == (b.digest, b.policy.digest)
