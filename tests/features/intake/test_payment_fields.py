"""The declared fields and the typed struct say the same."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec

from features.domain.payment import Card, Payment
from features.domain.payment_fields import (
    FIELDS,
    REQUIRED,
    Address,
    Attributes,
    CardFields,
    Degrees,
    Flag,
    Identifier,
    Kind,
    Metadata,
    Moment,
    Pattern,
    Whole,
    Word,
)
from features.intake.parse import Wire

#: The Python type in which a value of each kind is decoded from JSON.
WIRE_TYPES: dict[type[Kind], Any] = {
    **dict.fromkeys((Identifier, Word, Pattern, Address), str),
    Moment: datetime,
    Whole: int,
    Degrees: float,
    Attributes: dict[str, float | str],
    Flag: bool,
    CardFields: Card,
    Metadata: dict[str, str | float | bool],
}


def test_the_declared_fields_are_those_of_the_wire_with_their_types_and_defaults() -> None:
    hints = get_type_hints(Wire)
    assert sorted(hints) == sorted(field.name for field in FIELDS)
    for field in FIELDS:
        declared = WIRE_TYPES[type(field.kind)]
        optional = not field.required and field.default is None
        assert hints[field.name] == (declared | None if optional else declared), field.name
    assert all(NoneType not in get_args(hints[name]) for name in REQUIRED)
    decoded = msgspec.json.decode(msgspec.json.encode({f.name: f.example for f in FIELDS if f.required}), type=Wire)
    for field in FIELDS:
        if not field.required:
            assert getattr(decoded, field.name) == field.default


def test_a_payment_has_the_same_fields_with_its_time_in_milliseconds() -> None:
    names = {field.name for field in FIELDS}
    assert set(Payment.__struct_fields__) == names - {"event_time"} | {"event_time_ms", "warnings"}
