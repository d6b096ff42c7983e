"""Replaces the champion by a newly promoted bundle between two payments; an unfit bundle is refused.

A thread polls, reads, checks and warms up the bundle. The engine does the last step, the `promotion` event and the
exchange, in one turn of the event loop: the old bundle decided every payment before the event, the new one decides
every payment after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import numpy as np
from prometheus_client import Counter

from features.errors import RiskgateError
from serving.decision.vector_codec import vector_bytes
from serving.errors import CannotStart, LedgerError
from serving.state.champion import Champion, fingerprint_of
from serving.state.startup import Opened, open_bundle

log = logging.getLogger("riskgate.swap")


class BundleWatcher:
    """Polls for a bundle newer than the champion; `activate` makes that the champion."""

    def __init__(
        self,
        champion: Champion,
        activate: Callable[[Opened], Awaitable[None]],
        counted: Counter,
        every_seconds: int,
    ) -> None:
        """`every_seconds` 0: check only when `check_now` is called."""
        #: `refused` says why the newest bundle is not served; it is empty when that is served.
        self.opened, self.refused, self.source, self._announced = champion
        self.activate = activate
        self.counted = counted
        self.every_seconds = every_seconds
        self._wanted_now = asyncio.Event()
        self._previous = self._announced

    def check_now(self) -> None:
        """Check immediately instead of at the next interval (SIGHUP)."""
        self._wanted_now.set()

    async def run(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._wanted_now.wait(), self.every_seconds or None)
                self._wanted_now.clear()
                self._previous = await asyncio.to_thread(fingerprint_of, self.source.find)
            except TimeoutError:
                pass
            await self.check()

    async def check(self) -> bool:
        """Activate the bundle if it is new and complete; whether it now decides."""
        current = await asyncio.to_thread(fingerprint_of, self.source.find)
        unchanged, self._previous = current == self._previous, current
        # A bundle must look the same in two checks: otherwise it may still be written.
        if current == self._announced or not unchanged:
            return False
        try:
            opened = await asyncio.to_thread(self._open)
            if _same(opened, self.opened):
                self._announced, self.refused = current, ""
                return False
            await self.activate(opened)
        except LedgerError as error:
            log.warning("the new bundle waits for the ledger: %s", error)
            return False
        except OSError as error:  # such as a full disk: the bundle may be good, so it is tried again
            self._reject(str(error))
            return False
        except RiskgateError as error:
            self._announced = current
            self._reject(str(error))
            return False
        former, self.opened = self.opened, opened
        self._announced, self.refused = current, ""
        self.counted.labels("taken").inc()
        log.info("%s replaces %s and decides from now on", opened.bundle.model_name, former.bundle.model_name)
        return True

    def _open(self) -> Opened:
        opened = open_bundle(self.source.find(), self.source.ledger)
        now, new = self.opened.catalogue.contract(), opened.catalogue.contract()
        if now.hash != new.hash:
            raise CannotStart(
                f"Bundle {opened.bundle.model_name} needs other features (catalogue {new.hash[:8]}, this process "
                f"computes {now.hash[:8]}): {'; '.join(now.differences(new)[:5])}.",
                "Restart the service with it: the state is then rebuilt from the ledger.",
            )
        warm(opened)
        return opened

    def _reject(self, sentence: str) -> None:
        refused = f"A new bundle is refused, {self.opened.bundle.model_name} stays in use: {sentence}"
        if refused == self.refused:  # said already
            return
        self.refused = refused
        self.counted.labels("refused").inc()
        log.error("%s", self.refused, extra={"bundle": self.opened.bundle.digest[:12]})


def warm(opened: Opened) -> None:
    """Page in the trees and compile, so that the first payment does not wait for that.

    A vector without any feature is valid. Without a compilation cache, as in a bento that was just copied, the encoding
    of the first receipt would take seconds.
    """
    vector = np.full(len(opened.catalogue.names), np.nan)
    opened.evaluator.score(vector)
    opened.evaluator.scorer.contributions(vector)
    vector_bytes(vector)


def _same(one: Opened, other: Opened) -> bool:
    a, b = one.bundle, other.bundle
    return (a.digest, a.policy.digest) == (b.digest, b.policy.digest)
