"""The declaration of a window feature; its name, sentence, unit and kernel plan derive from this data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

#: Window length: hop of its tail, both in ms (sawtooth windows, features/kernel/tiles.py).
HOPS = {
    MINUTE: 5 * SECOND,
    10 * MINUTE: MINUTE,
    HOUR: 5 * MINUTE,
    DAY: HOUR,
    7 * DAY: 6 * HOUR,
    30 * DAY: DAY,
}
#: Delayed windows move in whole days at both ends, those shorter than a day in hours.
DELAYED_HOP = DAY
SHORT_DELAYED_HOP = HOUR

_SHORT = {MINUTE: "1m", 10 * MINUTE: "10m", HOUR: "1h", DAY: "24h", 7 * DAY: "7d", 30 * DAY: "30d"}
_LONG = {
    MINUTE: "minute",
    10 * MINUTE: "10 minutes",
    HOUR: "hour",
    DAY: "24 hours",
    7 * DAY: "7 days",
    30 * DAY: "30 days",
}


class How(StrEnum):
    """What is computed over the window."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    MEAN = "mean"
    DISTINCT = "distinct"
    SHARE = "share"
    SINCE_FIRST = "since_first"
    SINCE_LAST = "since_last"
    IS_NEW = "is_new"


class Filter(msgspec.Struct, frozen=True):
    """A named property of a payment; `bit` is its place in the event mask, `known_later` means a label or outcome."""

    bit: int
    noun: str
    known_later: bool = False


FILTERS: dict[str, Filter] = {
    "all": Filter(0, "payments"),
    "night": Filter(1, "payments between midnight and 6 local time"),
    "cross_border": Filter(2, "cross-border payments"),
    "remote": Filter(3, "online and in-app payments"),
    "collect": Filter(4, "collect requests paid"),
    "p2p": Filter(5, "person-to-person payments"),
    "static_qr": Filter(6, "payments by static QR code"),
    "small": Filter(7, "payments of at most one US dollar's worth"),
    "round": Filter(8, "payments of a round hundred"),
    "fraud": Filter(16, "payments since reported as fraud", known_later=True),
    "declined": Filter(17, "payments the issuer declined", known_later=True),
    "reversed": Filter(18, "payments since reversed", known_later=True),
    "legitimate": Filter(19, "payments since confirmed as legitimate", known_later=True),
}

_OWNER = {
    "payer": "this payer",
    "instrument": "this instrument",
    "device": "this device",
    "ip": "this IP address",
    "payee": "this payee",
    "pair": "this payer and payee",
}
_PLURAL = {
    "payer": "payers",
    "instrument": "instruments",
    "device": "devices",
    "ip": "IP addresses",
    "payee": "payees",
}


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """One window feature.

    `by` is the entity whose history is read; `over_ms` the window length, a key of `HOPS` (None for features of the
    whole history; time since the first may be either); `of` the other entity for distinct and is_new; `where` a key
    of `FILTERS`; `delay_ms` how long before now the window ends, whole days; `cap` the value at which a distinct
    count saturates.

    >>> Aggregate(how=How.SUM, by="payer", over_ms=HOUR).name
    'payer_amount_sum_1h'
    >>> Aggregate(how=How.SHARE, by="payee", over_ms=7 * DAY, where="fraud", delay_ms=7 * DAY).name
    'payee_fraud_share_7d_delay_7d'
    """

    how: How
    by: str
    over_ms: int | None = None
    of: str | None = None
    where: str = "all"
    delay_ms: int = 0
    cap: int = 16

    @property
    def name(self) -> str:
        """The column name, e.g. `device_payer_distinct_24h`."""
        parts = [self.by]
        if self.where != "all":
            parts.append(self.where)
        if self.how in (How.SUM, How.MAX, How.MEAN):
            parts.append("amount")
        if self.of:
            parts.append(self.of)
        parts.append(self.how.value)
        if self.over_ms is not None:
            parts.append(_SHORT.get(self.over_ms, f"{self.over_ms}ms"))
        if self.delay_ms:
            short = (self.over_ms or DAY) < DAY
            parts.append(f"delay_{self.delay_ms // HOUR}h" if short else f"delay_{self.delay_ms // DAY}d")
        return "_".join(parts)

    @property
    def hop_ms(self) -> int:
        """The granularity, in ms, to which the tail of the window is rounded down."""
        if self.delay_ms:
            return DELAYED_HOP if (self.over_ms or DAY) >= DAY else SHORT_DELAYED_HOP
        return HOPS[self.over_ms or DAY]

    @property
    def unit(self) -> str:
        """The unit of the value."""
        units = {
            How.COUNT: "payments",
            How.SHARE: "fraction",
            How.DISTINCT: _PLURAL.get(self.of or "", "others"),
            How.SINCE_FIRST: "seconds",
            How.SINCE_LAST: "seconds",
            How.IS_NEW: "0 or 1",
        }
        return units.get(self.how, "reference minor units")

    @property
    def sentence(self) -> str:
        """The meaning of the value, in one sentence."""
        owner, noun = _OWNER.get(self.by, self.by), FILTERS[self.where].noun
        when = f"in the last {_LONG.get(self.over_ms, str(self.over_ms))}" if self.over_ms else ""
        if self.delay_ms:
            ago = f"{self.delay_ms // DAY} days" if self.delay_ms > DAY else "a day"
            when = f"in the {_LONG[self.over_ms or DAY]} that ended {ago} ago"
        if self.how is How.COUNT:
            return f"Number of {noun} of {owner} {when}."
        if self.how is How.SHARE:
            return f"Share of {noun} among all payments of {owner} {when}."
        if self.how is How.DISTINCT:
            return f"Number of different {_PLURAL[self.of or 'payee']} met by {owner} {when}, at most {self.cap}."
        if self.how is How.IS_NEW:
            return f"Whether {owner} meets this {self.of} for the first time (the last {self.cap} are remembered)."
        if self.how is How.SINCE_FIRST and self.over_ms is not None:
            return f"Time since the first of the {noun} of {owner} {when}, in whole steps of the window."
        if self.how is How.SINCE_FIRST:
            return f"Time since the first of the {noun} of {owner}."
        if self.how is How.SINCE_LAST:
            return f"Time since the latest of the {noun} of {owner}."
        word = {How.SUM: "Total", How.MAX: "Largest", How.MEAN: "Mean"}[self.how]
        return f"{word} amount of {noun} of {owner} {when}."

    def problems(self) -> list[str]:
        """Every contradiction in this declaration, each with its repair."""
        found = []
        timeless = self.how in (How.SINCE_LAST, How.IS_NEW) or (self.how, self.over_ms) == (How.SINCE_FIRST, None)
        if self.by not in _OWNER:
            found.append(f"`by={self.by}` is no entity: use one of {', '.join(_OWNER)}.")
        if self.where not in FILTERS:
            found.append(f"`where={self.where}` is no filter: use one of {', '.join(FILTERS)}.")
        if timeless and self.over_ms is not None:
            found.append(f"{self.how.value} looks at all of the past: drop `over_ms`.")
        if not timeless and self.over_ms not in HOPS:
            found.append(f"{self.how.value} needs `over_ms`, one of {', '.join(_SHORT.values())}.")
        if (self.how in (How.DISTINCT, How.IS_NEW)) != (self.of is not None):
            found.append("`of` names the other entity for distinct and is_new, and only for them.")
        if self.of is not None and (self.of == self.by or self.of not in _PLURAL):
            found.append(f"`of={self.of}` must be another entity: one of {', '.join(_PLURAL)}.")
        if self.delay_ms and (self.how not in (How.COUNT, How.SUM, How.MEAN, How.SHARE) or self.delay_ms % DAY):
            found.append("`delay_ms` is whole days, and for count, sum, mean and share only.")
        if self.how is How.SHARE and self.where == "all":
            found.append("a share of all payments is always one: name a filter in `where`.")
        if not 1 <= self.cap <= 256:
            found.append("`cap` must lie in 1..256.")
        return [f"{self.name}: {text}" for text in found] if self.where in FILTERS else found
