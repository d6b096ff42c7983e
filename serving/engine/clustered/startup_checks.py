"""Checks at start that all workers of one Redis agree on the catalogue of the state, the hash key and the bundle."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from features.intake.pseudonyms import Pseudonyms
from features.state.codec import FORMAT
from serving.errors import CannotStart
from serving.ledger.event_bodies import encode
from serving.ledger.hash_key import KIND as HASHING
from serving.ledger.hash_key import HashingEvent
from serving.redis_store.mark import LOST
from serving.redis_store.messages import EventHeader
from serving.redis_store.state import RedisState
from serving.state.startup import Opened, promotion_of

log = logging.getLogger("riskgate")

#: The value of the mark while the state is rebuilt.
REBUILDING = b"rebuilding"
#: How long a starting worker waits for the recorder to rebuild the state, and how often it looks.
HEALING_SECONDS, POLL_SECONDS = 150.0, 0.2
_REBUILD = "Stop the workers and rebuild it from the ledger: python -m serving rebuild-state."


def contract_of(features_hash: str) -> bytes:
    """The value in Redis that names the catalogue and format of its state."""
    return f"{FORMAT}:{features_hash}".encode()


async def until_healed(state: RedisState, ledger_has_payments: bool, patience_seconds: float = HEALING_SECONDS) -> None:
    """Wait while the recorder rebuilds a state that is lost or older than the ledger; then, or in vain, return.

    Raises: StateUnavailable.
    """
    last, waits = time.monotonic() + patience_seconds, False
    while (found := await state.get(state.keys.contract)) in (LOST, REBUILDING) or (
        found is None and ledger_has_payments
    ):
        if not waits:
            log.warning("Redis does not hold the state of the ledger: waiting for the recorder, which rebuilds it")
        waits = True
        if time.monotonic() >= last:
            return
        await asyncio.sleep(POLL_SECONDS)


async def agree_on_state(state: RedisState, features_hash: str, ledger_has_payments: bool) -> None:
    """Mark an empty Redis with this catalogue; refuse state of another catalogue, and missing state.

    Raises: CannotStart, StateUnavailable.
    """
    own = contract_of(features_hash)
    found = await state.get(state.keys.contract)
    if found is None and ledger_has_payments:
        raise CannotStart("The ledger holds payments, and Redis holds none of their state.", _REBUILD)
    if found is None:
        found = await state.exchange(state.keys.contract, b"", own)
    if found is not None and found != own:
        raise CannotStart(
            f"The state in Redis was folded with catalogue {found.decode()[:10]}, "
            f"this bundle needs {own.decode()[:10]}.",
            _REBUILD,
        )


async def agree_on_hashing(state: RedisState, names: Pseudonyms | None) -> None:
    """Let the first worker record which hash key this Redis is written with; refuse another one.

    Raises: CannotStart, StateUnavailable.
    """
    own = names.fingerprint if names is not None else "clear"
    found = await state.exchange(state.keys.hashing, b"", own.encode())
    if found is None and names is not None:
        now_ms = time.time_ns() // 1_000_000
        await state.append(
            EventHeader(HASHING, "", now_ms, now_ms), msgspec.json.encode(HashingEvent(names.fingerprint))
        )
    if found is not None and found.decode() != own:
        raise CannotStart(
            f"Redis was written with hash key {found.decode()}, this worker has {own} (fingerprints, not the keys).",
            "Give every worker the same RISKGATE_HASH_KEY.",
        )


async def note_promotion(state: RedisState, opened: Opened, code: str, now_ms: int) -> None:
    """Record a `promotion` event if another bundle decides from now on; one of the workers succeeds.

    Raises: StateUnavailable.
    """
    own = encode(promotion_of(opened.bundle, code))
    former = await state.get(state.keys.promotion) or b""
    if former != own and await state.exchange(state.keys.promotion, former, own) is None:
        await state.append(EventHeader("promotion", "", now_ms, time.time_ns() // 1_000_000), own)
