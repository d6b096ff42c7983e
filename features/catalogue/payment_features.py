"""Features of the payment alone, of its profiles, and ratios between features; compiled, for serving and replay.

`extra` holds the request's values other than time and amount, one float64 each, NaN where not sent (indices below);
`profile` holds the profiles of payer, instrument and payee.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.catalogue.aggregate import DAY, FILTERS, HOUR, MINUTE
from features.domain.money import UNKNOWN_AMOUNT
from features.domain.payment import CHANNELS
from features.jit import compiled

Vector = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# indices in `extra`
RAIL, CHANNEL, MCC, PAYER_COUNTRY, PAYEE_COUNTRY, FOREIGN, UTC_OFFSET, HAS_DEVICE, HAS_LOCATION = range(9)
AMOUNT_AS_SENT, MINOR_PER_MAJOR, EXPECTED_RATE, ATTRIBUTES = 9, 10, 11, 12
# indices in `profile`
PAYER_SINCE, PAYER_HOME, PAYER_LEVEL, INSTRUMENT_SINCE, INSTRUMENT_ISSUER = 0, 1, 2, 3, 4
PAYEE_SINCE, PAYEE_MCC, PAYEE_SIZE, PROFILE_WORDS = 5, 6, 7, 8
# indices in `layout`: column of the first attribute, number of attributes, largest "small" amount
FIRST_ATTRIBUTE, ATTRIBUTE_COUNT, SMALL_AMOUNT = 0, 1, 2

#: (name, typology, reason, unit, sentence) of the columns 0, 1, ... that `fill_request` writes, in order.
REQUEST_FEATURES = (
    (
        "amount_reference_minor",
        "baseline",
        "AMOUNT_UNUSUAL",
        "reference minor units",
        "Amount of the payment.",
    ),
    (
        "amount_log10",
        "baseline",
        "AMOUNT_UNUSUAL",
        "log10 of reference minor units",
        "Magnitude of the amount.",
    ),
    (
        "amount_is_round",
        "mule",
        "AMOUNT_SHAPE",
        "0 or 1",
        "Whether the amount is a round hundred of its currency.",
    ),
    (
        "amount_minor_part",
        "card testing",
        "AMOUNT_SHAPE",
        "fraction",
        "The part of the amount behind the point.",
    ),
    ("local_hour", "baseline", "UNUSUAL_TIME", "hours", "Local time of day at the payer."),
    ("local_weekday", "baseline", "UNUSUAL_TIME", "day, Monday = 0", "Local day of the week at the payer."),
    ("is_weekend", "baseline", "UNUSUAL_TIME", "0 or 1", "Whether it is Saturday or Sunday at the payer."),
    (
        "is_night",
        "account takeover",
        "UNUSUAL_TIME",
        "0 or 1",
        "Whether it is between midnight and 6 at the payer.",
    ),
    ("rail", "baseline", "CHANNEL_RISK", "code", "The rail, such as upi, wallet, card or pix."),
    ("channel", "baseline", "CHANNEL_RISK", "code", "The channel, from online to collect request."),
    ("mcc", "bust-out merchant", "CHANNEL_RISK", "ISO 18245 code", "Merchant category code of the payment."),
    (
        "is_cross_border",
        "stolen card",
        "CROSS_BORDER",
        "0 or 1",
        "Whether payer and payee are in different countries.",
    ),
    (
        "is_foreign_currency",
        "stolen card",
        "CROSS_BORDER",
        "0 or 1",
        "Whether the currency is not the reference.",
    ),
    ("has_device", "account takeover", "CHANNEL_RISK", "0 or 1", "Whether the request names a device."),
    ("has_location", "account takeover", "CHANNEL_RISK", "0 or 1", "Whether the request carries a location."),
    (
        "platform_expected_rate",
        "baseline",
        "UNUSUAL_TIME",
        "ordinary mean rates",
        "How busy the platform's calendar expects this hour to be, relative to the mean of an ordinary day.",
    ),
)
#: The same for `fill_profile`, whose columns follow.
PROFILE_FEATURES = (
    ("payer_profile_age", "account takeover", "NEW_ACCOUNT", "days", "How long this payer has been known."),
    ("payer_verification_level", "mule", "NEW_ACCOUNT", "level 0..3", "How well this payer's identity is verified."),
    ("payer_abroad", "account takeover", "PROFILE_MISMATCH", "0 or 1", "Whether the payer is away from home."),
    ("instrument_profile_age", "stolen card", "NEW_ACCOUNT", "days", "How long this instrument has been known."),
    ("instrument_abroad", "stolen card", "PROFILE_MISMATCH", "0 or 1", "Whether issuer and payer differ in country."),
    ("payee_profile_age", "bust-out merchant", "NEW_PAYEE", "days", "How long this payee has been known."),
    ("payee_mcc_differs", "bust-out merchant", "PROFILE_MISMATCH", "0 or 1", "Whether category and payee disagree."),
    ("payee_size", "bust-out merchant", "NEW_PAYEE", "size 0..4", "Size class of this payee."),
)  # fmt: skip
PROFILE_AT = len(REQUEST_FEATURES)

_NIGHT_ENDS_HOUR = 6.0
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_ONLINE, _IN_APP = float(CHANNELS.index("online")), float(CHANNELS.index("in_app"))
_STATIC_QR = float(CHANNELS.index("qr_static"))
_P2P, _COLLECT = float(CHANNELS.index("p2p")), float(CHANNELS.index("collect"))
_NIGHT_BIT, _CROSS_BIT, _REMOTE_BIT = FILTERS["night"].bit, FILTERS["cross_border"].bit, FILTERS["remote"].bit
_COLLECT_BIT, _P2P_BIT, _QR_BIT = FILTERS["collect"].bit, FILTERS["p2p"].bit, FILTERS["static_qr"].bit
_SMALL_BIT, _ROUND_BIT = FILTERS["small"].bit, FILTERS["round"].bit


@compiled
def differs(a: float, b: float) -> float:
    """1 if two codes differ, 0 if they are equal, NaN if either is unknown."""
    if np.isnan(a) or np.isnan(b):
        return np.nan
    return 1.0 if a != b else 0.0


@compiled
def age_days(ts: int, since_ms: float) -> float:
    """Days from `since_ms` to `ts`, not below 0; NaN if unknown."""
    if np.isnan(since_ms):
        return np.nan
    return max(0.0, (ts - since_ms) / DAY)


@compiled
def is_round(extra: Vector) -> bool:
    """Whether the amount as sent is a whole multiple of a hundred major units; no if its minor unit is unknown."""
    return bool(extra[AMOUNT_AS_SENT] > 0 and extra[AMOUNT_AS_SENT] % (100.0 * extra[MINOR_PER_MAJOR]) == 0.0)


@compiled
def fill_request(layout: Ints, ts: int, amount: int, extra: Vector, out: Vector) -> None:
    """Write the features of the payment alone, in the order of REQUEST_FEATURES, and the attributes.

    amount: reference minor units or UNKNOWN_AMOUNT (features/domain/money.py).
    """
    local_ms = ts + int(extra[UTC_OFFSET]) * MINUTE
    weekday = (local_ms // DAY + _EPOCH_WEEKDAY) % 7
    hour = (local_ms % DAY) / HOUR
    out[0] = out[1] = out[2] = np.nan
    if amount != UNKNOWN_AMOUNT:
        out[0] = float(amount)
        out[1] = np.log10(1.0 + amount)
    if not np.isnan(extra[MINOR_PER_MAJOR]):
        out[2] = 1.0 if is_round(extra) else 0.0
    out[3] = (extra[AMOUNT_AS_SENT] % extra[MINOR_PER_MAJOR]) / extra[MINOR_PER_MAJOR]
    out[4] = hour
    out[5] = float(weekday)
    out[6] = 1.0 if weekday >= 5 else 0.0
    out[7] = 1.0 if hour < _NIGHT_ENDS_HOUR else 0.0
    out[8] = extra[RAIL]
    out[9] = extra[CHANNEL]
    out[10] = extra[MCC]
    out[11] = differs(extra[PAYER_COUNTRY], extra[PAYEE_COUNTRY])
    out[12] = extra[FOREIGN]
    out[13] = extra[HAS_DEVICE]
    out[14] = extra[HAS_LOCATION]
    out[15] = extra[EXPECTED_RATE]
    for a in range(layout[ATTRIBUTE_COUNT]):
        out[layout[FIRST_ATTRIBUTE] + a] = extra[ATTRIBUTES + a]


@compiled
def fill_profile(layout: Ints, ts: int, extra: Vector, profile: Vector, out: Vector) -> None:
    """Write the profile features, in the order of PROFILE_FEATURES."""
    at = PROFILE_AT
    out[at] = age_days(ts, profile[PAYER_SINCE])
    out[at + 1] = profile[PAYER_LEVEL]
    out[at + 2] = differs(profile[PAYER_HOME], extra[PAYER_COUNTRY])
    out[at + 3] = age_days(ts, profile[INSTRUMENT_SINCE])
    out[at + 4] = differs(profile[INSTRUMENT_ISSUER], extra[PAYER_COUNTRY])
    out[at + 5] = age_days(ts, profile[PAYEE_SINCE])
    out[at + 6] = differs(profile[PAYEE_MCC], extra[MCC])
    out[at + 7] = profile[PAYEE_SIZE]


@compiled
def fill_ratios(ratios: Ints, amount: int, out: Vector) -> None:
    """Write the ratios; rows are (numerator column or -1 for the amount, denominator column, target column)."""
    for r in range(ratios.shape[0]):
        above = out[ratios[r, 0]]
        if ratios[r, 0] < 0:
            above = float(amount) if amount != UNKNOWN_AMOUNT else np.nan
        below = out[ratios[r, 1]]
        out[ratios[r, 2]] = above / below if below > 0.0 else np.nan


@compiled
def mask_of(layout: Ints, ts: int, amount: int, extra: Vector) -> int:
    """The bits of the filters (features.catalogue.aggregate.FILTERS) that this payment passes."""
    mask = 1
    local_ms = ts + int(extra[UTC_OFFSET]) * MINUTE
    channel = extra[CHANNEL]
    if (local_ms % DAY) / HOUR < _NIGHT_ENDS_HOUR:
        mask |= 1 << _NIGHT_BIT
    if differs(extra[PAYER_COUNTRY], extra[PAYEE_COUNTRY]) == 1.0:
        mask |= 1 << _CROSS_BIT
    if channel == _ONLINE or channel == _IN_APP:
        mask |= 1 << _REMOTE_BIT
    if channel == _COLLECT:
        mask |= 1 << _COLLECT_BIT
    if channel == _P2P:
        mask |= 1 << _P2P_BIT
    if channel == _STATIC_QR:
        mask |= 1 << _QR_BIT
    if amount <= layout[SMALL_AMOUNT] and amount != UNKNOWN_AMOUNT:
        mask |= 1 << _SMALL_BIT
    if is_round(extra):
        mask |= 1 << _ROUND_BIT
    return mask
