"""Profiles of the simulated parties: known since, country, verification level, size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.state.profiles import InstrumentProfile, PayeeProfile, PayerProfile, ProfileRow
from training.data.arrays import Integers
from training.simulator.parameters import DAY_MS
from training.simulator.parties.merchants import COUNTRIES
from training.simulator.random_streams import share_of
from training.simulator.traffic.episodes import WorldContext
from training.simulator.typologies.bust_out import FOR_YEARS, registered_days

_KINDS = {"vpa": "upi", "wal": "wallet", "card": "card", "acc": "account"}


def profiles_of(ctx: WorldContext, history: pa.Table) -> Iterator[tuple[str, ProfileRow]]:
    """A profile of every payer, instrument and merchant in a history, dated when the party became known."""
    payers = _numbers(history["payer_id"])
    for number, since in zip(payers.tolist(), known_since_ms(ctx, payers).tolist(), strict=True):
        yield f"u-{number}", PayerProfile(
            event_time_ms=since, created_time_ms=since, known_since_ms=since, home_country="IN",
            verification_level=int(ctx.payers.level[number]),
        )  # fmt: skip
    for word, kind in _KINDS.items():
        owners = _numbers(history["instrument_id"], f"{word}-")
        for number, since in zip(owners.tolist(), known_since_ms(ctx, owners).tolist(), strict=True):
            yield (
                f"{word}-{number}",
                InstrumentProfile(
                    event_time_ms=since, created_time_ms=since, known_since_ms=since, kind=kind, issuer_country="IN"
                ),
            )
    merchants = _numbers(history["payee_id"], "m-")
    described = zip(
        *(values.tolist() for values in (merchants, _opened_ms(ctx, merchants), ctx.payees.mcc(merchants),
                                         ctx.payees.country(merchants), ctx.payees.size(merchants))),
        strict=True,
    )  # fmt: skip
    for number, since, mcc, country, size in described:
        yield f"m-{number}", PayeeProfile(
            event_time_ms=since, created_time_ms=since, known_since_ms=since, mcc=str(mcc),
            country=COUNTRIES[country], size=size,
        )  # fmt: skip


def known_since_ms(ctx: WorldContext, person: Integers) -> Integers:
    """When a person opened the account, ms UTC: before the first day, or on the day of joining."""
    before = (share_of(person, f"{ctx.world.seed}/since") ** 0.7 * 1_400 * DAY_MS).astype(np.int64)
    joins = ctx.payers.joins_day[person]
    return np.where(joins == 0, ctx.world.start_ms - before, ctx.world.start_ms + joins * DAY_MS)


def _opened_ms(ctx: WorldContext, merchant: Integers) -> Integers:
    before = (share_of(merchant, f"{ctx.world.seed}/opened") ** 0.8 * 2_500 * DAY_MS).astype(np.int64)
    opens = ctx.payees.opens_day(merchant)
    rogue = registered_days(ctx)[np.clip(merchant - ctx.payees.first_rogue, 0, ctx.payees.rogues - 1)]
    rogue = np.where(rogue == FOR_YEARS, ctx.world.start_ms - before, ctx.world.start_ms + rogue * DAY_MS)
    old = np.where(merchant >= ctx.payees.first_rogue, rogue, ctx.world.start_ms - before)
    return np.where(opens >= 0, ctx.world.start_ms + opens * DAY_MS, old)


def _numbers(column: pa.ChunkedArray, prefix: str = "u-") -> Integers:
    """The distinct numbers after a prefix, ascending."""
    names = pc.unique(column)
    names = names.filter(pc.starts_with(names, prefix))
    numbers = pc.cast(pc.utf8_slice_codeunits(names, len(prefix)), pa.int64())
    return np.asarray(np.sort(numbers.to_numpy(zero_copy_only=False)), np.int64)
