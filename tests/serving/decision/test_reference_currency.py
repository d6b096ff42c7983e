"""The money at risk is counted, ordered and shown in the currency of the deployment, in both profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from features.bundle.bundle import read_bundle
from features.catalogue.catalogue import CatalogueParameters
from features.domain.money import reference_weights
from serving.cases import cases
from serving.console.app import create_app
from serving.console.auth.permission import Actor
from serving.console.auth.users import Users, new_user
from serving.console.desk import Desk
from serving.console.pages.catalogues import Catalogues
from serving.console.pages.wording import UNKNOWN_CURRENCY
from serving.decision.case_row import CaseRow
from serving.decision.case_row import at_risk_minor as part_at_risk
from serving.ledger.event_bodies import PromotionEvent, encode
from serving.ledger.sqlite.case_table import open_case
from serving.ledger.sqlite.connection import connect
from serving.recorder.postgres_writer import _case_columns
from tests.serving.console.desk_visitor import Visitor
from tests.serving.console.desk_world import CHEAP, PASSWORD
from tests.serving.profiles import Profile, both_profiles
from tests.serving.scoring_world import BLOCKED, PARAMETERS, START_MS, Service, make_bundle, payment

EURO = CatalogueParameters(reference_currency="EUR", attributes=PARAMETERS.attributes)
ASHA = Actor("asha", "analyst")
#: By their worth in euro, dearest first: the numbers alone would give another order.
SENT = {"e-dollar": (9_000, "USD"), "e-euro": (5_000, "EUR"), "e-yen": (6_000, "JPY"), "e-rupee": (300_000, "INR")}


@pytest.fixture(scope="module")
def euro_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("euro") / "risk", parameters=EURO)


@pytest.fixture(scope="module")
def euro(tmp_path_factory: pytest.TempPathFactory, euro_bundle: Path, profile: Profile) -> Iterator[Service]:
    with profile.running(tmp_path_factory.mktemp("euros"), euro_bundle) as service:
        for place, (name, (amount, currency)) in enumerate(SENT.items()):
            one = payment(name, START_MS + place, payer_id=BLOCKED, amount_minor=amount, currency=currency)
            assert service.score(one).json()["decision"] == "decline"
        profile.settle(service)
        yield service


@both_profiles
def test_the_risk_of_every_case_is_in_cents_and_orders_the_queue(euro: Service, profile: Profile) -> None:
    desk = Desk(profile.desk(euro), euro.var / "desk.sqlite", replay_clock=True)
    view = desk.queue(ASHA, status="open", decision=None, find=None, page=1)
    weights = reference_weights("EUR")
    for case in view.cases:
        numerator, denominator = weights[case.currency]
        cents = case.amount_minor * numerator // denominator
        assert case.risk_minor == part_at_risk(case.score, cents)
    risks = [case.risk_minor for case in view.cases]
    assert risks == sorted(risks, reverse=True)
    assert {case.transaction_id for case in view.cases} == set(SENT)
    assert sum(risks) == view.open_risk_minor


@both_profiles
def test_the_pages_show_euro(euro: Service, profile: Profile) -> None:
    users = Users(euro.var / "users.json")
    users.put(new_user("asha", PASSWORD, "analyst", CHEAP), replace=True)
    desk = Desk(profile.desk(euro), euro.var / "desk.sqlite", replay_clock=True)
    visitor = Visitor(create_app(desk, users, Catalogues(euro.var / "bundles")))
    try:
        visitor.sign_in()
        queue = visitor.get("/cases").text
        assert re.search(r"Money at risk in them</dt><dd>€[0-9.,]+</dd>", queue)
        shown = re.findall(r'data-label="At risk">([^<]+)<', queue)
        assert len(shown) == len(SENT)
        assert all(text.startswith("€") for text in shown)
        case = visitor.get("/case?id=e-dollar").text
        assert re.search(r"Money at risk</dt><dd>€[0-9.,]+</dd>", case)
        assert "US$90.00" in case, "the amount stays in its own currency"
    finally:
        visitor.close()


def row(name: str, at_risk_minor: int | None = None) -> CaseRow:
    return CaseRow(name, 1, "review", 0.5, 1_000, "USD", "u", None, "m", at_risk_minor)


def test_a_case_of_an_older_release_counts_as_it_did_and_a_new_one_as_it_says(tmp_path: Path) -> None:
    connection = connect(tmp_path / "ledger.sqlite")
    for one in (row("old"), row("new", 460)):
        open_case(connection, one)
    assert cases.case_of(connection, "old").risk_minor == 42_500  # half of 1,000 cents at 85 rupees
    assert cases.case_of(connection, "new").risk_minor == 460
    connection.close()
    assert [_case_columns(one)[-1] for one in (row("old"), row("new", 460))] == [42_500, 460]


def test_an_entry_of_the_stream_from_an_older_release_is_read() -> None:
    old = b'{"transaction_id":"t","opened_ms":1,"decision":"review","score":0.5,"amount_minor":1000,"currency":"USD",' \
          b'"payer_id":"u","device_id":null,"payee_id":"m"}'  # fmt: skip
    assert msgspec.json.decode(old, type=CaseRow) == row("t")


def test_the_currency_is_that_of_the_bundle_that_decides_now(tmp_path: Path, bundle: Path, euro_bundle: Path) -> None:
    from serving.model import bundle_archive

    known = Catalogues(tmp_path)

    def promotion(folder: Path) -> bytes:
        one = read_bundle(folder)
        bundle_archive.keep(folder, one, tmp_path)
        return encode(PromotionEvent(one.digest, "risk@1", one.policy.digest, one.contract.hash, "code"))

    assert known.reference_currency(None) == "INR"
    assert known.reference_currency(promotion(euro_bundle)) == "EUR"
    assert known.reference_currency(promotion(bundle)) == "INR"
    elsewhere = encode(PromotionEvent("b" * 64, "risk@9", "p" * 64, "f" * 64, "code"))
    assert known.reference_currency(elsewhere) == UNKNOWN_CURRENCY
