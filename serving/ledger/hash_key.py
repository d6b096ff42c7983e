"""Which hash key a ledger's pseudonyms were made with: one `hashing` event, written before any payment.

The key of a ledger is final: under another key, or none, the same instrument would have another id, and every window,
list and case would lose its history.
"""

from __future__ import annotations

import contextlib
import logging
import time

import msgspec

from features.intake.pseudonyms import Pseudonyms, is_pseudonym
from features.intake.token_key import LINE_ENDS, secret_of
from serving.errors import CannotStart
from serving.ledger.event_bodies import HashingEvent, decode_hashing
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger

__all__ = ["KIND", "HashingEvent", "bind_hash_key", "check_hash_key", "pseudonyms_of"]

log = logging.getLogger("riskgate.ledger")

KIND = "hashing"
_BACK = "Set RISKGATE_HASH_KEY to the key of this ledger, or RISKGATE_VAR to a new folder."


def pseudonyms_of(hash_key: str) -> Pseudonyms | None:
    """The hasher of identifiers for a key as RISKGATE_HASH_KEY spells it; None for the empty key."""
    return Pseudonyms(secret_of(hash_key)) if hash_key else None


def _spelling_of(fingerprint: str, hash_key: str) -> str | None:
    """The spelling of the line end that was part of the ledger's key; None if that does not explain it."""
    for written, line_end in LINE_ENDS.items():
        if Pseudonyms(hash_key + line_end).fingerprint == fingerprint:
            return written
    return None


def check_hash_key(ledger: LedgerReader, hash_key: str) -> Pseudonyms | None:
    """The hasher of identifiers of this ledger, None for a ledger of clear identifiers; changes nothing.

    Raises: CannotStart when the ledger was written with another key, with one, or without.
    """
    names = pseudonyms_of(hash_key)
    known, damaged = _fingerprints(ledger)
    if damaged and not known:
        return _by_content(ledger, names)
    if known and names is None:
        raise CannotStart("The ledger holds hashed identifiers, and RISKGATE_HASH_KEY is not set.", _BACK)
    if known and names is not None and names.fingerprint != known[-1]:
        spelling = _spelling_of(known[-1], hash_key)
        if spelling is not None:
            raise CannotStart(
                "The ledger was written with this hash key and a line end after it, which is no longer read as a "
                "part of the key.",
                f"Write that line end after the key, as it is spelled here: RISKGATE_HASH_KEY='<the key>{spelling}'.",
            )
        raise CannotStart(
            f"The ledger was written with the hash key {known[-1]}, and RISKGATE_HASH_KEY is {names.fingerprint} "
            "(fingerprints, not the keys).",
            _BACK,
        )
    if names is not None and not known and ledger.has_past():
        raise CannotStart(
            "The ledger holds clear identifiers, and RISKGATE_HASH_KEY is set.",
            "Unset it, or export the history, set RISKGATE_VAR to a new folder and import it there.",
        )
    return names


def _fingerprints(ledger: LedgerReader) -> tuple[list[str], int]:
    """The fingerprints in the ledger, and how many `hashing` events cannot be read."""
    known, damaged = [], 0
    for event in ledger.of_kind(KIND):
        try:
            known.append(decode_hashing(event.body).fingerprint)
        except (msgspec.DecodeError, TypeError):
            damaged += 1
    return known, damaged


def _by_content(ledger: LedgerReader, names: Pseudonyms | None) -> Pseudonyms | None:
    """As `check_hash_key` for a damaged `hashing` event: the first payment shows whether identifiers are hashed.

    Raises: CannotStart.
    """
    for event in ledger.walk():
        if event.kind == "payment":
            with contextlib.suppress(msgspec.DecodeError, TypeError, UnicodeDecodeError):
                instrument_id = msgspec.json.decode(event.body, type=_Hinted).payment.instrument_id
                hashed = is_pseudonym("instrument", instrument_id)
                break
    else:
        return names
    if hashed and names is None:
        raise CannotStart("The ledger holds hashed identifiers, and RISKGATE_HASH_KEY is not set.", _BACK)
    if not hashed and names is not None:
        raise CannotStart("The ledger holds clear identifiers, and RISKGATE_HASH_KEY is set.", "Unset it.")
    if names is not None:
        log.error("the event with the fingerprint of the hash key cannot be read: RISKGATE_HASH_KEY is not checked")
    return names


class _HintedPayment(msgspec.Struct):
    instrument_id: str


class _Hinted(msgspec.Struct):
    payment: _HintedPayment


def bind_hash_key(ledger: Ledger, hash_key: str) -> Pseudonyms | None:
    """As `check_hash_key`; records the key in a ledger without payments, which makes it final.

    Raises: CannotStart.
    """
    names = check_hash_key(ledger, hash_key)
    if names is not None and not _fingerprints(ledger)[0]:
        now_ms = time.time_ns() // 1_000_000
        ledger.append_now(KIND, "", now_ms, now_ms, msgspec.json.encode(HashingEvent(names.fingerprint)))
    return names
