"""Whether the state behind a connection is the one that a worker folded into: its mark, and how far its stream goes.

A connection that is lost may come back to an empty Redis, or to one that is some seconds older: a replica that was
promoted, an append-only file that was not synced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from serving.redis_store.connection import Command, RedisConnection
from serving.redis_store.keys import Keys
from serving.redis_store.scripts import MARK_OF

log = logging.getLogger("riskgate.redis")

#: The mark of a state that is older than the ledger: the recorder rebuilds it.
LOST = b"lost"
_NONE = b"0-0"


class Mark:
    """Compares what a new connection finds with what the worker saw before."""

    def __init__(
        self, keys: Keys, connection: RedisConnection, contract: bytes, on_found: Callable[[bool], None]
    ) -> None:
        """`contract` is the mark of this catalogue; `on_found` gets whether the state may be used."""
        self._keys, self._contract, self._on_found = keys, contract, on_found
        #: The stream id that Redis gave this worker last for a payment.
        self.newest = _NONE
        connection.last_setup_command, connection.on_last_setup_reply = self._question, self._compare

    def _question(self) -> Command:
        keys = (self._keys.contract, self._keys.events, self._keys.lost_from)
        return ("EVALSHA", MARK_OF.sha, str(len(keys)), *keys, self.newest, LOST)

    def _compare(self, found: Any) -> None:
        if found == LOST:
            self.newest = _NONE
            log.error("Redis came back older than it was: payments are decided by amount until the state is rebuilt")
        self._on_found(found == self._contract)
