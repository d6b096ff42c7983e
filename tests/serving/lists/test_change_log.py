"""The lines about list changes in the log of the service: one for each, sums in a large import, no values."""

from __future__ import annotations

import logging

import pytest

from serving.ledger.reader import Event
from serving.lists.book import ListBook
from serving.lists.changes import MOST_LINES, WINDOW_SECONDS, ChangeLog, apply
from serving.lists.entry import ADD, LIST, REMOVE, Change, NewEntry, encode_change

CARD = "4111 1111 1111 1111"


def event(seq: int, action: str, author: str, *values: str) -> Event:
    change = Change("block", action, author, tuple(NewEntry("payee", one, "seen") for one in values))
    return Event(seq, LIST, "", seq, seq, encode_change(change))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.INFO]


def test_a_change_is_one_line_with_list_action_count_and_author(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "riskgate.lists")
    book, written = ListBook(), ChangeLog(lambda: 0.0)
    apply(book, event(1, ADD, "ann", "m-1", "m-2"), written)
    apply(book, event(2, REMOVE, CARD, "m-1", "m-absent"), written)
    apply(book, Event(3, LIST, "", 3, 3, b"{"), written)
    assert lines(caplog) == [
        "block list: 2 entries added by ann",
        f"block list: 1 entry removed by {'*' * len(CARD)}",
    ]


def test_a_large_import_becomes_a_few_lines_and_none_of_its_entries_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "riskgate.lists")
    now = [0.0]
    book, written = ListBook(), ChangeLog(lambda: now[0])
    for seq in range(1, 1_001):
        apply(book, event(seq, ADD, "ann", f"m-{seq}", f"n-{seq}"), written)
    written.flush()
    assert lines(caplog) == ["block list: 2 entries added by ann"] * MOST_LINES
    now[0] = WINDOW_SECONDS
    written.flush()
    written.flush()
    rest = 1_000 - MOST_LINES
    assert lines(caplog)[MOST_LINES:] == [f"block list: {2 * rest:,} entries added by ann in {rest} changes"]


def test_a_start_does_not_log_the_changes_of_the_past(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "riskgate.lists")
    apply(ListBook(), event(1, ADD, "ann", "m-1"))
    assert not lines(caplog)
