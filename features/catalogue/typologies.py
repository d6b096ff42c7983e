"""The window features, grouped by fraud typology. Add a feature by adding a line.

A typology is `(name, reason code, declarations)`: the reason code selects the sentence that a reviewer reads
when these features drive a decision. Patterns follow the public literature: Le Borgne et al.,
"Reproducible Machine Learning for Credit Card Fraud Detection" (amount and terminal-risk windows);
NPCI's UPI risk advisories (collect requests, QR swaps); FATF's mule and money-laundering typologies.
"""

from __future__ import annotations

from features.catalogue.aggregate import DAY, HOUR, MINUTE, Aggregate, How

M10, H1, H24, D7, D30 = 10 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY
Typology = tuple[str, str, tuple[Aggregate, ...]]


def _each(
    how: How, by: str, *windows: int, of: str | None = None, where: str = "all", delay_ms: int = 0
) -> tuple[Aggregate, ...]:
    """The same aggregate over several windows."""
    return tuple(Aggregate(how=how, by=by, over_ms=w, of=of, where=where, delay_ms=delay_ms) for w in windows)


def _ever(how: How, by: str, of: str | None = None, where: str = "all") -> tuple[Aggregate, ...]:
    """An aggregate over all of the past."""
    return (Aggregate(how=how, by=by, of=of, where=where),)


def typologies(label_delay_ms: int) -> tuple[Typology, ...]:
    """All typologies; `label_delay_ms` (whole days) is the label delay that rates of matured payments leave out."""

    def before_now(how: How, by: str, *windows: int) -> tuple[Aggregate, ...]:
        return _each(how, by, *windows, delay_ms=label_delay_ms)

    def matured(how: How, by: str, *windows: int) -> tuple[Aggregate, ...]:
        return _each(how, by, *windows, where="fraud", delay_ms=label_delay_ms)

    return (
        ("baseline", "PAYER_VELOCITY", (
            *_each(How.COUNT, "payer", M10, H1, H24, D7, D30),
            *_each(How.SUM, "payer", H1, H24, D7, D30),
            *_ever(How.SINCE_LAST, "payer"),
        )),
        ("baseline", "AMOUNT_UNUSUAL", (
            *_each(How.MEAN, "payer", H24, D7, D30),
            *_each(How.MAX, "payer", H24, D7, D30),
            *before_now(How.MEAN, "payer", D30),
        )),
        ("account takeover", "NEW_DEVICE", (
            *_ever(How.IS_NEW, "payer", of="device"),
            *_ever(How.IS_NEW, "payer", of="ip"),
            *_ever(How.SINCE_FIRST, "device"),
            *_ever(How.SINCE_LAST, "device"),
            *_each(How.DISTINCT, "payer", H24, D30, of="device"),
            *_each(How.DISTINCT, "payer", H24, of="ip"),
        )),
        ("account takeover", "UNUSUAL_TIME", (
            *_each(How.SHARE, "payer", D30, where="night"),
            *_each(How.SHARE, "payer", D30, where="remote"),
        )),
        ("card testing", "CARD_TESTING", (
            *_each(How.COUNT, "instrument", MINUTE, M10, H1, H24),
            *_each(How.COUNT, "instrument", M10, H24, where="small"),
            *_each(How.COUNT, "instrument", M10, H24, where="declined"),
            *_each(How.DISTINCT, "instrument", H1, H24, of="payee"),
            *_each(How.COUNT, "payee", M10, H24, where="small"),
            *_each(How.DISTINCT, "payee", M10, of="instrument"),
        )),
        ("card testing", "DECLINES", (
            *_each(How.COUNT, "payer", H1, H24, where="declined"),
            *_each(How.SHARE, "payer", D7, where="declined"),
            *_each(How.COUNT, "ip", H1, where="declined"),
            *_each(How.COUNT, "device", H1, where="declined"),
            *_each(How.SHARE, "payee", H24, where="declined"),
        )),
        ("stolen card", "INSTRUMENT_SPEND", (
            *_each(How.SUM, "instrument", H1, H24),
            *_each(How.MEAN, "instrument", D30),
            *_each(How.MAX, "instrument", D30),
            *_each(How.COUNT, "instrument", H24, where="cross_border"),
            *_each(How.COUNT, "payer", H24, D30, where="cross_border"),
            *_ever(How.SINCE_FIRST, "instrument"),
            *_each(How.DISTINCT, "payer", H24, of="instrument"),
            *_each(How.DISTINCT, "instrument", D7, of="device"),
        )),
        ("promotion abuse", "SHARED_DEVICE", (
            *_each(How.COUNT, "device", M10, H1, H24),
            *_each(How.SUM, "device", H24),
            *_each(How.DISTINCT, "device", H24, D30, of="payer"),
            *_each(How.DISTINCT, "device", H24, of="instrument"),
        )),
        ("promotion abuse", "SHARED_IP", (
            *_each(How.COUNT, "ip", M10, H1),
            *_each(How.DISTINCT, "ip", H1, H24, of="payer"),
            *_each(How.DISTINCT, "ip", H24, of="instrument"),
            *_ever(How.SINCE_FIRST, "ip"),
        )),
        ("collect request", "COLLECT_REQUEST", (
            *_each(How.COUNT, "payer", H24, where="collect"),
            *_each(How.COUNT, "payee", H1, H24, where="collect"),
        )),
        ("mule", "MULE_PATTERN", (
            *_each(How.DISTINCT, "payee", H1, H24, D7, of="payer"),
            *_each(How.DISTINCT, "payer", H1, H24, of="payee"),
            *_each(How.COUNT, "payer", H24, where="p2p"),
            *_each(How.COUNT, "payee", H24, where="p2p"),
            *_each(How.SHARE, "payee", D7, where="round"),
        )),
        ("qr swap", "PAYEE_VELOCITY", (
            *_each(How.COUNT, "payee", H1, H24, D7, D30),
            *_each(How.COUNT, "payee", H1, delay_ms=DAY),
            *_each(How.SUM, "payee", H24, D7),
            *_each(How.SHARE, "payee", D7, where="static_qr"),
            *_each(How.SHARE, "payee", D7, where="night"),
        )),
        ("bust-out merchant", "NEW_PAYEE", (
            *_ever(How.SINCE_FIRST, "payee"),
            *_ever(How.SINCE_LAST, "payee"),
            *_each(How.MEAN, "payee", H24, D30),
            *_each(How.MAX, "payee", D30),
        )),
        ("bust-out merchant", "PAYEE_FRAUD", (
            *_each(How.COUNT, "payee", D7, D30, where="fraud"),
            *matured(How.COUNT, "payee", D7, D30),
            *matured(How.SHARE, "payee", H24, D7, D30),
            *_ever(How.SINCE_LAST, "payee", where="fraud"),
            *_each(How.SINCE_FIRST, "payee", D30, where="fraud"),
            *_ever(How.SINCE_LAST, "payee", where="legitimate"),
            *_each(How.MEAN, "payee", D30, where="fraud"),
            *_each(How.SHARE, "payee", D30, where="reversed"),
        )),
        ("friendly fraud", "PAYER_FRAUD", (
            *_each(How.COUNT, "payer", D30, where="fraud"),
            *matured(How.COUNT, "payer", D7, D30),
            *matured(How.SHARE, "payer", D30),
            *_ever(How.SINCE_LAST, "payer", where="fraud"),
            *_each(How.SINCE_FIRST, "payer", D30, where="fraud"),
            *_each(How.COUNT, "payer", D30, where="reversed"),
            *_each(How.COUNT, "device", D30, where="fraud"),
            *_each(How.COUNT, "ip", D30, where="fraud"),
        )),
        ("social engineering", "NEW_PAYEE_FOR_PAYER", (
            *_ever(How.SINCE_FIRST, "pair"),
            *_ever(How.SINCE_LAST, "pair"),
            *_each(How.COUNT, "pair", H24, D30),
            *_each(How.SUM, "pair", H24, D30),
        )),
    )  # fmt: skip


def ratios(label_delay_days: int) -> tuple[Ratio, ...]:
    """All ratios; the earlier mean of a payer is that of the window that ended `label_delay_days` ago."""
    earlier = f"payer_amount_mean_30d_delay_{label_delay_days}d"
    sentence = "This payer's {} relative to the mean of the 30 days before the last {} days."
    return (
        *_RATIOS,
        ("amount", earlier, "amount_to_payer_earlier_mean", "account takeover", "AMOUNT_UNUSUAL",
         sentence.format("amount", label_delay_days)),
        ("payer_amount_max_24h", earlier, "payer_max_24h_to_earlier_mean", "account takeover", "AMOUNT_UNUSUAL",
         sentence.format("largest amount of 24 hours", label_delay_days)),
        ("payer_amount_max_7d", earlier, "payer_max_7d_to_earlier_mean", "account takeover", "AMOUNT_UNUSUAL",
         sentence.format("largest amount of 7 days", label_delay_days)),
        ("payer_amount_mean_7d", earlier, "payer_mean_7d_to_earlier_mean", "account takeover", "AMOUNT_UNUSUAL",
         sentence.format("mean amount of 7 days", label_delay_days)),
    )  # fmt: skip


#: (numerator or "amount", denominator, name, typology, reason, sentence)
Ratio = tuple[str, str, str, str, str, str]

_RATIOS: tuple[Ratio, ...] = (
    ("amount", "payer_amount_mean_7d", "amount_to_payer_mean_7d", "account takeover", "AMOUNT_UNUSUAL",
     "Amount relative to this payer's mean of the last 7 days."),
    ("amount", "payer_amount_mean_30d", "amount_to_payer_mean_30d", "account takeover", "AMOUNT_UNUSUAL",
     "Amount relative to this payer's mean of the last 30 days."),
    ("amount", "payer_amount_max_7d", "amount_to_payer_max_7d", "account takeover", "AMOUNT_UNUSUAL",
     "Amount relative to this payer's largest of the last 7 days."),
    ("amount", "payer_amount_max_30d", "amount_to_payer_max_30d", "account takeover", "AMOUNT_UNUSUAL",
     "Amount relative to this payer's largest of the last 30 days."),
    ("amount", "payee_amount_mean_30d", "amount_to_payee_mean_30d", "qr swap", "AMOUNT_UNUSUAL",
     "Amount relative to this payee's mean of the last 30 days."),
    ("amount", "instrument_amount_mean_30d", "amount_to_instrument_mean_30d", "stolen card", "INSTRUMENT_SPEND",
     "Amount relative to this instrument's mean of the last 30 days."),
    ("payer_amount_mean_24h", "payer_amount_mean_30d", "payer_mean_24h_to_30d", "account takeover",
     "AMOUNT_UNUSUAL", "This payer's mean amount of 24 hours relative to that of 30 days."),
    ("payer_amount_mean_7d", "payer_amount_mean_30d", "payer_mean_7d_to_30d", "account takeover",
     "AMOUNT_UNUSUAL", "This payer's mean amount of 7 days relative to that of 30 days."),
    ("payer_count_1h", "payer_count_7d", "payer_count_1h_to_7d", "account takeover", "PAYER_VELOCITY",
     "This payer's payments of the last hour relative to those of 7 days."),
    ("payer_amount_sum_24h", "payer_amount_sum_30d", "payer_sum_24h_to_30d", "account takeover", "PAYER_VELOCITY",
     "This payer's spending of 24 hours relative to that of 30 days."),
    ("payee_count_1h", "payee_count_7d", "payee_count_1h_to_7d", "qr swap", "PAYEE_VELOCITY",
     "This payee's payments of the last hour relative to those of 7 days."),
    ("payee_count_1h", "payee_count_1h_delay_24h", "payee_rate_to_same_hour", "qr swap", "PAYEE_VELOCITY",
     "This payee's payments of the last hour relative to those of the same hour of the day before."),
    ("payee_count_1h_to_7d", "platform_expected_rate", "payee_rate_to_season", "qr swap", "PAYEE_VELOCITY",
     "This payee's share of its week that came in the last hour, relative to how busy everybody is expected to be."),
    ("payee_count_24h", "payee_count_30d", "payee_count_24h_to_30d", "bust-out merchant", "PAYEE_VELOCITY",
     "This payee's payments of 24 hours relative to those of 30 days."),
    ("payee_fraud_since_last", "payee_legitimate_since_last", "payee_fraud_to_legitimate_age", "bust-out merchant",
     "PAYEE_FRAUD", "Age of this payee's latest known fraud relative to its latest payment known as legitimate."),
    ("payee_fraud_amount_mean_30d", "payee_amount_mean_30d", "payee_fraud_mean_to_mean_30d", "bust-out merchant",
     "PAYEE_FRAUD", "Mean amount of this payee's known frauds relative to its mean of 30 days."),
    ("pair_count_30d", "payer_count_30d", "pair_share_of_payer_30d", "social engineering", "NEW_PAYEE_FOR_PAYER",
     "Share of this payer's payments of 30 days that went to this payee."),
)  # fmt: skip

#: What a reviewer reads when features of a reason code drive a decision. A sentence names what was examined, never a
#: finding: the same family can raise a score by a high, a low or a missing value (a device without history is not
#: "shared"), and a receipt must not accuse a party of something that did not happen. The value is shown next to it.
REASONS = {
    "AMOUNT_UNUSUAL": "The amount is unusual for this payer or payee.",
    "AMOUNT_SHAPE": "The shape of the amount is typical of tests or transfers.",
    "UNUSUAL_TIME": "The time or habit of the payment is unusual for this payer.",
    "CHANNEL_RISK": "This kind of payment carries more risk.",
    "CROSS_BORDER": "The countries and the currency of the payment raise the risk.",
    "PROFILE_MISMATCH": "How the payment fits what is known of its parties raises the risk.",
    "NEW_ACCOUNT": "How long the payer and instrument have been known raises the risk.",
    "PAYER_VELOCITY": "How much and how fast this payer pays is unusual.",
    "NEW_DEVICE": "What is known of the device and network of this payer raises the risk.",
    "CARD_TESTING": "Small or repeated payments with this instrument raise the risk.",
    "DECLINES": "What the issuer recently did with payments here raises the risk.",
    "INSTRUMENT_SPEND": "Spending with this instrument is unusual.",
    "SHARED_DEVICE": "Who else used this device, and how often, raises the risk.",
    "SHARED_IP": "Who else used this IP address, and how often, raises the risk.",
    "COLLECT_REQUEST": "The collect requests seen here raise the risk.",
    "MULE_PATTERN": "How many parties money comes from and goes to here raises the risk.",
    "PAYEE_VELOCITY": "This payee receives payments at an unusual rate.",
    "NEW_PAYEE": "How long this payee is known, and how its business changed, raises the risk.",
    "PAYEE_FRAUD": "What was reported about earlier payments to this payee raises the risk.",
    "PAYER_FRAUD": "What was reported about earlier payments of this payer, device or network raises the risk.",
    "NEW_PAYEE_FOR_PAYER": "What this payer and payee did with each other before raises the risk.",
    "CALLER_ATTRIBUTE": "A field that the caller sent raises the risk.",
}
