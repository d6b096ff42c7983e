"""Compares a ledger with the head that is kept in its folder, and accepts what is missing."""

from __future__ import annotations

from serving.ledger import head
from serving.ledger.open import opened
from serving.ledger.reader import LedgerReader
from serving.store_config import LedgerConfig


def missing_events(config: LedgerConfig, ledger: LedgerReader) -> list[str]:
    """What a ledger once held and does not hold now, as sentences that no operator has accepted.

    Gaps are looked for in the embedded profile only: it numbers events without gaps.
    """
    embedded = not config.postgres_url
    found = head.open_findings(config.var, ledger, numbered=embedded)
    known = head.accepted(config.var)
    gaps = [head.gap_sentence(*one) for one in ledger.gaps()] if embedded else []
    return [*found, *(one for one in gaps if one not in known)]


def accept_missing(config: LedgerConfig) -> list[str]:
    """Accept everything that is missing now; returns it as sentences.

    Raises: CannotStart when there is no ledger, or it is damaged; OSError.
    """
    with opened(config) as ledger:
        found = missing_events(config, ledger)
    if found:
        head.accept(config.var, found)
    return found
