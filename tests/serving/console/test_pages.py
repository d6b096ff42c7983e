from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

from features.catalogue.catalogue import Attribute, CatalogueParameters, catalogue
from serving.console.desk import PAGE_SIZE
from serving.console.render import FOLDER, TEMPLATES, environment
from tests.serving.console.desk_visitor import Visitor, console_of, field, words
from tests.serving.console.desk_world import DeskWorld, busy_desk, payment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(tmp_path)
    world.user()
    world.user("omar", "auditor")
    yield world
    world.close()


@pytest.fixture
def analyst(world: DeskWorld) -> Iterator[Visitor]:
    visitor = Visitor(console_of(world))
    visitor.sign_in()
    yield visitor
    visitor.close()


# -- the queue ------------------------------------------------------------


def test_the_queue_shows_amounts_scores_and_times_as_people_read_them(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    text = words(analyst.get("/cases").text)
    for said in ("₹58,912.50", "₹1,25,000.00", "US$2,499.00", "47.1 %", "not scored", "11 Nov 2026, 00:00:03 UTC"):
        assert said in text
    assert text.index("t-8230") < text.index("t-81f3") < text.index("t-8210") < text.index("t-8222")


def test_an_empty_queue_says_so(analyst: Visitor) -> None:
    assert "The queue is empty. Every flagged payment has a verdict." in words(analyst.get("/cases").text)


def test_the_pages_of_a_long_queue_are_linked_and_tile_it(world: DeskWorld, analyst: Visitor) -> None:
    for n in range(PAGE_SIZE + 3):
        world.scored(payment(f"t-{n:03d}", amount_minor=1_000 + n))
    first, second = words(analyst.get("/cases").text), words(analyst.get("/cases?page=2").text)
    assert "1–25 of 28" in first
    assert "26–28 of 28" in second
    for n in range(PAGE_SIZE + 3):
        assert (f"t-{n:03d}" in first) != (f"t-{n:03d}" in second)
    assert "Next" in first
    assert "Previous" in second


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=99999999999", "state=%00", "decision=drop", "x=1"]
)
def test_a_query_that_means_nothing_still_shows_a_queue(world: DeskWorld, analyst: Visitor, query: str) -> None:
    busy_desk(world)
    reply = analyst.get(f"/cases?{query}")
    assert reply.status_code == 200
    assert "Open cases" in words(reply.text)


def test_an_identifier_finds_its_cases_whatever_their_state(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    analyst.verdict("t-8203")
    text = words(analyst.get("/cases?find=u-77").text)
    assert "t-8203" in text
    assert "t-81f3" not in text


# -- the case ------------------------------------------------------------


def test_reasons_are_told_in_plain_words_with_value_and_unit(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    text = words(analyst.get("/case?id=t-81f3").text)
    assert "This payer pays more or faster than usual." in text
    assert "Total amount of payments of this payer in the last hour: ₹4,800.00" in text
    assert "14 payers" in text
    assert "+2.41" in text
    assert "velocity device payers 10m" in text


def test_missing_is_told_as_missing_and_never_as_zero(world: DeskWorld, analyst: Visitor) -> None:
    one = payment("t-1", device_id=None, ip=None)
    world.scored(one, known={"payee_fraud_count_30d": 0.0}, seen=(5, 5, -1, -1, 9, 0))
    text = words(analyst.get("/case?id=t-1").text)
    assert "Device not sent" in text
    assert "payee_fraud_count_30d 0 payments" in text
    assert "device_count_24h not sent" in text
    assert "ip_count_1h not sent" in text
    assert "payer_count_1h no history" in text
    assert "payer_profile_age no profile" in text


def test_recent_payments_say_how_far_away_they_were_and_what_became_known(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    text = words(analyst.get("/case?id=t-81f3").text)
    assert "9 min before 10 Nov, 23:51:03 UTC t-81f1 UPI, static QR ₹1,800.00" in text
    assert "challenge fraud" in text
    assert "1 min later 11 Nov, 00:01:03 UTC t-8203" in text


def test_the_timeline_tells_decision_outcome_label_and_verdict_in_order(world: DeskWorld, analyst: Visitor) -> None:
    one = payment("t-1")
    world.scored(one)
    world.report("outcome", one, "authorised")
    world.report("label", one, "fraud", "chargeback", 3_600_000)
    analyst.verdict("t-1", "fraud")
    text = words(analyst.get("/case?id=t-1").text).split("Timeline")[1]
    assert (
        text.index("Decided review") < text.index("Issuer: authorised") < text.index("Labelled fraud by a chargeback")
    )
    assert text.index("Labelled fraud") < text.index("Resolved as fraud by asha")


def test_what_a_caller_sent_is_shown_as_text_and_never_as_markup(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-<b>1</b>", payer_id='"><img src=x onerror=alert(1)>', payee_id="<script>alert(1)</script>"))
    for page in (analyst.get("/cases").text, analyst.get("/case?id=t-%3Cb%3E1%3C%2Fb%3E").text):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page
        assert "<img src=x" not in page


def test_any_transaction_identifier_has_a_page_and_takes_a_verdict(world: DeskWorld, analyst: Visitor) -> None:
    odd = ("a/b", "..", "é 1%", "x?y=1&z#f", "/", "a+b  c", ".")
    for one in odd:
        world.scored(payment(one))
    page = analyst.get("/cases").text
    hrefs = [part.split('"')[0] for part in page.split('class="open" href="')[1:]]
    assert len(hrefs) == len(odd)
    for href in hrefs:
        case = analyst.get(href)
        assert case.status_code == 200, href
        sent = {"csrf": field(case.text, "csrf"), "verdict": "fraud", "note": "n"}
        assert analyst.post(href, sent).status_code == 200
    assert sorted(transaction_id for transaction_id, _ in world.verdicts()) == sorted(odd)


def test_a_vector_of_an_unknown_catalogue_is_not_shown_under_wrong_names(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"), contract="f" * 64)
    text = words(analyst.get("/case?id=t-1").text)
    assert "catalogue ffffffffffff, which this version of the desk cannot build" in text
    assert "payer_count_1h no history" not in text


def test_the_catalogue_of_a_served_bundle_names_the_callers_own_fields(tmp_path: Path) -> None:
    sign_in = Attribute("sign_in", "categorical", ("otp", "biometric"), "How the payer signed in.")
    own = catalogue(CatalogueParameters(attributes=(sign_in,)))
    bundle = tmp_path / "bundles" / "one"
    bundle.mkdir(parents=True)
    (bundle / "contract.json").write_bytes(own.contract().to_json())
    world = DeskWorld(tmp_path, own)
    world.user()
    world.scored(payment("t-1"), known={"attr_sign_in": 1.0})
    analyst = Visitor(console_of(world))
    analyst.sign_in()
    assert "How the payer signed in. attr_sign_in biometric" in words(analyst.get("/case?id=t-1").text)
    analyst.close()
    world.close()


# -- pages are values ------------------------------------------------------------


@pytest.mark.parametrize("template", sorted({*TEMPLATES.values(), "base.html"}))
def test_a_template_uses_its_page_and_nothing_else(template: str) -> None:
    tree = environment.parse((FOLDER / "templates" / template).read_text())
    assert meta.find_undeclared_variables(tree) <= {"page"}


@pytest.mark.parametrize("page", TEMPLATES, ids=lambda page: page.__name__)
def test_every_field_of_a_page_is_placed_and_no_other_is_asked_for(page: type) -> None:
    used: set[str] = set()
    for template in (TEMPLATES[page], "base.html"):
        tree = environment.parse((FOLDER / "templates" / template).read_text())
        for node in tree.find_all(nodes.Getattr):
            if isinstance(node.node, nodes.Name) and node.node.name == "page":
                used.add(node.attr)
    assert used == {field.name for field in dataclasses.fields(page)}


def test_pages_cannot_be_changed_and_templates_are_strict() -> None:
    for page in TEMPLATES:
        assert page.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert environment.undefined is jinja2.StrictUndefined
    assert environment.autoescape is True
