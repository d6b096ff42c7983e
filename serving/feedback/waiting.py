"""Reports about payments that are not known here: they wait, within bounds, until the payment is scored or imported."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from features.errors import Refused, RiskgateError
from serving.errors import Overloaded
from serving.feedback.reports import KnownReport, of_event
from serving.ledger.event_bodies import Refusal, WaitingEvent, decode_report, decode_waiting
from serving.ledger.reader import Event

#: A payment is sent at most seven days late; an import of what was missed takes some time more.
LONGEST_WAIT_SECONDS = 35 * 86_400
#: Payments about which reports wait, and reports about one of them.
MOST_WAITING = 100_000
MOST_ABOUT_ONE = 100


class WaitingReports:
    """The reports that wait, by transaction, in order of arrival; ms UTC. One process, one thread.

    `in` is asked for each payment that is scored.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.most = most
        self._waiting: OrderedDict[str, tuple[int, list[KnownReport]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, transaction_id: object) -> bool:
        return transaction_id in self._waiting

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._waiting))  # whoever walks may remove

    def about(self, transaction_id: str) -> list[KnownReport]:
        """The reports about one payment that wait."""
        return list(self._waiting.get(transaction_id, (0, []))[1])

    def add(self, transaction_id: str, report: KnownReport, arrival_ms: int) -> None:
        """Keep one more; call `check_room` before it is recorded."""
        _, reports = self._waiting.setdefault(transaction_id, (arrival_ms, []))
        if not any(report.repeats(one) for one in reports):  # production may record a waiting report twice
            reports.append(report)

    def fold(self, event: Event) -> None:
        """Follow a ledger: a `waiting` event is added; an event that says the same, or refuses it, takes it away.

        The event must be one that can be folded.
        """
        name = event.transaction_id
        if event.kind == "waiting":
            report = report_of(decode_waiting(event.body))
            if report.refused is None:
                self.add(name, report, event.arrival_time_ms)
            else:
                self._done(name, report)
        elif event.kind in ("outcome", "label") and name in self._waiting:
            self._done(name, of_event(event.kind, decode_report(event.body)))

    def _done(self, transaction_id: str, report: KnownReport) -> None:
        if transaction_id in self._waiting:
            reports = self._waiting[transaction_id][1]
            reports[:] = [one for one in reports if not one.repeats(report)]
            if not reports:
                self.remove(transaction_id)

    def arrival_ms(self, transaction_id: str) -> int:
        """When the first of the reports about one payment came, ms UTC."""
        return self._waiting[transaction_id][0]

    def remove(self, transaction_id: str) -> None:
        """Forget what was applied."""
        self._waiting.pop(transaction_id, None)

    def check_room(self, transaction_id: str, now_ms: int) -> None:
        """Refuse a report for which there is no room; forgets those that waited too long.

        Raises: Overloaded.
        """
        self.forget_old(now_ms)
        if len(self.about(transaction_id)) >= MOST_ABOUT_ONE:
            raise too_many_waiting()
        if transaction_id not in self and len(self) >= self.most:
            raise too_many_waiting()

    def forget_old(self, now_ms: int) -> None:
        """Forget the payments whose first report has waited longer than `LONGEST_WAIT_SECONDS`."""
        while self._waiting:
            name, (arrival_ms, _) = next(iter(self._waiting.items()))
            if arrival_ms >= now_ms - LONGEST_WAIT_SECONDS * 1000:
                return
            del self._waiting[name]


def too_many_waiting() -> Overloaded:
    """The refusal of a report for which there is no room to wait."""
    return Overloaded(
        "Too many reports wait for payments that are not known here.",
        "Score the payment first, or send it with the label (`payment`), and find out why so many are missing.",
    )


def event_body(report: KnownReport) -> WaitingEvent:
    """The body of the event of a report that waits, or was refused after it had waited."""
    return WaitingEvent(
        report.kind, report.value, report.source, report.reported_at_ms, report.amount_minor, report.reason_code,
        report.refused,
    )  # fmt: skip


def report_of(body: WaitingEvent) -> KnownReport:
    """The report in the body of a `waiting` event."""
    return of_event(body.kind, body)


def refused_for(report: KnownReport, error: RiskgateError) -> KnownReport:
    """A report that waited, refused when its payment became known."""
    code = error.problems[0].code if isinstance(error, Refused) else error.code
    return report._replace(refused=Refusal(code, str(error)))


def still_waiting(waiting: Sequence[KnownReport], recorded: Sequence[KnownReport]) -> list[KnownReport]:
    """Those of the waiting reports that no recorded one repeats, whether taken or refused, each once."""
    left: list[KnownReport] = []
    for one in waiting:
        if not any(one.repeats(other) for other in (*recorded, *left)):
            left.append(one)
    return left
