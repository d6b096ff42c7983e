"""Online state as a fold of the ledger: the same steps at startup, after a crash and in `verify`."""

from __future__ import annotations

from pathlib import Path

from features.catalogue.catalogue import Catalogue
from features.state.memory import State
from features.state.profiles import Profiles
from serving.ledger.event_bodies import HistoryEvent, ReportEvent, decode_report
from serving.ledger.history_segment import Segment
from serving.ledger.reader import Event
from serving.ledger.sqlite.bloom_filter import BloomFilter
from serving.state.foldable import (
    UNFOLDABLE,
    CannotFold,
    HistoryStep,
    PaymentStep,
    ProfileStep,
    ReportStep,
    Step,
    checked_step_of,
    reason_of,
    step_of,
)
from serving.state.set_aside import SetAside


class Fold:
    """State, profiles and history segment after the events up to `seq`; what cannot be folded is set aside."""

    def __init__(self, catalogue: Catalogue, folder: Path, state: State | None = None) -> None:
        self.catalogue = catalogue
        self.folder = folder
        self.state = State(catalogue) if state is None else state
        self.profiles = Profiles()
        self.segment: Segment | None = None
        self.seq = 0
        #: The position of the snapshot that this fold began with; 0 without one.
        self.snapshot_seq = 0
        #: The ids of the payments up to `snapshot_seq`, if the snapshot had them.
        self.ids: BloomFilter | None = None
        #: The latest verdict that has become a label, and the latest row read from the profile file.
        self.verdict_seq = 0
        self.profile_row = 0
        #: The events that changed nothing because they cannot be folded.
        self.set_aside = SetAside()

    def apply(self, event: Event, *, state_included: bool = False) -> bool:
        """Fold one event; False when it is set aside instead, and nothing has changed.

        `state_included` if a snapshot of the state already holds the event.
        Raises: InvalidHistory when the file of an imported history is missing or damaged.
        """
        self.seq = event.seq
        try:
            if state_included and event.kind == "label":
                self._note_verdict(decode_report(event.body))
            else:
                self.apply_step(step_of(event, self.catalogue), state_included=state_included)
        except CannotFold as error:
            self.set_aside.add(event, error.reason)
            return False
        except UNFOLDABLE as error:
            if event.kind == "history":
                raise  # its file is missing or damaged, which must be repaired, not set aside
            self.set_aside.add(event, reason_of(error))
            return False
        return True

    def recheck(self, event: Event) -> None:
        """Set aside an event that the snapshot does not hold, if it still cannot be folded; the state stays."""
        try:
            checked_step_of(event, self.catalogue)
        except CannotFold as error:
            self.set_aside.add(event, error.reason)

    def apply_step(self, step: Step, *, state_included: bool = False) -> None:
        """Apply a step to the state, atomically: if it raises, nothing has changed."""
        match step:
            case PaymentStep(payment=payment, enters=enters):
                if enters and not state_included:
                    self.state.apply(payment)
            case ReportStep(report=report, payment=payment):
                self._note_verdict(report)
                if not state_included:
                    # `step_of` has validated every effect: none of them raises after another was applied.
                    for effect in report.effects:
                        self.state.annotate(payment, effect.what, effect.weight)
            case ProfileStep(entity=entity, entity_id=entity_id, row=row, file_row=file_row):
                self.profiles.put(entity, entity_id, row, file_row)
                self.profile_row = max(self.profile_row, file_row)
            case HistoryStep(body=body):
                self._import(body, state_included)
            case _:
                pass

    def _note_verdict(self, report: ReportEvent) -> None:
        if report.verdict_seq is not None:
            self.verdict_seq = max(self.verdict_seq, report.verdict_seq)

    def _import(self, body: HistoryEvent, state_included: bool) -> None:
        if self.segment is not None:
            raise CannotFold("a history was imported before it: there is one, before all payments")
        segment = Segment(self.folder, body.sha256, body.until_ms)
        if not state_included:
            self.state = segment.fold(self.catalogue)
        self.segment = segment
