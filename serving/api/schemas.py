"""The JSON schemas of the contract: payment, decision, receipt, error; derived from the domain's types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.catalogue.catalogue import CatalogueParameters
from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES, Payment
from features.domain.payment_fields import LONGEST_DEADLINE_MS, LONGEST_TEXT
from serving.api import list_schemas
from serving.api.contract.payment_schema import payment_schemas
from serving.decision import receipt
from serving.decision.receipt import one_of
from serving.messages import Error, Live, Ready, Recorded

MAX_BATCH_PAYMENTS = 1_000


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


# The types below are read for their schemas. What a caller sends is checked by serving/state/outcomes.py and by
# features/intake/, which report every problem.

Identifier = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.")]


class Outcome(msgspec.Struct):
    """What the issuer did with a payment."""

    transaction_id: Identifier
    outcome: Annotated[str, one_of(OUTCOMES)]
    event_time: Time


class Label(msgspec.Struct):
    """Whether a payment was fraud, and who says so."""

    transaction_id: Identifier
    label: Annotated[str, one_of(LABELS)]
    source: Annotated[str, one_of(LABEL_SOURCES)]
    reported_at: Time


class Batch(msgspec.Struct):
    """Payments, decided in this order.

    A batch whose payments would usually take longer than `deadline_ms`, counted from its arrival, is refused with the
    number that fits (413).
    """

    payments: Annotated[tuple[Payment, ...], Meta(max_length=MAX_BATCH_PAYMENTS)]
    deadline_ms: Annotated[int, Meta(ge=1, le=LONGEST_DEADLINE_MS)] = LONGEST_DEADLINE_MS


class Decision(receipt.Answer, frozen=True):
    """The decision about one payment."""

    test: Annotated[bool, Meta(description="Sent by a sandbox alone: the id asked for this answer.")] = False


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


_NAMED = (Outcome, Label, Batch, Decision, Decisions, Receipt, Error, Live, Ready, Recorded, *list_schemas.ANSWERED)


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
            if name not in _SENT:
                field.pop("default", None)  # a default matters to a sender
    return {**schemas, **list_schemas.SENT, **payment_schemas(parameters)}
