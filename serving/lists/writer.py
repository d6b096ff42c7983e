"""Writes list events from another process than the service, which then follows them; either profile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Protocol

from serving.errors import CannotStart, LedgerError, LedgerUnavailable
from serving.ledger.hash_key import bind_hash_key, check_hash_key
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.token_key import shared_tokens, tokens_of
from serving.lists.book import ListBook
from serving.lists.changes import apply
from serving.lists.entry import LIST, Change, encode_change
from serving.lists.shared import event_in_copy
from serving.lists.values import EntryReader
from serving.redis_store.keys import Keys
from serving.redis_store.messages import stream_is_full
from serving.redis_store.scripts import LIST_EVENT
from serving.redis_store.server_checks import REDIS_ERRORS, redis_client, redis_place_of
from serving.redis_store.stream_entry import stream_id_of
from serving.settings import Settings

#: How long a write waits while another process holds the SQLite ledger, seconds.
PATIENCE_SECONDS = 10.0


class ListWriter(Protocol):
    """Writes changes, and reads what the lists hold."""

    reader: EntryReader

    def write(self, change: Change) -> None:
        """Record one change.

        Raises: LedgerUnavailable.
        """

    def book(self) -> ListBook:
        """The lists after everything recorded; the time grows with them.

        Raises: LedgerUnavailable.
        """


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[ListWriter]:
    """A writer for the ledger of these settings; the service may run meanwhile.

    Raises: CannotStart for another hash key, or servers that cannot be used.
    """
    if settings.production:
        # Imported here: the embedded profile needs no PostgreSQL driver.
        from serving.ledger.postgres.ledger import PostgresLedger

        postgres = PostgresLedger(settings.ledger, "riskgate-lists", statement_seconds=0)
        client = redis_client(settings.redis_url)
        try:
            yield SharedWriter(postgres, client, settings)
        finally:
            client.close()
            postgres.release()
        return
    try:
        ledger = Ledger(settings.ledger.sqlite, settings.ledger_sync)
    except LedgerError as error:
        raise CannotStart(
            f"The ledger cannot be opened: {error}.", "Set RISKGATE_VAR to the service's folder."
        ) from error
    try:
        yield SqliteWriter(ledger, settings)
    finally:
        ledger.release()


class SqliteWriter:
    """Appends to the SQLite file beside the service."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self.reader = EntryReader(bind_hash_key(ledger, settings.hash_key), tokens_of(settings.ledger, ledger).replace)

    def write(self, change: Change) -> None:
        """See `ListWriter.write`."""
        body, until = encode_change(change), time.monotonic() + PATIENCE_SECONDS
        while True:
            now_ms = time.time_ns() // 1_000_000
            try:
                self._ledger.append_now(LIST, "", now_ms, now_ms, body)
                return
            except LedgerError as error:
                if time.monotonic() > until:
                    raise LedgerUnavailable(f"The ledger cannot be written: {error}.", "Send it again.") from error
                time.sleep(0.05)

    def book(self) -> ListBook:
        """See `ListWriter.book`."""
        return _folded(self._ledger)


class SharedWriter:
    """Appends to the stream in Redis, which the recorder brings to PostgreSQL."""

    def __init__(self, ledger: LedgerReader, client: Any, settings: Settings) -> None:
        self._ledger = ledger
        self._client = client
        self._keys = Keys(settings.redis_prefix)
        self._limit = settings.stream_limit
        self._place = redis_place_of(settings.redis_url)
        self.reader = EntryReader(check_hash_key(ledger, settings.hash_key), shared_tokens(settings.ledger).replace)

    def write(self, change: Change) -> None:
        """See `ListWriter.write`."""
        now_ms = time.time_ns() // 1_000_000
        values = (self._limit, "", now_ms, now_ms, encode_change(change))
        with self._redis("does not take the change", "Start it, then send the same again."):
            done, *_ = self._client.eval(LIST_EVENT.text, 2, self._keys.events, self._keys.lists, *values)
        if done == 2:
            raise stream_is_full()

    def book(self) -> ListBook:
        """See `ListWriter.book`."""
        book = _folded(self._ledger)
        with self._redis("does not answer", "Start it, or correct RISKGATE_REDIS_URL."):
            found = self._client.xrange(self._keys.lists, f"({stream_id_of(book.seq)}", "+")
        for stream_id, fields in found:
            apply(book, event_in_copy(stream_id, fields))
        return book

    @contextlib.contextmanager
    def _redis(self, what: str, repair: str) -> Iterator[None]:
        """Turns an error of Redis into a sentence with its address, without user and password."""
        try:
            yield
        except REDIS_ERRORS as error:
            raise LedgerUnavailable(f"Redis at {self._place} {what} ({type(error).__name__}).", repair) from error


def _folded(ledger: LedgerReader) -> ListBook:
    book = ListBook()
    for event in ledger.each_of_kind(LIST, page=50):
        apply(book, event)
    return book
