"""A small ledger for the tests of the review desk, written with the service's own ledger, receipts and catalogue."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np

from features.catalogue.catalogue import Catalogue, catalogue
from features.domain.payment import Payment
from features.intake.parse import payment_json
from serving.cases import cases
from serving.console.auth.users import Cost, Users, new_user
from serving.decision.case_row import CaseRow
from serving.decision.reasons import Reason
from serving.decision.receipt import Answer, Receipt, encode_answer, encode_body
from serving.ledger.event_bodies import ReportEvent, encode
from serving.ledger.sqlite import connection
from serving.ledger.sqlite.case_table import open_case

#: 11 Nov 2026, 00:00:03.120 UTC, the first minute of the festival.
START_MS = 1_794_355_203_120
PASSWORD = "a long enough secret"
CHEAP = Cost(n=2**4, r=8, p=1)


def payment(transaction_id: str, **changes: object) -> Payment:
    """An ordinary UPI payment at a store, with some of it changed."""
    fields: dict[str, object] = {
        "transaction_id": transaction_id,
        "event_time_ms": START_MS,
        "amount_minor": 125_000,
        "currency": "INR",
        "rail": "upi",
        "channel": "qr_static",
        "payer_id": "u-1042",
        "instrument_id": "vpa-77ab",
        "payee_id": "m-559",
        "device_id": "d-9c1",
        "ip": "203.0.113.9",
        "mcc": "5411",
        "payer_country": "IN",
        "payee_country": "IN",
    }
    return Payment(**{**fields, **changes})  # type: ignore[arg-type]


REASONS = (
    Reason("NEW_DEVICE", "The device or network is new or changing for this payer.", "payer_device_is_new", 1.0, 2.41),
    Reason("AMOUNT_UNUSUAL", "The amount is unusual for this payer or payee.", "amount_to_payer_mean_30d", 38.6, 1.32),
    Reason("PAYER_VELOCITY", "This payer pays more or faster than usual.", "payer_amount_sum_1h", 480_000.0, 0.71),
    Reason("MULE_PATTERN", "Money gathers from or spreads to many parties.", "payee_payer_distinct_1h", 14.0, 0.22),
)
KNOWN = {
    "amount_is_round": 0.0,
    "local_hour": 5.5,
    "local_weekday": 2.0,
    "is_night": 1.0,
    "rail": 0.0,
    "channel": 2.0,
    "mcc": 5411.0,
    "has_device": 1.0,
    "payer_count_1h": 3.0,
    "payer_count_24h": 5.0,
    "payer_amount_sum_1h": 480_000.0,
    "payer_amount_sum_24h": 512_000.0,
    "payer_since_last": 214.0,
    "payer_device_is_new": 1.0,
    "payer_profile_age": 412.4,
    "payer_verification_level": 2.0,
    "payee_payer_distinct_1h": 14.0,
    "payee_round_share_7d": 0.62,
    "amount_to_payer_mean_30d": 38.6,
    "payee_fraud_count_30d": 0.0,
}


class DeskWorld:
    """A ledger under a folder, and the people who may look at it."""

    def __init__(self, var: Path, the_catalogue: Catalogue | None = None) -> None:
        self.var = var
        self.catalogue = the_catalogue or catalogue()
        self.ledger_path = var / "ledger.sqlite"
        self.index_path = var / "desk.sqlite"
        self.users = Users(var / "users.json")
        self.connection = connection.connect(self.ledger_path)

    def close(self) -> None:
        self.connection.close()

    def user(self, name: str = "asha", role: str = "analyst") -> None:
        self.users.put(new_user(name, PASSWORD, role, CHEAP))

    def append(self, kind: str, transaction_id: str, event_time_ms: int, body: bytes) -> int:
        cursor = self.connection.execute(
            "INSERT INTO events(kind, transaction_id, event_time_ms, arrival_time_ms, body) VALUES (?, ?, ?, ?, ?)",
            (kind, transaction_id, event_time_ms, event_time_ms + 4, body),
        )
        return int(cursor.lastrowid or 0)

    def scored(
        self,
        one: Payment,
        decision: str = "review",
        score: float | None = 0.5,
        *,
        reasons: tuple[Reason, ...] = REASONS,
        rules: tuple[str, ...] = (),
        known: dict[str, float] | None = None,
        contract: str | None = None,
        seen: tuple[int, ...] = (12, 12, 0, 40, 0, 0),
    ) -> int:
        """Record a decision as the service does: payment event and case in one transaction."""
        vector = np.full(len(self.catalogue.names), math.nan)
        amount = {"amount_reference_minor": float(one.amount_minor), "amount_log10": math.log10(1 + one.amount_minor)}
        for name, value in {**(KNOWN if known is None else known), **amount}.items():
            if name in self.catalogue.index:
                vector[self.catalogue.index[name]] = value
        contract = contract or self.catalogue.contract().hash
        answer = Answer(
            transaction_id=one.transaction_id, decision=decision, score=score,
            reasons=reasons if decision != "approve" else (), rules=rules,
            tier="full" if score is not None else "rules_only", missing=(), model="risk@12", policy="7c1e" * 16,
            features=contract, receipt_id=f"R{one.transaction_id}",
        )  # fmt: skip
        receipt = Receipt(
            receipt_id=f"R{one.transaction_id}", tier=answer.tier, missing=(), vector=vector.astype("<f8").tobytes(),
            seen=seen, margin=score, score=score, explained=True, explain_approved=False, folded=True,
            bundle="b" * 64, policy=answer.policy, features=contract, code="c" * 16,
            event_time_ms=one.event_time_ms, arrival_time_ms=one.event_time_ms + 4, timings_us={},
        )  # fmt: skip
        self.connection.execute("BEGIN IMMEDIATE")
        body = encode_body(payment_json(one), receipt, encode_answer(answer))
        seq = self.append("payment", one.transaction_id, one.event_time_ms, body)
        if decision in cases.OPENING_DECISIONS:
            row = CaseRow(
                one.transaction_id, one.event_time_ms + 4, decision, score, one.amount_minor, one.currency,
                one.payer_id, one.device_id, one.payee_id,
            )  # fmt: skip
            open_case(self.connection, row)
        self.connection.execute("COMMIT")
        return seq

    def report(self, kind: str, one: Payment, value: str, source: str | None = None, after_ms: int = 60_000) -> int:
        """An outcome or label that became known after the payment."""
        at_ms = one.event_time_ms + after_ms
        body = encode(ReportEvent(one.transaction_id, value, source, at_ms, (), msgspec.Raw(payment_json(one))))
        return self.append(kind, one.transaction_id, at_ms, body)

    def verdicts(self) -> list[tuple[str, bytes]]:
        return self.connection.execute(
            "SELECT transaction_id, body FROM events WHERE kind = 'verdict' ORDER BY seq"
        ).fetchall()


FOREIGN = (
    Reason(
        "RULE_FOREIGN_FIRST_USE", "First use of an instrument abroad, for much money.", "is_cross_border", 1.0, None
    ),
    Reason("CROSS_BORDER", "The payment crosses a border or changes the currency.", "is_foreign_currency", 1.0, 1.9),
    Reason("INSTRUMENT_SPEND", "Spending with this instrument is unusual.", "instrument_amount_mean_30d", None, 0.4),
)
MULE = (REASONS[3], REASONS[1])
COLLECT = (
    Reason("COLLECT_REQUEST", "Collect requests are unusually frequent here.", "payee_collect_count_1h", 41.0, 1.71),
    REASONS[2],
)
TESTING = (
    Reason("CARD_TESTING", "Quick small or repeated payments look like testing.", "instrument_count_10m", 23.0, 4.1),
    Reason("DECLINES", "Recent payments here were declined by the issuer.", "payer_declined_count_1h", 17.0, 2.2),
)
NOT_SCORED = (Reason("NOT_SCORED", "The model could not be asked in time and the amount is large.", None, None, None),)


def busy_desk(world: DeskWorld) -> None:
    """Six cases of several stories, and the payments around them."""
    minute = 60_000

    def later(minutes: float) -> int:
        return START_MS + round(minutes * minute)

    for n in range(6):
        one = payment(
            f"t-7f{n:02d}",
            event_time_ms=later(11 * n - 70),
            amount_minor=8_900 + 3_150 * n,
            payee_id=f"m-{200 + n}",
            device_id="d-old",
        )
        world.scored(one, "approve", 0.0004 + n / 5000)
        world.report("outcome", one, "authorised" if n != 3 else "declined")
    stolen = payment("t-81f1", event_time_ms=later(-9), amount_minor=180_000)
    world.scored(stolen, "challenge", 0.034)
    world.report("label", stolen, "fraud", "customer_report", 8 * minute)
    held = payment("t-81f3", amount_minor=125_000_00)
    world.scored(held, "review", 0.4713, rules=("velocity_device_payers_10m",))
    world.report("outcome", held, "authorised")
    parties = {"payer_id": "u-77", "payee_id": "u-5510", "rail": "wallet", "channel": "p2p", "mcc": None}
    world.scored(payment("t-8203", event_time_ms=later(1), amount_minor=49_999_00, **parties), "decline", 0.9321)
    abroad = payment(
        "t-8210",
        event_time_ms=later(2),
        amount_minor=2_499_00,
        currency="USD",
        rail="card",
        channel="online",
        payer_id="u-3120",
        payee_id="b-stellar-electronics",
        device_id=None,
        ip=None,
        payee_country="US",
        mcc="5732",
        latitude=12.97,
        longitude=77.59,
    )
    world.scored(abroad, "review", 0.2218, reasons=FOREIGN, rules=("foreign_first_use",), seen=(3, 3, -1, -1, 900, 0))
    parties = {"payer_id": "u-88", "payee_id": "u-9001", "device_id": "d-4410", "channel": "collect"}
    collect = payment("t-8217", event_time_ms=later(3), amount_minor=7_500_00, **parties)
    world.scored(collect, "review", 0.3127, reasons=COLLECT)
    parties = {"payer_id": "u-901", "payee_id": "b-games", "device_id": "d-bot", "rail": "card", "channel": "online"}
    world.scored(
        payment("t-8222", event_time_ms=later(3.3), amount_minor=1_50, **parties), "decline", 0.9996, reasons=TESTING
    )
    parties = {"payer_id": "u-14", "payee_id": "m-2"}
    unscored = payment("t-8230", event_time_ms=later(4), amount_minor=60_000_00, **parties)
    world.scored(unscored, "review", None, reasons=NOT_SCORED)
