"""The JSON schemas of the contract: payment, decision, receipt, error; derived from the domain's types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.catalogue.catalogue import CatalogueParameters
from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import LABELS, OUTCOMES, REPORTING_SOURCES, FieldWarning, Payment
from features.domain.payment_fields import LONGEST_DEADLINE_MS, LONGEST_TEXT
from serving import messages
from serving.api import list_schemas
from serving.api.contract.payment_schema import payment_schemas
from serving.decision import receipt
from serving.decision.receipt import one_of
from serving.feedback.intake import LONGEST_REASON_CODE, REPORTED_LABELS
from serving.feedback.label_precedence import APPLIED, LABEL_STATES, WAITING
from serving.feedback.outcome_amounts import MOST_TIMES
from serving.feedback.view import PaymentStatus
from serving.messages import Error, Live, Ready

MAX_BATCH_PAYMENTS = 1_000


#: Names in the document of types whose name is also that of one of their fields: openapi-python-client calls a variable
#: after the class and another after the field, and what it generates then has type errors.
_SHOWN_AS = {
    "Decision": "Answer",
    "Decisions": "BatchAnswer",
    "Error": "ErrorReply",
    "Label": "LabelReport",
    "Live": "Liveness",
    "Outcome": "OutcomeReport",
    "Ready": "Readiness",
    "Receipt": "DecisionReceipt",
}
_SCHEMAS = "#/components/schemas/"


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema of the type with that name."""
    return {"$ref": _SCHEMAS + _SHOWN_AS.get(name, name)}


_AMOUNT = {
    "minimum": 0,
    "maximum": LARGEST_AMOUNT_MINOR,
    "description": "Never more refunded than captured; never more captured, settled or disputed than "
    f"{MOST_TIMES} times what was authorised; never more voided or reversed than there ever was.",
}
_REASON_CODE = {
    "maxLength": LONGEST_REASON_CODE,
    "description": "The code of the network or issuer; a card number in it becomes its token.",
}

# The types below are read for their schemas. What a caller sends is checked by serving/feedback/intake.py and by
# features/intake/, which report every problem.

_WARNINGS = Meta(
    description="What of the report was kept in another form, or not at all; a card number with its token. "
    "Fields of the payment that a label brings are named as `payment.ip`."
)
_TEST = Meta(description="Sent by a sandbox alone: the id asked for this answer, and nothing was recorded.")
Identifier = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.")]


class Outcome(msgspec.Struct):
    """What became of a payment; an amount is a part in its minor units, and without one it is all that is left.

    Words may be sent in any letter case; a time more than a day before the payment is refused.
    """

    transaction_id: Identifier
    outcome: Annotated[str, one_of(OUTCOMES)]
    event_time: Time
    amount_minor: Annotated[int | None, Meta(extra_json_schema=_AMOUNT)] = None
    reason_code: Annotated[str | None, Meta(extra_json_schema=_REASON_CODE)] = None


class Label(msgspec.Struct):
    """Whether a payment was fraud, and who says so; `retracted` withdraws the label of that source.

    A `payment` that is not known here is taken into the history undecided; without it the label waits for its payment.
    Words may be sent in any letter case.
    """

    transaction_id: Identifier
    label: Annotated[str, one_of(REPORTED_LABELS)]
    source: Annotated[str, one_of(REPORTING_SOURCES)]
    reported_at: Time
    payment: Payment | None = None


class Batch(msgspec.Struct):
    """Payments, decided in this order.

    A batch whose payments would usually take longer than `deadline_ms`, counted from its arrival, is refused with the
    number that fits (413).
    """

    payments: Annotated[tuple[Payment, ...], Meta(max_length=MAX_BATCH_PAYMENTS)]
    deadline_ms: Annotated[
        Annotated[int, Meta(ge=1, le=LONGEST_DEADLINE_MS)] | None,
        Meta(description=f"{LONGEST_DEADLINE_MS} if not sent."),
    ] = None


class RecordedOutcome(messages.Recorded, frozen=True, kw_only=True):
    """What was recorded for the transaction: `applied`, or `waiting` for a payment that is not known here."""

    status: Annotated[str, one_of((APPLIED, WAITING))]
    warnings: Annotated[tuple[FieldWarning, ...], _WARNINGS] = ()
    test: Annotated[bool, _TEST] = False


class RecordedLabel(messages.RecordedLabel, frozen=True, kw_only=True):
    """What was recorded for the transaction, and the label in force after it.

    `applied`, `outranked` by another label, or `waiting` for a payment that is not known here.
    """

    status: Annotated[str, one_of(LABEL_STATES)]
    effective: Annotated[str | None, Meta(extra_json_schema={"enum": [*LABELS, None]})]
    warnings: Annotated[tuple[FieldWarning, ...], _WARNINGS] = ()
    test: Annotated[bool, _TEST] = False


class Decision(receipt.Answer, frozen=True):
    """The decision about one payment."""

    test: Annotated[bool, _TEST] = False


class Decisions(msgspec.Struct):
    """A decision or an error for each payment of a batch, in its order."""

    decisions: list[Annotated[Any, Meta(extra_json_schema={"anyOf": [ref("Decision"), ref("Error")]})]]


class ReceiptBody(receipt.Receipt, frozen=True):
    """What one decision was made from.

    `seen` counts the events that the state of payer, instrument, device, ip, payee and pair held (-1: not sent);
    digests are SHA-256 in hex, timings microseconds.
    """

    vector: Annotated[bytes | None, Meta(description="The features as served: float64, little endian; NaN is missing.")]


class Receipt(msgspec.Struct):
    """The record of one decision."""

    seq: Annotated[str, Meta(description="Place in the ledger: a whole number as text, for it may exceed 2^53.")]
    payment: Annotated[Any, Meta(extra_json_schema=ref("RecordedPayment"))]
    answer: Decision
    receipt: ReceiptBody
    values: Annotated[dict[str, Any] | None, Meta(description="The vector by feature name; null is missing.")]


_NAMED = (
    *(Outcome, Label, Batch, Decision, Decisions, Receipt, Error, Live, Ready, RecordedOutcome, RecordedLabel),
    PaymentStatus,
    *list_schemas.ANSWERED,
)


#: What callers send; every other schema is a reply's, which may have more fields than it names.
_SENT = ("Outcome", "Label", "Batch")


def schemas_of(parameters: CatalogueParameters) -> dict[str, Any]:
    """Every schema by name, for a service with these catalogue parameters."""
    _, schemas = msgspec.json.schema_components(_NAMED, ref_template="#/components/schemas/{name}")
    for name, schema in schemas.items():
        if name in _SENT:
            schema["additionalProperties"] = False
        schema["description"] = " ".join(schema["description"].split())
        for field in schema["properties"].values():
            field.pop("default", None)  # with one, openapi-typescript makes an optional field of a request required
    schemas["PaymentStatus"]["properties"]["warnings"]["items"] = ref("FieldWarning")
    shown = {_SHOWN_AS.get(name, name): _renamed(schema) for name, schema in schemas.items()}
    for name, schema in shown.items():
        schema["title"] = name
    return {**shown, **list_schemas.SENT, **payment_schemas(parameters)}


def _renamed(schema: Any) -> Any:
    """The same schema with the references of the document's own names."""
    if isinstance(schema, list):
        return [_renamed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = schema.get("$ref")
    if isinstance(found, str):
        return {**schema, **ref(found.removeprefix(_SCHEMAS))}
    return {name: _renamed(one) for name, one in schema.items()}
