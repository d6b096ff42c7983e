"""A payment as the caller sends it, and the words it may use (docs/design.md §1 and §3)."""

from __future__ import annotations

import msgspec

RAILS = ("upi", "wallet", "card", "netbanking")
CHANNELS = ("online", "in_app", "qr_static", "qr_dynamic", "pos", "p2p", "collect")
OUTCOMES = ("authorised", "declined", "reversed", "settled")
LABELS = ("fraud", "legitimate")
LABEL_SOURCES = ("chargeback", "customer_report", "network_alert", "review")

#: The parties and things a payment touches; window state is kept for each, and for the pair.
ENTITIES = ("payer", "instrument", "device", "ip", "payee", "pair")

DEFAULT_DEADLINE_MS = 80

Attribute = float | str


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment before it is authorised.

    Amounts are integer minor units of `currency` (ISO 4217), times integer milliseconds UTC,
    latitude and longitude degrees (WGS 84), countries ISO 3166-1 alpha-2, `mcc` ISO 18245.
    Absent is None: it is neither zero nor false.
    """

    transaction_id: str
    event_time_ms: int
    amount_minor: int
    currency: str
    rail: str
    channel: str
    payer_id: str
    instrument_id: str
    payee_id: str
    device_id: str | None = None
    ip: str | None = None
    mcc: str | None = None
    payer_country: str | None = None
    payee_country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    attributes: dict[str, Attribute] = {}
    deadline_ms: int = DEFAULT_DEADLINE_MS
