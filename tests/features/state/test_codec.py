"""Packed state elsewhere gives the same bits as state in the process, and its bytes depend on the events alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.domain.payment import ENTITIES, Payment
from features.errors import BrokenState
from features.state import varint
from features.state.codec import HEADER_BYTES
from features.state.memory import State
from features.state.remote import EntityStrings, generation_of, header, identity
from tests.features.kernel.streams import START_MS, Event, Later, streams
from tests.features.state.string_store import StringStore

CATALOGUE = catalogue()


def payments_of(events: list[Event]) -> list[Payment]:
    return [event for event in events if isinstance(event, Payment)]


def a_payment(number: int, **changes: object) -> Payment:
    fields: dict[str, object] = {
        "transaction_id": f"t{number}", "event_time_ms": START_MS + number * 60_000, "amount_minor": 100 + number,
        "currency": "INR", "rail": "upi", "channel": "online", "payer_id": "u1", "instrument_id": "i1",
        "payee_id": "m1", "device_id": "d1", "ip": "10.0.0.1",
    } | changes  # fmt: skip
    return Payment(**fields)  # type: ignore[arg-type]


@settings(max_examples=80)
@given(streams(), st.integers(0, 2**32 - 1))
def test_strings_give_the_vectors_of_the_state_whenever_they_are_packed(events: list[Event], seed: int) -> None:
    state, dice = State(CATALOGUE), random.Random(seed)
    store = StringStore(CATALOGUE, lambda tail: dice.random() < 0.3)
    known = payments_of(events)
    for event in events:
        if isinstance(event, Later):
            state.annotate(known[event.about], event.what)
            store.annotate(known[event.about], event.what)
            continue
        expected = state.observe_and_apply(event)
        vector, seen = store.score(event)
        assert vector.tobytes() == expected.tobytes()
        assert seen == state.last_seen()


@settings(max_examples=80)
@given(streams(), st.integers(0, 2**32 - 1))
def test_packed_bytes_do_not_depend_on_when_strings_were_packed(events: list[Event], seed: int) -> None:
    dice = random.Random(seed)
    stores = [StringStore(CATALOGUE, rule) for rule in (lambda _: True, lambda _: False, lambda _: dice.random() < 0.2)]
    state = State(CATALOGUE)
    known = payments_of(events)
    for event in events:
        for store in stores:
            if isinstance(event, Later):
                store.annotate(known[event.about], event.what)
            else:
                store.score(event)
        if isinstance(event, Later):
            state.annotate(known[event.about], event.what)
        else:
            state.apply(event)
    always, never, sometimes = (store.canonical() for store in stores)
    assert always == never == sometimes
    assert {(kind, key): record for kind, key, record in stores[0].strings.pack_state(state)} == always


@given(st.integers(0, 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_numbers_come_back_from_their_bytes(whole: int, signed: int) -> None:
    out = np.zeros(32, np.uint8)
    end = varint.write_signed(out, varint.write_varint(out, 0, whole), signed)
    first, at = varint.read_varint(out, 0, end)
    second, at = varint.read_signed(out, at, end)
    assert (first, second, at) == (whole, signed, end)


@settings(max_examples=200)
@given(st.data())
def test_broken_bytes_are_refused_and_harm_nothing(data: st.DataObject) -> None:
    store = StringStore(CATALOGUE)
    for number in range(12):
        store.score(a_payment(number, payee_id=f"m{number % 5}", ip=f"10.0.0.{number % 4}"))
    strings = store.strings
    one = a_payment(99)
    entry = strings.entry(one)
    whole = [store.kept.get((e, key or "")) for e, key in enumerate(entry.keys)]
    kind = data.draw(st.sampled_from([e for e, string in enumerate(whole) if string]))
    raw = bytearray(whole[kind] or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    broken = [bytes(raw) if e == kind else string for e, string in enumerate(whole)]
    try:
        strings.observe(one, entry, broken, None)
    except BrokenState as error:
        assert "rebuild-state" in error.repair
    intact = strings.observe(one, entry, whole, None)
    assert intact.tobytes() == EntityStrings(CATALOGUE).observe(one, entry, whole, None).tobytes()


def test_a_truncated_string_names_the_entity() -> None:
    strings = EntityStrings(CATALOGUE)
    one = a_payment(1)
    with pytest.raises(BrokenState, match="payer `u1`"):
        strings.observe(one, strings.entry(one), [b"\x01\x02", None, None, None, None, None], None)


def test_identities_are_lasting_positive_and_tell_kinds_apart() -> None:
    assert identity(0, "u1") == 130_885_378_045_846_294
    found = [identity(kind, key) for kind in range(len(ENTITIES)) for key in ("a", "b", "", "u" * 300)]
    assert len(set(found)) == len(found)
    assert min(found) > 0


def test_an_entity_with_one_payment_takes_little_room() -> None:
    store = StringStore(CATALOGUE, lambda _: True)
    store.score(a_payment(1))
    sizes = {ENTITIES[e]: len(string) for (e, _), string in store.kept.items()}
    assert max(sizes.values()) < 100, sizes


def test_a_header_says_its_generation_and_what_follows_it() -> None:
    string = header(7, b"abc") + b"abc" + b"12345"
    assert generation_of(string) == 7
    assert len(string) - HEADER_BYTES - int.from_bytes(string[4:HEADER_BYTES], "little") == 5
