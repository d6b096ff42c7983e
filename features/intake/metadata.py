"""Reads `metadata`: the caller's own notes about a payment, which are kept in the receipt and never a feature."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from features.domain.payment import Metadata
from features.domain.payment_fields import MOST_METADATA, MOST_METADATA_BYTES
from features.intake.findings import Findings
from features.intake.normalise import number_of


def metadata_of(value: Any, findings: Findings) -> Metadata | None:
    """The texts, numbers and booleans of an object; None if it is no object, or too large as a whole."""
    if not isinstance(value, dict):
        findings.warn("metadata", "invalid_value", "The value is no object and was left out.")
        return None
    sent = {name: one for name, one in value.items() if one is not None}
    if len(sent) > MOST_METADATA or _size(sent) > MOST_METADATA_BYTES:
        limit = f"{MOST_METADATA} values and {MOST_METADATA_BYTES:,} bytes"
        findings.warn("metadata", "out_of_range", f"There are more than {limit}: none of it was kept.")
        return None
    kept: Metadata = {}
    for name, one in sent.items():
        where = f"metadata.{findings.name_of(name)}"
        if isinstance(one, str):
            one = findings.without_card_number(where, one)
        elif not isinstance(one, bool):
            number = number_of(one)
            if number is None or not math.isfinite(number):
                findings.warn(where, "invalid_value", "The value is no text, number or boolean and was left out.")
                continue
            if not findings.number_without_card_number(where, one):
                continue
        kept[findings.without_card_number(where, name)] = one
    return kept


def _size(sent: dict[str, Any]) -> int:
    try:
        return len(msgspec.json.encode(sent))
    except (OverflowError, ValueError, RecursionError):  # a number of hundreds of digits
        return MOST_METADATA_BYTES + 1
