"""Profiles of many workers: each reads the profile file, one records new rows as events, and all use them afterwards.

A worker uses a row only from the refresh after the one that found it recorded: payments that were admitted before its
event have been decided by then. A receipt names the last profile row that its worker used, so `verify` uses the same.
"""

from __future__ import annotations

import asyncio

from features.catalogue.catalogue import Catalogue
from features.catalogue.catalogue import catalogue as default_catalogue
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from features.state.profiles import ProfileFile, Profiles
from serving.redis_store.messages import EventHeader
from serving.redis_store.state import RedisState
from serving.state.profile_events import ProfilePage, profile_page

#: How long one worker may take to record new rows before another worker tries.
LEASE_SECONDS = 60
_BATCH = 200


class SharedProfiles:
    """The profiles that this worker uses, up to one row of the profile file."""

    def __init__(
        self,
        state: RedisState,
        file: ProfileFile | None,
        pseudonyms: Pseudonyms | None,
        catalogue: Catalogue | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self.profiles = Profiles()
        #: The last row in use.
        self.row = 0
        self._state = state
        self._file = file
        self._pseudonyms = pseudonyms
        self._tokens = tokens
        self._catalogue = catalogue or default_catalogue()  # no profile depends on its parameters
        self._next: ProfilePage | None = None

    async def read_all(self) -> None:
        """Use every row of the file: at start, when no payment is under way.

        Raises: StateUnavailable.
        """
        while await self.refresh() or self._next is not None:
            if self._next is None:
                await asyncio.sleep(0.1)

    async def refresh(self) -> bool:
        """Use the rows that the last refresh found recorded, and find new ones; returns whether rows are left.

        Raises: StateUnavailable.
        """
        if self._next is not None:
            for step in self._next.steps:
                self.profiles.put(step.entity, step.entity_id, step.row)
            self.row = self._next.last_row
            self._next = None
        if self._file is None:
            return False
        page = profile_page(self._file, self.row, self._catalogue, self._pseudonyms, self._tokens)
        if page is None:
            return False
        if await self._recorded(page):
            self._next = page
        return True

    async def _recorded(self, page: ProfilePage) -> bool:
        """Whether these rows are recorded; of the workers that find new rows, the one with the lease records them."""
        state, last = self._state, page.last_row
        former = await state.get(state.keys.profile_row) or b""
        if int(former or 0) >= last:
            return True
        if await state.exchange(state.keys.profile_lease, b"", b"1", LEASE_SECONDS) is not None:
            return False
        new = [event for event, step in zip(page.events, page.steps, strict=True) if step.file_row > int(former or 0)]
        for first in range(0, len(new), _BATCH):
            await asyncio.gather(
                *[
                    state.append(EventHeader("profile", "", event.event_time_ms, event.arrival_time_ms), event.body)
                    for event in new[first : first + _BATCH]
                ]
            )
        await state.exchange(state.keys.profile_row, former, str(last).encode())
        await state.delete(state.keys.profile_lease)
        return True
