"""Events that no release writes and that hands, damage and older releases leave in a ledger."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.serving.scoring_world import START_MS

Row = tuple[str, str, int, int, Any]

NUMBER_TOO_LARGE = 10**30


def payment_body(honest: bytes, name: str, **changes: Any) -> bytes:
    """The body of a recorded payment with other fields; a change to None removes the field."""
    body = msgspec.json.decode(honest)
    fields = body["payment"] | {"transaction_id": name} | changes
    body["payment"] = {key: value for key, value in fields.items() if value is not None}
    return msgspec.json.encode(body)


def report_body(honest: bytes, name: str, effects: Any = (("fraud", 1),), **changes: Any) -> bytes:
    """The body of a label about a recorded payment; changes that begin with `payment_` are the payment's."""
    own = {key: value for key, value in changes.items() if not key.startswith("payment_")}
    body = msgspec.json.decode(payment_body(honest, name))
    payment = body["payment"] | {
        key.removeprefix("payment_"): value for key, value in changes.items() if key.startswith("payment_")
    }
    report = {
        "transaction_id": name, "value": "fraud", "source": "chargeback", "reported_at_ms": START_MS + 5,
        "effects": effects, "payment": payment, "verdict_seq": None,
    } | own  # fmt: skip
    return msgspec.json.encode({key: value for key, value in report.items() if value is not ...})


def profile_body(entity: str = "payer", file_row: int = 1, **row: Any) -> bytes:
    """The body of a profile event."""
    fields = {"entity": entity, "event_time_ms": 5, "created_time_ms": 5} | row
    return msgspec.json.encode({"entity": "payer", "entity_id": "u-42", "row": fields, "file_row": file_row})


def broken_events(honest: bytes) -> dict[str, Row]:
    """One event of each fault, by what is wrong with it; `honest` is the body of a recorded payment."""
    bodies: dict[str, tuple[str, Any]] = {
        "payment-no-json": ("payment", b'{"payment":{'),
        "payment-no-utf8": ("payment", b'{"payment":"\xff"}'),
        "payment-missing-fields": ("payment", payment_body(honest, "x", payee_id=None)),
        "payment-wrong-type": ("payment", payment_body(honest, "x", payer_id=7)),
        "payment-country-of-one-letter": ("payment", payment_body(honest, "x", payer_country="I")),
        "payment-category-of-letters": ("payment", payment_body(honest, "x", mcc="food")),
        "payment-attribute-of-letters": ("payment", payment_body(honest, "x", attributes={"basket_items": "three"})),
        "payment-naive-time": ("payment", payment_body(honest, "x", event_time="2026-11-11T00:00:03")),
        "payment-far-time": ("payment", payment_body(honest, "x", event_time="9999-11-11T00:00:03Z")),
        "payment-negative": ("payment", payment_body(honest, "x", amount_minor=-1)),
        "payment-too-large": (
            "payment", payment_body(honest, "x", amount_minor=4711).replace(b"4711", str(NUMBER_TOO_LARGE).encode())
        ),
        "payment-text": ("payment", honest.decode()),
        "payment-nested": ("payment", b'{"payment":' + b"[" * 5_000 + b"]" * 5_000 + b',"receipt":null,"answer":null}'),
        "label-no-json": ("label", b"fraud"),
        "label-missing-fields": ("label", report_body(honest, "p-1", value=...)),
        "label-wrong-type": ("label", report_body(honest, "p-1", reported_at_ms="soon")),
        "label-unknown-word": ("label", report_body(honest, "p-1", value="maybe")),
        "label-second-effect-unknown": ("label", report_body(honest, "p-1", effects=(("fraud", 1), ("stolen", 1)))),
        "label-effect-of-no-report": ("label", report_body(honest, "p-1", effects=(("all", 1),))),
        "label-effect-of-weight-500": ("label", report_body(honest, "p-1", effects=(("fraud", 500),))),
        "label-time-out-of-range": ("label", report_body(honest, "p-1", reported_at_ms=10**17)),
        "label-amount-out-of-range": ("label", report_body(honest, "p-1", payment_amount_minor=2**63)),
        "outcome-no-json": ("outcome", b"\x00"),
        "outcome-unknown-word": ("outcome", report_body(honest, "p-1", value="stolen")),
        "profile-no-json": ("profile", b"["),
        "profile-of-another-entity": ("profile", profile_body("payee")),
        "profile-of-no-entity": ("profile", profile_body("device")),
        "profile-country": ("profile", profile_body(home_country="I")),
        "profile-number": (
            "profile", profile_body(known_since_ms=4711).replace(b"4711", str(10**400).encode())
        ),
        "history-no-json": ("history", b"{}"),
        "history-no-digest": (
            "history",
            b'{"sha256":"../x","rows":1,"first_ms":1,"last_ms":1,"until_ms":1,"source":"x"}',
        ),
        "promotion-no-json": ("promotion", b"champion"),
        "hashing-no-json": ("hashing", b"{"),
        "verdict-no-json": ("verdict", b"{"),
        "surprise": ("surprise", b"{}"),
    }  # fmt: skip
    return {
        name: (kind, name if kind in ("payment", "verdict") else "p-1", START_MS, START_MS, body)
        for name, (kind, body) in bodies.items()
    }
