"""The whole loop through the client that openapi-python-client generates; run by tests/clients/__main__.py."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from riskgate_client import AuthenticatedClient
from riskgate_client.api.decisions import get_decision, get_receipt, score_batch, score_payment
from riskgate_client.api.lists import add_entries, list_entries, remove_entries
from riskgate_client.api.reports import report_label, report_outcome
from riskgate_client.api.service import get_liveness, get_metrics, get_readiness
from riskgate_client.models import (
    AddEntriesList,
    Answer,
    Batch,
    BatchAnswer,
    Card,
    ChangedList,
    DecisionReceipt,
    EntryNames,
    EntryNamesEntriesItem,
    EntryNamesEntriesItemKind,
    ErrorReply,
    LabelReport,
    LabelReportLabel,
    LabelReportSource,
    ListEntriesList,
    ListPage,
    Liveness,
    NewEntries,
    NewEntriesEntriesItem,
    NewEntriesEntriesItemKind,
    OutcomeReport,
    OutcomeReportOutcome,
    Payment,
    PaymentMetadataType0,
    PaymentStatus,
    Readiness,
    RecordedLabel,
    RecordedOutcome,
    RemoveEntriesList,
)

client = AuthenticatedClient(base_url=os.environ["RISKGATE_URL"], token=os.environ["RISKGATE_TOKEN"])
NOW = datetime.now(UTC)
KIND, ADDRESS = "ip", "198.51.100.0/24"


def payment(transaction_id: str) -> Payment:
    return Payment(
        transaction_id=transaction_id,
        event_time=NOW,
        amount_minor=125_000,
        currency="INR",
        rail="card",
        channel="online",
        payer_id="u-python",
        instrument_id="tok-python",
        payee_id="m-559",
        card=Card(bin_="411111", funding="credit"),
        metadata=PaymentMetadataType0.from_dict({"order": "o-1", "gift": True}),
    )


def decisions() -> None:
    answer = score_payment.sync(client=client, body=payment("python-1"), explain=True)
    assert isinstance(answer, Answer), answer
    assert (answer.transaction_id, answer.tier.value) == ("python-1", "full")
    again = score_payment.sync_detailed(client=client, body=payment("python-1"))
    assert isinstance(again.parsed, Answer)
    assert (again.headers["idempotent-replay"], again.parsed.decision) == ("true", answer.decision)
    assert again.headers["x-request-id"]
    batch = score_batch.sync(client=client, body=Batch(payments=[payment("python-2"), payment("python-3")]))
    assert isinstance(batch, BatchAnswer)
    assert [one.transaction_id for one in batch.decisions if isinstance(one, Answer)] == ["python-2", "python-3"]
    refused = score_payment.sync_detailed(client=client, body=payment(""))
    assert isinstance(refused.parsed, ErrorReply)
    assert (refused.status_code, refused.parsed.error.field) == (422, "transaction_id")


def reports() -> None:
    outcome = OutcomeReport("python-1", OutcomeReportOutcome.AUTHORISED, NOW)
    recorded = report_outcome.sync(client=client, body=outcome)
    assert isinstance(recorded, RecordedOutcome), recorded
    assert (recorded.recorded, recorded.status.value) == ("authorised", "applied")
    label = LabelReport("python-1", LabelReportLabel.FRAUD, LabelReportSource.CHARGEBACK, NOW)
    labelled = report_label.sync(client=client, body=label)
    assert isinstance(labelled, RecordedLabel), labelled
    assert labelled.effective == "fraud"
    receipt = get_receipt.sync("python-1", client=client)
    assert isinstance(receipt, DecisionReceipt), receipt
    assert (receipt.answer.transaction_id, int(receipt.seq) > 0) == ("python-1", True)
    status = get_decision.sync("python-1", client=client)
    assert isinstance(status, PaymentStatus), status
    assert [one.outcome.value for one in status.outcomes] == ["authorised"]
    assert isinstance(get_receipt.sync("nothing", client=client), ErrorReply)


def lists() -> None:
    entry = NewEntriesEntriesItem(NewEntriesEntriesItemKind(KIND), ADDRESS, "card testing")
    added = add_entries.sync(AddEntriesList.WATCH, client=client, body=NewEntries([entry]))
    assert isinstance(added, ChangedList), added
    page = list_entries.sync(ListEntriesList.WATCH, client=client)
    assert isinstance(page, ListPage)
    assert ADDRESS in [one.value for one in page.entries]
    named = EntryNames([EntryNamesEntriesItem(EntryNamesEntriesItemKind(KIND), ADDRESS)])
    removed = remove_entries.sync(RemoveEntriesList.WATCH, client=client, body=named)
    assert isinstance(removed, ChangedList)
    assert removed.entries[0].status.value == "removed"


def service() -> None:
    assert isinstance(get_liveness.sync(client=client), Liveness)
    assert isinstance(get_readiness.sync(client=client), Readiness)
    assert "riskgate_" in str(get_metrics.sync(client=client))


if __name__ == "__main__":
    decisions()
    reports()
    lists()
    service()
