"""Incidents: times in which decisions were made from a state that was not the ledger's, declared as events."""

from __future__ import annotations

import contextlib

import msgspec

from serving.ledger.reader import LedgerReader

#: The kind of the event.
INCIDENT = "incident"


class IncidentEvent(msgspec.Struct, frozen=True):
    """The body of an `incident` event: decisions that arrived from `from_ms` to `to_ms` (ms UTC) may not recompute.

    `reason` says what happened to the state, `by` who or what declared it. It changes no state.
    """

    from_ms: int
    to_ms: int
    reason: str
    by: str

    def covers(self, arrival_ms: int) -> bool:
        """Whether a decision arrived during the incident."""
        return self.from_ms <= arrival_ms <= self.to_ms


decode_incident = msgspec.json.Decoder(IncidentEvent).decode


def incidents(ledger: LedgerReader) -> list[IncidentEvent]:
    """Every readable incident, in the order of the ledger; they may overlap."""
    found = []
    for event in ledger.of_kind(INCIDENT):
        with contextlib.suppress(msgspec.DecodeError):
            found.append(decode_incident(event.body))
    return found
