"""The calls by which the scoring processes of a service share bounds and count declines together."""

from __future__ import annotations

from typing import NamedTuple

from serving.redis_store.messages import checked
from serving.redis_store.scripts import SHARE
from serving.redis_store.state import RedisState, default_deadline

#: Batches of declines that are kept, at least: with twenty processes those of the last ten seconds.
KEPT_BATCHES = 1_000
FIRST_ID = b"0-0"


class Shares(NamedTuple):
    """The fraction of every bound, what is held of the bounds that were asked for, and the tokens of rates given."""

    fraction: float
    held: dict[str, float]


class Batch(NamedTuple):
    """Declines that one process counted; `place` is the id in the stream."""

    place: bytes
    worker: str
    body: bytes


async def agree_on_shares(
    state: RedisState, worker: str, fraction: float, first: float, asks: bytes, rates: bytes
) -> Shares:
    """Ask for shares; `fraction` is the worker's so far, `first` what it may take before others are known.

    asks: JSON of name -> [bound, used, wanted, seconds to keep]; rates: JSON of name -> [rate, tokens, used].
    Raises: StateUnavailable.
    """
    keys = (state.keys.workers, state.keys.shares, state.keys.rates)
    values = (worker, repr(fraction), repr(first), asks, rates)
    reply = await state.run_script(SHARE, keys, values, default_deadline())
    names, held = reply[1::2], reply[2::2]
    return Shares(float(reply[0]), {name.decode(): float(text) for name, text in zip(names, held, strict=True)})


async def leave(state: RedisState, worker: str) -> None:
    """Give a worker's fraction back.

    Raises: StateUnavailable.
    """
    checked(await state.connection.call(("HDEL", state.keys.workers, worker), default_deadline()))


async def publish_declines(state: RedisState, worker: str, body: bytes) -> None:
    """Append what the breakers of a worker counted.

    Raises: StateUnavailable.
    """
    trim = ("MAXLEN", "~", str(KEPT_BATCHES))
    command = ("XADD", state.keys.declines, *trim, "*", "w", worker, "b", body)
    checked(await state.connection.call(command, default_deadline()))


async def last_batch(state: RedisState) -> bytes:
    """The id of the newest batch.

    Raises: StateUnavailable.
    """
    command = ("XREVRANGE", state.keys.declines, "+", "-", "COUNT", "1")
    found = checked(await state.connection.call(command, default_deadline()))
    return bytes(found[0][0]) if found else FIRST_ID


async def batches_after(state: RedisState, place: bytes) -> list[Batch]:
    """The batches after that place, oldest first.

    Raises: StateUnavailable.
    """
    command = ("XRANGE", state.keys.declines, b"(" + place, "+", "COUNT", str(KEPT_BATCHES))
    found = checked(await state.connection.call(command, default_deadline()))
    return [Batch(entry, fields[1].decode(), fields[3]) for entry, fields in found]
