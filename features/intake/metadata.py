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
        findings.warn("metadata", "invalid_value", "The value is no object", "it was left out", leak=value)
        return None
    sent = {name: one for name, one in value.items() if one is not None}
    if len(sent) > MOST_METADATA:
        what = f"There are {len(sent):,} values, and there may be {MOST_METADATA}"
    elif _size(sent) > MOST_METADATA_BYTES:
        what = f"The values take more than {MOST_METADATA_BYTES:,} bytes as JSON"
    else:
        return _kept(sent, findings)
    findings.warn("metadata", "out_of_range", what, "none of it was kept", leak=sent)
    return None


def _kept(sent: dict[str, Any], findings: Findings) -> Metadata:
    kept: Metadata = {}
    for name, one in sent.items():
        where = f"metadata.{findings.name_of(name)}"
        if isinstance(one, str):
            one = findings.without_card_number(where, one)
        elif not isinstance(one, bool):
            number = number_of(one)
            if number is None or not math.isfinite(number):
                what = "The value is no text, number or boolean"
                findings.warn(where, "invalid_value", what, "it was left out", leak=one)
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
