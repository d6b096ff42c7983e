"""The meaning of every window feature, written down a second time without tiles: slow, plain, and independent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from features.catalogue.aggregate import DAY, DELAYED_HOP, HOPS, HOUR, Aggregate, How
from features.domain.payment import Payment


def key_of(payment: Payment, entity: str) -> tuple[str, ...] | None:
    """What identifies an entity of a payment, None where it was not sent."""
    if entity == "pair":
        return (payment.payer_id, payment.payee_id)
    value = {
        "payer": payment.payer_id, "instrument": payment.instrument_id, "device": payment.device_id,
        "ip": payment.ip, "payee": payment.payee_id,
    }[entity]  # fmt: skip
    return None if value is None else (value,)


def passes(payment: Payment, where: str) -> bool:
    """Whether a payment (in INR or of unknown amount, in India) passes a filter that is known immediately."""
    offset = {"IN": 330, "SG": 480, None: 0}[payment.payer_country or payment.payee_country]
    minutes = (payment.event_time_ms // 60_000 + offset) % 1440
    return {
        "all": True,
        "night": minutes < 360,
        "cross_border": None not in (payment.payer_country, payment.payee_country)
        and payment.payer_country != payment.payee_country,
        "remote": payment.channel in ("online", "in_app"),
        "collect": payment.channel == "collect",
        "p2p": payment.channel == "p2p",
        "static_qr": payment.channel == "qr_static",
        "small": payment.currency == "INR" and payment.amount_minor <= 8500,
        "round": payment.currency == "INR" and payment.amount_minor > 0 and payment.amount_minor % 10_000 == 0,
    }[where]


@dataclass
class Seen:
    """An event in the past: a payment, and what became known about it."""

    payment: Payment
    known: dict[str, int] = field(default_factory=dict)  # filter -> net weight


class Oracle:
    """Keeps all events and answers by looking at each of them."""

    def __init__(self) -> None:
        self.past: list[Seen] = []

    def apply(self, payment: Payment) -> None:
        self.past.append(Seen(payment))

    def annotate(self, transaction_id: str, what: str) -> None:
        for seen in self.past:
            if seen.payment.transaction_id == transaction_id:
                seen.known[what] = seen.known.get(what, 0) + 1

    def value(self, a: Aggregate, payment: Payment) -> float:
        """The value of one aggregate just before this payment; NaN = missing."""
        own = key_of(payment, a.by)
        if own is None:
            return math.nan
        past = [s for s in self.past if key_of(s.payment, a.by) == own]
        now = max([payment.event_time_ms, *(s.payment.event_time_ms for s in past)])

        def weight(seen: Seen, where: str) -> int:
            if where in ("fraud", "legitimate", "declined", "reversed"):
                return seen.known.get(where, 0)
            return int(passes(seen.payment, where))

        if a.how is How.IS_NEW:
            other = key_of(payment, a.of or "")
            if other is None:
                return math.nan
            latest: dict[tuple[str, ...], int] = {}
            for s in past:
                met = key_of(s.payment, a.of or "")
                if met is not None:
                    latest[met] = max(latest.get(met, 0), s.payment.event_time_ms)
            return 0.0 if other in latest else 1.0  # exact below the cap, which the tests keep
        if a.how in (How.SINCE_FIRST, How.SINCE_LAST) and a.over_ms is None:
            times = [s.payment.event_time_ms for s in past if weight(s, a.where) > 0]
            if not times:
                return math.nan
            return (now - (min(times) if a.how is How.SINCE_FIRST else max(times))) / 1000
        assert a.over_ms is not None
        hop = HOPS[a.over_ms] if not a.delay_ms else HOUR if a.over_ms < DAY else DELAYED_HOP
        tail = (now - a.delay_ms - a.over_ms) // hop * hop
        head = (now - a.delay_ms) // hop * hop if a.delay_ms else math.inf
        window = [s for s in past if tail <= s.payment.event_time_ms < head]
        if a.how is How.DISTINCT:
            others = {key_of(s.payment, a.of or "") for s in window} - {None}
            return float(min(len(others), a.cap))
        number = sum(weight(s, a.where) for s in window)
        counted = [s.payment for s in window for _ in range(weight(s, a.where))]
        amounts = [payment.amount_minor for payment in counted if payment.currency == "INR"]
        if a.how is How.SINCE_FIRST:
            times = [s.payment.event_time_ms for s in window if weight(s, a.where) > 0]
            return (now - min(times) // hop * hop) / 1000 if times else math.nan
        if a.how is How.COUNT:
            return float(number)
        if a.how is How.SUM:
            return float(sum(amounts))
        if a.how is How.SHARE:
            return number / len(window) if window else math.nan
        if a.how is How.MAX:
            return float(max(amounts)) if amounts else math.nan
        return sum(amounts) / len(counted) if counted else math.nan
