"""Whether a ledger holds pseudonyms, and made with which key: one event that is written before any payment.

A ledger cannot change its mind: with another key, or none, the same instrument would be a stranger, and
every window, list and case would lose its past.
"""

from __future__ import annotations

import time

import msgspec

from features.pseudonyms import Pseudonyms
from serving.errors import CannotStart
from serving.ledger import Ledger
from serving.ledger_reading import LedgerReading
from serving.settings import Settings

KIND = "hashing"
_BACK = "Set RISKGATE_HASH_KEY to the key of this ledger, or RISKGATE_VAR to a new folder."


class Hashing(msgspec.Struct, frozen=True):
    """The body of a `hashing` event: which key, not the key."""

    fingerprint: str


#: How a line end is written that belongs to the key: one behind the value is cut off, and once was not.
_LINE_ENDS = {r"\r\n": "\r\n", r"\n": "\n"}


def pseudonyms_of(settings: Settings) -> Pseudonyms | None:
    """What makes pseudonyms when the settings ask for them, else None."""
    if not settings.hash_key:
        return None
    for written, line_end in _LINE_ENDS.items():
        if settings.hash_key.endswith(written):
            return Pseudonyms(settings.hash_key.removesuffix(written) + line_end)
    return Pseudonyms(settings.hash_key)


def _spelling_of(fingerprint: str, hash_key: str) -> str | None:
    """How the line end is written that stood behind the key when the ledger was begun, None if none did."""
    for written, line_end in _LINE_ENDS.items():
        if Pseudonyms(hash_key + line_end).fingerprint == fingerprint:
            return written
    return None


def check_hashing(ledger: LedgerReading, settings: Settings) -> Pseudonyms | None:
    """What makes pseudonyms for this ledger, None for a ledger of clear identifiers; changes nothing.

    Raises: CannotStart when the ledger was written with another key, with one, or without.
    """
    names = pseudonyms_of(settings)
    known = [msgspec.json.decode(event.body, type=Hashing).fingerprint for event in ledger.of_kind(KIND)]
    if known and names is None:
        raise CannotStart("The ledger holds hashed identifiers, and RISKGATE_HASH_KEY is not set.", _BACK)
    if known and names is not None and names.fingerprint != known[-1]:
        spelling = _spelling_of(known[-1], settings.hash_key)
        if spelling is not None:
            raise CannotStart(
                "The ledger was written with this hash key and a line end behind it, which is no longer read as a "
                "part of the key.",
                f"Write that line end behind the key, as it stands here: RISKGATE_HASH_KEY='<the key>{spelling}'.",
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


def settle_hashing(ledger: Ledger, settings: Settings) -> Pseudonyms | None:
    """As `check_hashing`; a ledger without payments takes the key of the settings for good.

    Raises: CannotStart.
    """
    names = check_hashing(ledger, settings)
    if names is not None and not ledger.of_kind(KIND):
        now_ms = time.time_ns() // 1_000_000
        ledger.append_now(KIND, "", now_ms, now_ms, msgspec.json.encode(Hashing(names.fingerprint)))
    return names
