"""The keys in Redis; `{...}` is the hash tag of Redis Cluster, so each entity lies in one slot."""

from __future__ import annotations

from binascii import crc_hqx

from features.state.remote import entity_prefixes

SLOTS = 16_384


class Keys:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._entities = entity_prefixes(prefix)
        self._transaction = f"{prefix}:{{t:"
        #: The Redis Stream of all events.
        self.events = f"{prefix}:events".encode()
        #: A stream of the latest `list` events only, with the same ids, in the slot of the stream of all events.
        self.lists = f"{{{prefix}:events}}:lists".encode()
        #: The catalogue that the strings were folded with, and their format.
        self.contract = f"{prefix}:contract".encode()
        #: The last moment, ms UTC, of a state that is older than the ledger, while its mark says so.
        self.lost_from = f"{prefix}:lost_from".encode()
        #: What workers write to find out whether Redis takes writes.
        self.probe = f"{prefix}:probe".encode()
        #: The fingerprint of the hash key, or `clear`; the bundle that decides.
        self.hashing = f"{prefix}:hashing".encode()
        self.promotion = f"{prefix}:promotion".encode()
        #: The events set aside when the state was last built from the ledger: JSON of `SharedSetAside`.
        self.set_aside = f"{prefix}:set_aside".encode()
        #: The lease of the worker that records profile rows; the latest row of the profile file that became an event.
        self.profile_lease = f"{prefix}:profile_lease".encode()
        self.profile_row = f"{prefix}:profile_row".encode()
        #: The transactions whose reports wait for their payment, by time of arrival (a sorted set).
        self.waiting_index = f"{prefix}:waiting".encode()

        #: The scoring processes and their fractions of every bound; what each holds of one; the tokens of each
        #: key's rate; the declines that their breakers count.
        self.workers = f"{prefix}:{{bounds}}:workers".encode()
        self.shares = f"{prefix}:{{bounds}}:shares".encode()
        self.rates = f"{prefix}:{{bounds}}:rates".encode()
        self.declines = f"{prefix}:{{bounds}}:declines".encode()

    def entity(self, kind: int, key: str) -> bytes:
        """The string of one entity."""
        return f"{self._entities[kind]}{key}}}".encode()

    def transaction(self, transaction_id: str) -> bytes:
        """The idempotency record of a payment."""
        return f"{self._transaction}{transaction_id}}}".encode()

    def reports(self, transaction_id: str) -> bytes:
        """The recent reports about a payment."""
        return f"{self._transaction}{transaction_id}}}:reports".encode()

    def waiting(self, transaction_id: str) -> bytes:
        """The reports that wait for a payment."""
        return f"{self._transaction}{transaction_id}}}:waiting".encode()

    def entity_of(self, key: bytes) -> tuple[int, str] | None:
        """The (kind, key) that `entity` maps to this Redis key; None for any other key."""
        name = key.decode()
        for kind, start in enumerate(self._entities):
            if name.startswith(start) and name.endswith("}"):
                return kind, name[len(start) : -1]
        return None


def slot_of(key: bytes) -> int:
    """The slot of Redis Cluster in which a key lies: CRC16 (XMODEM) of its hash tag.

    >>> slot_of(b"123456789")
    12739
    """
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS
