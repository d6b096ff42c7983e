"""Rows of the profile file as events of the ledger; a row that cannot be folded is skipped."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

import msgspec

from features.catalogue.catalogue import Catalogue
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from features.state.profiles import ProfileFile
from serving.ledger.event_bodies import ProfileEvent, encode
from serving.ledger.reader import Event
from serving.ledger.sqlite.connection import ledger_errors
from serving.state.foldable import CannotFold, ProfileStep, step_of

log = logging.getLogger("riskgate.profiles")


class ProfilePage(NamedTuple):
    """New rows of the profile file: events without a sequence number, their steps, and the last row read."""

    events: list[Event]
    steps: list[ProfileStep]
    last_row: int


def profile_page(
    file: ProfileFile,
    after_row: int,
    catalogue: Catalogue,
    names: Pseudonyms | None,
    tokens: Tokens | None = None,
) -> ProfilePage | None:
    """The rows after a row of the file, None when there is none.

    The file has clear instruments; with `names` the events have pseudonyms, with `tokens` no card numbers.
    Raises: LedgerError when the file cannot be read.
    """
    with ledger_errors():
        rows = file.bodies_since(after_row)
    if not rows:
        return None
    page = ProfilePage([], [], rows[-1][0])
    now_ms = time.time_ns() // 1_000_000
    for number, entity, entity_id, created_time_ms, row in rows:
        try:
            kept = entity_id if tokens is None else tokens.replace(entity_id)[0]
            known_as = kept if names is None else names.of(entity, kept)
            body = encode(ProfileEvent(entity, known_as, msgspec.Raw(row), number))
            event = Event(0, "profile", "", created_time_ms, now_ms, body)
            step = step_of(event, catalogue)
            assert isinstance(step, ProfileStep)
        except (CannotFold, TypeError, AttributeError, msgspec.MsgspecError) as error:
            reason = error.reason if isinstance(error, CannotFold) else "a column of it is of the wrong type"
            log.error("row %d of the profile file cannot be folded and is skipped: %s", number, reason)
            continue
        page.events.append(event)
        page.steps.append(step)
    return page
