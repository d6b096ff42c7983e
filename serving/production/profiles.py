"""Profiles of many workers: each reads the profile file, one records its rows as events, all see them after that.

A row is seen only at the look after the one that found it recorded: payments that were admitted before its
event have been decided by then. How far a worker had read stands in its receipts, so `verify` looks
through the same eyes.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from features.profiles import ProfileFile, ProfileRow, Profiles, encode_profile
from features.pseudonyms import Pseudonyms
from serving.fold import ProfileEvent, encode
from serving.production.state import RedisState
from serving.production.trips import Outline

#: How long one worker may take to record what it found, before another tries.
LEASE_SECONDS = 60
_AT_ONCE = 200

Rows = list[tuple[int, str, str, ProfileRow]]


class SharedProfiles:
    """What this worker sees of the profile file, and up to which row."""

    def __init__(self, state: RedisState, file: ProfileFile | None, names: Pseudonyms | None) -> None:
        self.profiles = Profiles()
        #: The last row that is seen.
        self.row = 0
        self._state = state
        self._file = file
        self._names = names
        self._next: Rows = []

    async def read_all(self) -> None:
        """See every row there is: at start, when no payment is under way.

        Raises: StateUnavailable.
        """
        while await self.look() or self._next:
            if not self._next:
                await asyncio.sleep(0.1)

    async def look(self) -> bool:
        """See what was recorded at the look before, and find new rows; whether some are still to be seen.

        Raises: StateUnavailable.
        """
        for number, entity, entity_id, row in self._next:
            self.profiles.put(entity, entity_id, row)
            self.row = number
        self._next = []
        if self._file is None:
            return False
        rows = self._file.new_rows_since(self.row)
        if not rows:
            return False
        if self._names is not None:
            rows = [(number, entity, self._names.of(entity, one), row) for number, entity, one, row in rows]
        if await self._recorded(rows):
            self._next = rows
        return True

    async def _recorded(self, rows: Rows) -> bool:
        """Whether the ledger knows these rows; of the workers that find they are new one records them."""
        state, last = self._state, rows[-1][0]
        former = await state.get(state.keys.profile_row) or b""
        if int(former or 0) >= last:
            return True
        if await state.exchange(state.keys.profile_lease, b"", b"1", LEASE_SECONDS) is not None:
            return False
        now_ms = time.time_ns() // 1_000_000
        new = [row for row in rows if row[0] > int(former or 0)]
        for first in range(0, len(new), _AT_ONCE):
            await asyncio.gather(
                *[
                    state.append(
                        Outline("profile", "", row.created_time_ms, now_ms),
                        encode(ProfileEvent(entity, entity_id, msgspec.Raw(encode_profile(row)), number)),
                    )
                    for number, entity, entity_id, row in new[first : first + _AT_ONCE]
                ]
            )
        await state.exchange(state.keys.profile_row, former, str(last).encode())
        await state.delete(state.keys.profile_lease)
        return True
