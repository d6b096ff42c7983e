"""Pseudonyms hide identifiers and change nothing else."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.history.normalise import pseudonymised
from features.intake.card_numbers import holds_card_number
from features.intake.parse import payment_from, payment_json, read_payment, stored_payment
from features.intake.pseudonyms import Pseudonyms, is_pseudonym
from features.state.memory import State
from features.state.replay import replay
from tests.features.kernel.streams import Event, Later, history_of, row_of, streams

NAMES = Pseudonyms("a key of more than thirty-two characters")
OTHERS = Pseudonyms("another key of more than thirty-two chars")
CATALOGUE = catalogue()


def concealed(event: Event) -> Event:
    if isinstance(event, Later):
        return event
    ip = None if event.ip is None else NAMES.ip(event.ip)
    return msgspec.structs.replace(event, instrument_id=NAMES.instrument(event.instrument_id), ip=ip)


def served(events: list[Event]) -> list[bytes]:
    """The feature vector of every payment, as bits."""
    state, vectors, payments = State(CATALOGUE), [], []
    for event in events:
        if isinstance(event, Later):
            state.annotate(payments[event.about], event.what)
        else:
            payments.append(event)
            vectors.append(state.observe_and_apply(event).tobytes())
    return vectors


@settings(max_examples=30)
@given(streams())
def test_features_are_the_same_bit_for_bit_with_pseudonyms(events: list[Event]) -> None:
    assert served(events) == served([concealed(event) for event in events])


@settings(max_examples=20)
@given(streams(late=False))
def test_a_replayed_history_gives_the_same_frame_with_pseudonyms(events: list[Event]) -> None:
    history = history_of([row_of(event) for event in events if not isinstance(event, Later)])
    clear, hidden = replay(history, CATALOGUE), replay(pseudonymised(history, NAMES), CATALOGUE)
    for name in CATALOGUE.names:
        assert clear[name].to_numpy().tobytes() == hidden[name].to_numpy().tobytes(), name


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_values_keys_and_kinds_have_different_pseudonyms(one: str, other: str) -> None:
    assert (NAMES.instrument(one) == NAMES.instrument(other)) == (one == other)
    assert NAMES.instrument(one) != OTHERS.instrument(one)
    assert NAMES.instrument(one)[3:] != NAMES.ip(one)[3:]
    assert is_pseudonym("instrument", NAMES.instrument(one))
    assert not holds_card_number(NAMES.instrument(one))


def test_a_pseudonym_is_not_hashed_again_and_other_entities_are_not_hashed() -> None:
    once = NAMES.of("instrument", "vpa-1")
    assert NAMES.of("instrument", once) == once
    assert NAMES.of("ip", once) != once
    assert NAMES.of("payer", "u-1") == "u-1"
    assert NAMES.ip("2001:DB8:0::1") == NAMES.ip("2001:db8::1")


def test_a_payment_is_hashed_at_the_border_and_stays_so() -> None:
    raw = {
        "transaction_id": "t", "event_time": "2026-11-11T00:00:03.120Z", "amount_minor": 1, "currency": "INR",
        "rail": "upi", "channel": "pos", "payer_id": "u-1", "instrument_id": "vpa-1", "payee_id": "m-1",
        "ip": "2001:DB8::1",
    }  # fmt: skip
    payment = payment_from(raw, CATALOGUE, NAMES)
    assert payment == read_payment(msgspec.json.encode(raw), CATALOGUE, NAMES)
    assert (payment.instrument_id, payment.ip) == (NAMES.instrument("vpa-1"), NAMES.ip("2001:db8::1"))
    assert stored_payment(payment_json(payment)) == payment


def test_the_fingerprint_tells_keys_apart() -> None:
    assert NAMES.fingerprint != OTHERS.fingerprint
    assert NAMES.fingerprint == Pseudonyms("a key of more than thirty-two characters").fingerprint
