"""The fraud stories of the small world, each a function from its start to payments nobody honest made.

Patterns follow public advisories (NPCI and RBI on collect requests and account takeover, card networks on
testing of stolen cards). They are caricatures: strong enough to prove that features, labels and reasons
work together, and no measure of how well real fraud would be found.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.world_habits import Rows, addresses, locations
from training.world_people import DAY_MS, NEWCOMER, Payees, Payers, Places, numbered

HOUR_MS = 3_600_000
CARDS_PER_BURST, VICTIM_PAYMENTS, REQUESTS_PER_COLLECTOR = 14, 4, 9

Story = Callable[[int, int, int, int, Payers, Payees, int], Rows]
"""(payments wanted, first day, days of the world, start in ms UTC, payers, payees, seed) to rows."""


def card_testing(n: int, first_day: int, days: int, start_ms: int, payers: Payers, payees: Payees, seed: int) -> Rows:
    """Bursts of tiny payments with many stolen cards from one device at one small shop, then one big purchase."""
    rng = np.random.default_rng(seed)
    bursts = max(1, round(n / CARDS_PER_BURST))
    burst = np.arange(n) % bursts
    holders = np.flatnonzero(payers.has_card)
    payer = rng.choice(holders if holders.size else np.arange(len(payers.ids)), n)
    time = _starts(bursts, first_day, days, start_ms, rng)[burst] + rng.integers(0, 25 * 60_000, n)
    cashing = rng.random(n) < 0.2
    time = time + np.where(cashing, 40 * 60_000, 0)
    amount = np.where(cashing, rng.integers(400_000, 2_500_000, n), rng.integers(1, 40, n) * 100)
    shop = _shops(time, start_ms, payees, rng.integers(0, 1 << 30, bursts)[burst])
    home = np.asarray([f"192.0.2.{b % 254 + 1}" for b in burst.tolist()], dtype=object)
    return _rows(
        "card testing", time, amount, "card", "online", payers, payer, numbered("card-", payer),
        payees.ids[shop], numbered("dx-", burst), home, rng, mcc=payees.mcc[shop],
    )  # fmt: skip


def account_takeover(
    n: int, first_day: int, days: int, start_ms: int, payers: Payers, payees: Payees, seed: int
) -> Rows:
    """A new device and address, then within an hour a few growing transfers to mules until nothing is left."""
    rng = np.random.default_rng(seed)
    victims = max(1, round(n / VICTIM_PAYMENTS))
    victim, step = np.arange(n) % victims, np.arange(n) // victims
    payer = rng.choice(len(payers.ids), victims, replace=victims > len(payers.ids))[victim]
    own_device = rng.random(victims) < 0.3  # the thief has the phone itself
    night = start_ms + (_starts(victims, first_day, days, start_ms, rng) - start_ms) // DAY_MS * DAY_MS
    begins = night + rng.integers(18 * HOUR_MS, 23 * HOUR_MS, victims)  # 23:30 to 04:30 in India
    time = np.minimum(begins[victim] + step * rng.integers(2, 14, n) * 60_000, start_ms + days * DAY_MS - 1)
    amount = rng.integers(5, 60, n) * 10_000 * (1 + step)
    mules = rng.choice(len(payers.ids), max(2, victims // 3))[rng.integers(0, max(2, victims // 3), n)]
    strange = np.asarray([f"203.0.113.{v % 254 + 1}" for v in victim.tolist()], dtype=object)
    return _rows(
        "account takeover", time, amount, "upi", "p2p", payers, payer, numbered("vpa-", payer),
        payers.ids[mules], np.where(own_device[victim], payers.device[payer], numbered("dz-", victim)), strange, rng,
    )  # fmt: skip


def collect_request(
    n: int, first_day: int, days: int, start_ms: int, payers: Payers, payees: Payees, seed: int
) -> Rows:
    """A "refund" that is a request for money: many strangers approve requests of one collector within hours."""
    rng = np.random.default_rng(seed)
    collectors = max(1, round(n / REQUESTS_PER_COLLECTOR))
    collector = np.arange(n) % collectors
    payer = rng.choice(len(payers.ids), n, p=payers.share)
    day = (_starts(collectors, first_day, days, start_ms, rng) - start_ms) // DAY_MS
    time = start_ms + day[collector] * DAY_MS + rng.integers(4 * HOUR_MS, 14 * HOUR_MS, n)  # 09:30 to 19:30 in India
    amount = rng.choice(np.array([49_900, 99_900, 199_900, 499_900, 1_000_000]), n)
    return _rows(
        "collect request", time, amount, "upi", "collect", payers, payer, numbered("vpa-", payer),
        payers.ids[collector * 7 % len(payers.ids)], payers.device[payer], addresses(payers, payer, rng), rng,
    )  # fmt: skip


STORIES: dict[str, Story] = {
    "card testing": card_testing,
    "account takeover": account_takeover,
    "collect request": collect_request,
}


def _starts(n: int, first_day: int, days: int, start_ms: int, rng: np.random.Generator) -> Places:
    """Evenly spread moments from the first day of a story to the last of the world, ms UTC."""
    span = (days - first_day) * DAY_MS - 2 * HOUR_MS
    return np.asarray(start_ms + first_day * DAY_MS + ((np.arange(n) + rng.random(n)) / n * span).astype(np.int64))


def _shops(time: Places, start_ms: int, payees: Payees, draw: Places) -> Places:
    """A small new merchant that is open at that time; the first of all payees where none is."""
    new = np.flatnonzero(payees.kind == NEWCOMER)
    new = new[np.argsort(payees.opens_day[new], kind="stable")]
    open_by_then = np.searchsorted(payees.opens_day[new], (time - start_ms) // DAY_MS, side="right")
    return np.where(open_by_then > 0, new[draw % np.maximum(open_by_then, 1)], 0)


def _rows(
    story: str, time: Places, amount: Places, rail: str, channel: str, payers: Payers, payer: Places,
    instrument: object, payee: object, device: object, ip: object, rng: np.random.Generator, mcc: object = None,
) -> Rows:  # fmt: skip
    n = len(time)
    columns = {
        "time": time, "amount_minor": amount.astype(np.int64), "currency": "INR", "rail": rail, "channel": channel,
        "payer_id": payers.ids[payer], "instrument_id": instrument, "payee_id": payee, "device_id": device, "ip": ip,
        "mcc": mcc, "payee_country": "IN", "story": story,
    }  # fmt: skip
    full = {k: v if isinstance(v, np.ndarray) else np.full(n, v, dtype=object) for k, v in columns.items()}
    return full | locations(payers.city[payer], rng)
