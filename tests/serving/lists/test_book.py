"""Laws of lists in memory: incremental changes, matching, networks, expiry, pages, and what `verify` finds later."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.domain.payment import Payment
from features.intake.pseudonyms import Pseudonyms
from serving.decision.rules import LISTS, Listed
from serving.engine.profile_runtime import WARMUP_PAYMENT
from serving.ledger.reader import Event, LedgerReader
from serving.lists.addresses import noting
from serving.lists.book import ListBook
from serving.lists.changes import apply
from serving.lists.entry import ADD, BEGIN, FIELDS, KINDS, LIST, REMOVE, Change, NewEntry, encode_change
from serving.lists.history import ListHistory
from serving.lists.networks import Networks, network_word
from serving.lists.values import EntryReader, Unfit

VALUES: dict[str, list[str]] = {
    "payer": ["u-1", "u-2"],
    "instrument": ["i-1", "i-2"],
    "device": ["d-1", "d-2"],
    "ip": ["203.0.113.9", "203.0.113.0/24", "203.0.0.0/13", "2001:db8::/32", "2001:db8::9", "203.0.113.8/31"],
    "payee": ["m-1", "m-2"],
    "country": ["IN", "GB"],
    "mcc": ["0742", "5411"],
}
named = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), st.sampled_from(VALUES[kind])))
new_entries = st.lists(
    st.builds(lambda one, expires: NewEntry(*one, "r", expires), named, st.sampled_from((None, 50, 150))),
    min_size=1,
    max_size=5,
)
change_sets = st.lists(
    st.builds(
        lambda name, action, found: Change(name, action, "ann", tuple(found)),
        st.sampled_from(LISTS),
        st.sampled_from((ADD, ADD, REMOVE)),
        new_entries,
    ),
    max_size=12,
)
payments = st.builds(
    lambda payer, device, ip, payee, country, mcc, at: msgspec.structs.replace(
        WARMUP_PAYMENT, payer_id=payer, instrument_id="i-1", device_id=device, ip=ip, payee_id=payee,
        payee_country=country, mcc=mcc, event_time_ms=at,
    ),
    st.sampled_from(("u-1", "u-3")),
    st.sampled_from((None, "d-1", "d-3")),
    st.sampled_from((None, "203.0.113.9", "203.0.113.200", "203.7.1.1", "198.51.100.1", "2001:db8::9", "::1")),
    st.sampled_from(("m-1", "m-3")),
    st.sampled_from((None, "GB", "FR")),
    st.sampled_from((None, "0742", "1111")),
    st.sampled_from((49, 50, 149, 150)),
)  # fmt: skip


class Kept(LedgerReader):
    """A ledger of list events in memory."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def each_of_kind(self, kind: str, *, after_seq: int = 0, page: int = 0) -> Iterator[Event]:
        return (one for one in self.events if one.kind == kind and one.seq > after_seq)


def events_of(changes: list[Change]) -> list[Event]:
    return [Event(10 * seq, LIST, "", 1_000 + seq, 0, encode_change(one)) for seq, one in enumerate(changes, 1)]


def by_definition(changes: list[Change], payment: Payment) -> Listed | None:
    """The list that decides, from the changes alone."""
    held: dict[tuple[str, str, str], int | None] = {}
    for change in changes:
        for one in change.entries:
            held.pop((change.list, one.kind, one.value), None)
            if change.action == ADD:
                held[change.list, one.kind, one.value] = one.expires_at_ms
    for name in LISTS:
        for kind, fields in FIELDS.items():
            found = sorted(
                value
                for (of, which, value), expires in held.items()
                if (of, which) == (name, kind) and (expires is None or payment.event_time_ms < expires)
                for field in fields
                if matches(value, getattr(payment, field))
            )
            if found:
                return Listed(name, kind, found[0] if kind == "ip" and "/" in found[0] else "")
    return None


def matches(value: str, actual: str | None) -> bool:
    if actual is not None and "/" in value:
        return ip_address(actual) in ip_network(value)
    return value == actual


@settings(max_examples=300)
@given(change_sets, st.lists(payments, min_size=1, max_size=4))
def test_the_book_and_the_history_say_what_the_changes_say(changes: list[Change], asked: list[Payment]) -> None:
    events, book = events_of(changes), ListBook()
    history = ListHistory(Kept(events))
    told = []
    for place in range(len(events) + 1):
        if place:
            apply(book, events[place - 1])
        for payment in asked:
            found = book.find(payment)
            assert found == by_definition(changes[:place], payment)
            told.append((payment, book.seq, found))
    for payment, seq, found in reversed(told):  # workers are not equally far: `verify` asks in any order
        assert history.find(payment, seq) == found


@settings(max_examples=100)
@given(change_sets, st.integers(1, 4))
def test_pages_give_each_entry_in_force_once_in_the_order_of_adding(changes: list[Change], limit: int) -> None:
    book = ListBook()
    for event in events_of(changes):
        apply(book, event)
    for name in LISTS:
        found, after = [], BEGIN
        while True:
            entries, then = book.page(name, after, limit)
            assert len(entries) <= limit
            found += entries
            if then is None:
                break
            after = then
        assert len(found) == book.counts[name] == len({(one.kind, one.value) for one in found})
        assert [(one.seq, one.place) for one in found] == sorted((one.seq, one.place) for one in found)
        assert all(book.entry(name, one.kind, one.value) is one for one in found)


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@settings(max_examples=200)
@given(st.lists(st.tuples(addresses, st.integers(1, 128)), max_size=30), addresses)
def test_networks_hold_exactly_the_addresses_in_them(parts: list[tuple[str, int]], address: str) -> None:
    known: Networks[str] = Networks()
    networks = set()
    for text, bits in parts:
        word = network_word(f"{text}/{min(bits, 32) if ':' not in text else bits}")
        if word is not None and "/" in word:
            networks.add(word)
            known.put(word, word)
    asked = [address, *(str(ip_network(one)[0]) for one in networks), *(str(ip_network(one)[-1]) for one in networks)]
    for one in asked:
        here = ip_address(one)
        expected = {net for net in networks if ip_network(net).version == here.version and here in ip_network(net)}
        assert sorted(known.holding(one)) == sorted(expected)
    for net in networks:
        known.drop(net)
    assert not any(known.holding(one) for one in asked)


def test_behind_pseudonyms_a_network_is_matched_at_the_door_and_only_its_addresses_are_noted() -> None:
    book = ListBook()
    apply(book, events_of([Change("block", ADD, "ann", (NewEntry("ip", "203.0.113.0/24"),))])[0])
    names = Pseudonyms("a secret of thirty-two characters")
    door = noting(names, book)
    assert door is not None
    inside, outside = (
        msgspec.structs.replace(WARMUP_PAYMENT, ip=door.ip(one)) for one in ("203.0.113.9", "203.0.114.9")
    )
    assert inside.ip == names.ip("203.0.113.9")
    assert book.find(inside) == Listed("block", "ip", "203.0.113.0/24")
    assert book.find(outside) is None
    assert list(book.clear_addresses.values()) == ["203.0.113.9"]


CLEAR = EntryReader()
HASHED = EntryReader(Pseudonyms("a secret of thirty-two characters"))


@pytest.mark.parametrize(
    ("kind", "written", "stored"),
    [
        ("payer", " u-1 ", "u-1"),
        ("payee", "Jose\u0301", "Jos\u00e9"),
        ("ip", "[2001:DB8:0::1]:443", "2001:db8::1"),
        ("ip", "::ffff:203.0.113.9", "203.0.113.9"),
        ("ip", "10.1.2.3/8", "10.0.0.0/8"),
        ("ip", "203.0.113.9/32", "203.0.113.9"),
        ("ip", "2001:DB8::5/32", "2001:db8::/32"),
        ("ip", "::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("country", "uk", "GB"),
        ("mcc", "742", "0742"),
    ],
)
def test_a_value_is_stored_as_payments_carry_it(kind: str, written: str, stored: str) -> None:
    assert CLEAR.value(kind, written) == stored


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("planet", "x"), (None, "x"), ("payer", None), ("payer", " "), ("payer", 7), ("payer", "x" * 129),
        ("payer", "a\x00b"), ("device", "00000000-0000-0000-0000-000000000000"), ("ip", "1.2.3.4."),
        ("ip", "10.0.0.0/33"), ("ip", "0.0.0.0/0"), ("ip", "::/0"), ("ip", "0.0.0.0"), ("ip", "::"),
        ("ip", "[0:0::0]:80"),        ("ip", "::ffff:0.0.0.0"), ("ip", "0.0.0.0/32"), ("ip", "::/128"), ("mcc", "0"),
        ("country", "T1"), ("mcc", "54 11"),
        ("instrument", "4111 1111 1111 1111"), ("ip", "hp_" + "a" * 32),
    ],
)  # fmt: skip
def test_what_names_nothing_or_everything_is_refused(kind: Any, written: Any) -> None:
    with pytest.raises(Unfit) as refused:
        CLEAR.value(kind, written)
    assert refused.value.problem.repair


@pytest.mark.parametrize(("kind", "value"), [("ip", "0.0.0.0"), ("ip", "::"), ("mcc", "0000")])
def test_an_entry_of_an_earlier_release_that_stands_for_nothing_can_be_removed(kind: str, value: str) -> None:
    assert CLEAR.entry({"kind": kind, "value": value}, 0, to_remove=True).value == value


def test_with_a_key_single_addresses_and_instruments_are_hashed_once_and_networks_stay() -> None:
    names = Pseudonyms("a secret of thirty-two characters")
    assert HASHED.value("ip", "203.0.113.9:443") == names.ip("203.0.113.9")
    assert HASHED.value("instrument", "vpa-1") == HASHED.value("instrument", names.instrument("vpa-1"))
    assert HASHED.value("ip", "203.0.113.0/24") == "203.0.113.0/24"
    assert HASHED.value("ip", "2001:db8::/64") == "2001:db8::/64"
    with pytest.raises(Unfit):  # nobody can tell from the pseudonym of a /64
        HASHED.value("ip", "2001:db8::/65")


def test_an_event_that_cannot_be_read_changes_nothing_and_is_passed() -> None:
    book = ListBook()
    good = events_of([Change("block", ADD, "ann", (NewEntry("payer", "u-1"),))])[0]
    for body in (b"{", b'{"list":"grey","action":"add","author":"a","entries":[]}'):
        assert apply(book, good._replace(seq=book.seq + 1, body=body)) == ()
    apply(book, good)
    assert (book.seq, book.counts["block"]) == (10, 1)
