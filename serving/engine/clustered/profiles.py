"""Profiles of many workers: each reads the profile file, one records its rows as events, all see them after that.

A row is seen only at the look after the one that found it recorded: payments that were admitted before its
event have been decided by then. How far a worker had read stands in its receipts, so `verify` looks
through the same eyes.
"""

from __future__ import annotations

import asyncio

from features.catalogue.catalogue import Catalogue
from features.catalogue.catalogue import catalogue as default_catalogue
from features.intake.pseudonyms import Pseudonyms
from features.state.profiles import ProfileFile, Profiles
from serving.redis_store.messages import Outline
from serving.redis_store.state import RedisState
from serving.state.profile_events import ProfilePage, profile_page

#: How long one worker may take to record what it found, before another tries.
LEASE_SECONDS = 60
_AT_ONCE = 200


class SharedProfiles:
    """What this worker sees of the profile file, and up to which row."""

    def __init__(
        self,
        state: RedisState,
        file: ProfileFile | None,
        names: Pseudonyms | None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.profiles = Profiles()
        #: The last row that is seen.
        self.row = 0
        self._state = state
        self._file = file
        self._names = names
        self._catalogue = catalogue or default_catalogue()  # no profile depends on its parameters
        self._next: ProfilePage | None = None

    async def read_all(self) -> None:
        """See every row there is: at start, when no payment is under way.

        Raises: StateUnavailable.
        """
        while await self.look() or self._next is not None:
            if self._next is None:
                await asyncio.sleep(0.1)

    async def look(self) -> bool:
        """See what was recorded at the look before, and find new rows; whether some are still to be seen.

        Raises: StateUnavailable.
        """
        if self._next is not None:
            for step in self._next.steps:
                self.profiles.put(step.entity, step.entity_id, step.row)
            self.row = self._next.last_row
            self._next = None
        if self._file is None:
            return False
        page = profile_page(self._file, self.row, self._catalogue, self._names)
        if page is None:
            return False
        if await self._recorded(page):
            self._next = page
        return True

    async def _recorded(self, page: ProfilePage) -> bool:
        """Whether the ledger knows these rows; of the workers that find they are new one records them."""
        state, last = self._state, page.last_row
        former = await state.get(state.keys.profile_row) or b""
        if int(former or 0) >= last:
            return True
        if await state.exchange(state.keys.profile_lease, b"", b"1", LEASE_SECONDS) is not None:
            return False
        new = [event for event, step in zip(page.events, page.steps, strict=True) if step.file_row > int(former or 0)]
        for first in range(0, len(new), _AT_ONCE):
            await asyncio.gather(
                *[
                    state.append(Outline("profile", "", event.event_time_ms, event.arrival_time_ms), event.body)
                    for event in new[first : first + _AT_ONCE]
                ]
            )
        await state.exchange(state.keys.profile_row, former, str(last).encode())
        await state.delete(state.keys.profile_lease)
        return True
