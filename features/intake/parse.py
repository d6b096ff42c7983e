"""Parses the caller's bytes into a `Payment`: a fast path for valid payments, all problems together for others."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from features.catalogue.catalogue import Catalogue
from features.domain.countries import COUNTRIES
from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import DEFAULT_DEADLINE_MS, Attribute, Card, FieldWarning, Metadata, Payment, PaymentFields
from features.domain.payment_fields import BY_NAME, FIRST_YEAR, LAST_YEAR, LONGEST_DEADLINE_MS, MCC
from features.errors import Malformed, Problem, Refused
from features.intake.card_fields import card_of
from features.intake.card_numbers import may_hold_card_number
from features.intake.findings import Findings, kind_of
from features.intake.metadata import metadata_of
from features.intake.normalise import address_word, are_plain
from features.intake.optional_fields import optional_of
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from features.intake.validate import core_of

_REPAIR_JSON = "Send one JSON object (RFC 8259) as the document at /openapi.json describes it."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_KEY = re.compile(rb'"([^"]*)"\s*:')
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?!0\.0\.0\.0)(?:{_OCTET}\.){{3}}{_OCTET}", re.ASCII).fullmatch
#: Levels of nesting. A batch needs four: an object with a list of objects, each with an object of attributes.
DEEPEST = 8
LARGEST_FLOAT = sys.float_info.max
#: Fields of one payment; beyond them it is no payment, and naming each would delay its neighbours.
MOST_FIELDS = 200


class Wire(PaymentFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The payment as JSON (docs/design.md §3), types only."""

    event_time: datetime


_decode_wire = msgspec.json.Decoder(Wire).decode
_encode_wire = msgspec.json.Encoder(order="sorted").encode
#: What a payment is made from: twenty values by their place take a tenth of the time of twenty keywords.
_fields_of = attrgetter(*PaymentFields.__struct_fields__)


def read_payment(
    body: bytes,
    catalogue: Catalogue,
    names: Pseudonyms | None = None,
    tokens: Tokens | None = None,
    *,
    strict: bool = False,
) -> Payment:
    """The payment in a request body; with `names`, instrument and IP address are pseudonyms from here on.

    `tokens` replaces clear card numbers; without it they are refused. `strict` refuses what would be a warning.
    Raises: Malformed if it is no JSON object; Refused with every problem if something is not valid.
    """
    try:
        wire = _decode_wire(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire = None
    if (
        wire is not None
        and not may_hold_card_number(body)
        and _plainly_valid(wire, catalogue)
        and (_says_all_once(wire, body) or _has_each_key_once(body))
    ):
        return _payment(wire, names)
    return payment_from(read_json(body), catalogue, names, tokens, strict=strict)


def read_json(body: bytes) -> Any:
    """The decoded body.

    Raises: Malformed if it is no JSON; Refused if an object names a key twice (RFC 8259 leaves the meaning open).
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        # the reason names a place in the body, never its text
        raise Malformed(f"The body is not valid JSON: {problem}.", _REPAIR_JSON) from None
    except RecursionError:
        raise _too_deep() from None
    if not _is_shallow(raw, DEEPEST):
        raise _too_deep()
    if not _has_each_key_once(body) or b"\\" in body:
        _refuse_duplicates(body)
    return raw


def _too_deep() -> Malformed:
    return Malformed(f"The body is nested more than {DEEPEST} levels deep.", _REPAIR_JSON)


def _is_shallow(raw: Any, levels: int) -> bool:
    if isinstance(raw, dict):
        raw = raw.values()
    elif not isinstance(raw, list):
        return True
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in raw if isinstance(one, dict | list))


def _refuse_duplicates(body: bytes) -> None:
    import json  # only here: the standard library's decoder exposes duplicate keys

    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        once = dict(items)
        if len(once) != len(items):
            found.extend(name for name, count in Counter(name for name, _ in items).items() if count > 1)
        return once

    # Numbers are not looked at: the longest take Python long, or more digits than it converts.
    json.loads(body.decode(), object_pairs_hook=pairs, parse_int=len, parse_float=len)
    if found:
        known = [n for n in dict.fromkeys(found) if n in BY_NAME]
        raise Refused(
            [Problem("duplicate_key", "is sent more than once.", name, "Send each key once.") for name in known]
            or [Problem("duplicate_key", "A key is sent more than once.", None, "Send each key once.")]
        )


def payment_from(
    raw: Any,
    catalogue: Catalogue,
    names: Pseudonyms | None = None,
    tokens: Tokens | None = None,
    *,
    strict: bool = False,
) -> Payment:
    """The payment in a decoded object; `names`, `tokens` and `strict` as in `read_payment`.

    Raises: Refused with every problem if something is not valid.
    """
    if not isinstance(raw, dict):
        message = f"A payment is a JSON object, not {kind_of(raw)}."
        raise Refused([Problem("wrong_type", message, None, "Send an object.")])
    if len(raw) > MOST_FIELDS:
        message = f"A payment of {len(raw):,} fields was sent; there are at most {MOST_FIELDS}."
        raise Refused([Problem("too_many_fields", message, None, "Send own fields as `attributes` or `metadata`.")])
    findings = Findings(tokens)
    values = core_of(raw, catalogue, findings) | optional_of(raw, catalogue, findings)
    findings.raise_problems(strict=strict)
    return _payment(Wire(**values), names, findings.bounded_warnings())


def payment_json(payment: Payment) -> bytes:
    """Canonical bytes of a payment, in the words of the contract: kept in the ledger, and its identity for retries."""
    return _encode_wire(Wire(*_fields_of(payment), event_time=moment_of(payment.event_time_ms)))


def milliseconds(moment: datetime) -> int:
    """An aware moment as milliseconds UTC, exactly."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(at_ms: int) -> datetime:
    """The aware moment of milliseconds UTC, exactly."""
    return _EPOCH + at_ms * _MILLISECOND


def stored_payment(data: bytes) -> Payment:
    """The payment that `payment_json` wrote."""
    return _payment(_decode_wire(data))


def _payment(wire: Wire, names: Pseudonyms | None = None, warnings: tuple[FieldWarning, ...] = ()) -> Payment:
    if names is not None:
        wire = replace(
            wire,
            ip=None if wire.ip is None else names.ip(wire.ip),
            instrument_id=wire.instrument_id and names.instrument(wire.instrument_id),
        )
    return Payment(*_fields_of(wire), event_time_ms=milliseconds(wire.event_time), warnings=warnings)


def _says_all_once(wire: Wire, body: bytes) -> bool:
    """Whether a body without escapes has no more quotation marks than what it says needs: then no key stands twice."""
    # Two marks a name and two a text: nine fields are always sent, and all of them but the amount are texts.
    needed = 2 * (9 + 8) + 4 * (
        (wire.device_id is not None)
        + (wire.ip is not None)
        + (wire.mcc is not None)
        + (wire.payer_country is not None)
        + (wire.payee_country is not None)
    )
    if wire.card is not None or wire.metadata:
        return False
    needed += 2 * ((wire.latitude is not None) + (wire.longitude is not None) + wire.late)
    # An attribute may have that name too: then one more is not needed, and the careful look decides.
    if wire.deadline_ms != DEFAULT_DEADLINE_MS or (b'"deadline_ms":' in body and "deadline_ms" not in wire.attributes):
        needed += 2
    if wire.attributes:
        needed += 2 + sum([4 if isinstance(value, str) else 2 for value in wire.attributes.values()])
    return body.count(b'"') == needed


def _has_each_key_once(body: bytes) -> bool:
    keys = _KEY.findall(body)
    return len(keys) == len(set(keys))


def _plainly_valid(wire: Wire, catalogue: Catalogue) -> bool:
    """Whether a typed payment is valid and normalised beyond doubt; what is not goes the careful way, which decides."""
    moment = wire.event_time
    return (
        moment.tzinfo is not None
        and FIRST_YEAR <= moment.year < LAST_YEAR
        and 0 <= wire.amount_minor <= LARGEST_AMOUNT_MINOR
        and wire.currency in catalogue.weights
        and wire.rail in catalogue.rails
        and wire.channel in catalogue.channels
        and are_plain(wire.transaction_id, wire.payer_id, wire.instrument_id, wire.payee_id, wire.device_id or "d")
        and wire.device_id != ""
        and (wire.ip is None or _IPV4(wire.ip) is not None or _is_plain_ipv6(wire.ip))
        and (wire.mcc is None or (MCC.fullmatch(wire.mcc) is not None and wire.mcc != "0000"))
        and (wire.payer_country is None or wire.payer_country in COUNTRIES)
        and (wire.payee_country is None or wire.payee_country in COUNTRIES)
        and (wire.latitude is None or -90.0 <= wire.latitude <= 90.0)
        and (wire.longitude is None or -180.0 <= wire.longitude <= 180.0)
        and 1 <= wire.deadline_ms <= LONGEST_DEADLINE_MS
        and (wire.card is None or _plain_card(wire.card))
        and (not wire.metadata or _plain_metadata(wire.metadata))
        and (not wire.attributes or _plain_attributes(wire.attributes, catalogue))
    )


def _plain_attributes(sent: dict[str, Attribute], catalogue: Catalogue) -> bool:
    """Whether every attribute is declared, of its type, and written as it is kept."""
    kinds = catalogue.attribute_types
    return all(
        isinstance(value, kinds.get(name, ()))
        and (are_plain(value) if isinstance(value, str) else -LARGEST_FLOAT <= value <= LARGEST_FLOAT)
        for name, value in sent.items()
    )


@lru_cache(maxsize=1 << 14)
def _is_plain_ipv6(text: str) -> bool:
    return ":" in text and address_word(text) == text and text != "::"


def _plain_card(card: Card) -> bool:
    findings = Findings(None)
    return card_of(msgspec.to_builtins(card), findings) == card and not findings.warnings and not findings.problems


def _plain_metadata(sent: Metadata) -> bool:
    findings = Findings(None)
    return metadata_of(sent, findings) == sent and not findings.warnings and not findings.problems
