"""Laws of the rules: precedence in every order of arrival, refunds within captures, exclusions in every order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES, RETRACTED
from features.errors import Refused, RiskgateError
from features.intake.parse import payment_from
from serving.errors import Conflict
from serving.feedback.changes import Change, change_of
from serving.feedback.label_precedence import NO_LABEL, label_by_precedence, label_in_force, state_of_label
from serving.feedback.outcome_amounts import refundable_minor
from serving.feedback.outcome_rules import EXCLUSIONS
from serving.feedback.reports import KnownReport, Original, of_kind
from serving.ledger.event_bodies import Effect, LabelInForce
from tests.serving.scoring_world import START_MS, payment
from tests.serving.state.test_reports_fold_again import KNOWN

PAYMENT_MINOR = 1_000
ORIGINAL = Original(payment_from(payment("t-1", amount_minor=PAYMENT_MINOR), KNOWN))

times = st.integers(START_MS, START_MS + 5)
labels = st.builds(
    KnownReport, st.just("label"), st.sampled_from((*LABELS, RETRACTED)), st.sampled_from(LABEL_SOURCES), times,
    refused=st.none(), warnings=st.just(()),
)  # fmt: skip
outcomes = st.builds(
    KnownReport, st.just("outcome"), st.sampled_from(OUTCOMES), st.none(), times,
    st.sampled_from((None, 0, 100, 400, 1_000, 1_200)), st.sampled_from((None, "4853")),
    refused=st.none(), warnings=st.just(()),
)  # fmt: skip
precedences = st.permutations(LABEL_SOURCES)


def taken(
    reports: list[KnownReport], precedence: list[str] | None = None, original: Original = ORIGINAL
) -> tuple[list[KnownReport], list[Change]]:
    """The reports that are recorded of these, and what each changed."""
    recorded: list[KnownReport] = []
    changes = []
    for one in reports:
        try:
            change = change_of(one, original, recorded, precedence or LABEL_SOURCES)
        except RiskgateError as error:
            assert one.kind == "outcome" and isinstance(error, Conflict | Refused)
            continue
        if change is not None:
            recorded.append(one._replace(in_force=change.in_force))
            changes.append(change)
    return recorded, changes


def held_by(changes: list[Change]) -> dict[str, int]:
    """What the state holds: the sum of the effects, of which none is ever negative or above one."""
    found: dict[str, int] = {}
    for change in changes:
        for what, weight in [(effect.what, effect.weight) for effect in change.effects]:
            found[what] = found.get(what, 0) + weight
            assert found[what] in (0, 1)
    return {what: weight for what, weight in found.items() if weight}


@given(st.lists(labels, max_size=4, unique_by=lambda one: one.source), precedences)
def test_one_label_of_each_source_gives_the_same_in_every_order_of_arrival(
    reports: list[KnownReport], precedence: list[str]
) -> None:
    standing = {one.source: one.value for one in reports if one.value != RETRACTED}
    expected = next((standing[source] for source in precedence if source in standing), None)
    for order in itertools.permutations(reports):
        recorded, changes = taken(list(order), precedence)
        assert label_in_force(recorded).label == expected
        assert held_by(changes) == ({} if expected is None else {expected: 1})


@given(st.lists(labels, max_size=8), precedences)
def test_the_latest_report_of_the_highest_standing_source_is_in_force(
    reports: list[KnownReport], precedence: list[str]
) -> None:
    recorded, changes = taken(reports, precedence)
    latest = {one.source: one for one in recorded}
    standing = [latest[one] for one in precedence if one in latest and latest[one].value != RETRACTED]
    expected = LabelInForce(standing[0].value, standing[0].source, standing[0].reported_at_ms) if standing else NO_LABEL
    assert label_in_force(recorded) == expected == label_by_precedence(recorded, precedence)
    assert held_by(changes) == ({} if expected.label is None else {expected.label: 1})
    if standing:
        assert state_of_label(standing[0], recorded, precedence) == "applied"
        assert all(
            state_of_label(one, recorded, precedence) == "outranked" for one in recorded if one != latest[one.source]
        )


@given(st.lists(labels, max_size=4), st.lists(labels, min_size=1, max_size=4), precedences, precedences)
def test_a_change_of_the_policy_undoes_what_the_state_really_holds(
    before: list[KnownReport], after: list[KnownReport], old: list[str], new: list[str]
) -> None:
    recorded, changes = taken(before, old)
    for one in after:
        change = change_of(one, ORIGINAL, recorded, new)
        if change is not None:
            recorded.append(one._replace(in_force=change.in_force))
            changes.append(change)
            assert label_in_force(recorded) == label_by_precedence(recorded, new)
    held = label_in_force(recorded).label
    assert held_by(changes) == ({} if held is None else {held: 1})


def test_labels_of_a_release_before_stay_as_they_were_recorded_until_the_next_report() -> None:
    old = [KnownReport("label", "legitimate", "chargeback", 1), KnownReport("label", "fraud", "customer_report", 2)]
    assert label_in_force(old).label == "fraud"  # the later reported
    change = change_of(KnownReport("label", "legitimate", "network_alert", 0), ORIGINAL, old, LABEL_SOURCES)
    assert change == Change((Effect("fraud", -1), Effect("legitimate", 1)), LabelInForce("legitimate", "chargeback", 1))


def test_an_imported_label_without_a_source_gives_way_to_any() -> None:
    original = ORIGINAL._replace(before=(KnownReport("label", "fraud", None, 9),))
    change = change_of(KnownReport("label", "legitimate", "customer_report", 1), original, [], LABEL_SOURCES)
    assert change is not None and change.effects == (Effect("fraud", -1), Effect("legitimate", 1))
    withdrawn = KnownReport("label", RETRACTED, "customer_report", 1)
    same = change_of(withdrawn, original, [], LABEL_SOURCES)
    assert same == Change((), LabelInForce("fraud", None, 9))


def stated(reports: list[KnownReport], word: str) -> int:
    return sum(one.amount_minor or 0 for one in reports if one.value == word)


@given(st.lists(outcomes, max_size=10))
def test_an_accepted_refund_never_exceeds_what_was_captured(reports: list[KnownReport]) -> None:
    recorded: list[KnownReport] = []
    for one in reports:
        added, _ = taken([*recorded, one])
        if len(added) > len(recorded) and one.value in ("refunded", "captured"):
            captures = [each for each in recorded if each.value == "captured"]
            captured, whole = stated(added, "captured"), max(PAYMENT_MINOR, stated(added, "authorised"))
            if any(each.amount_minor is None for each in added if each.value == "captured"):
                captured = max(captured, whole)
            if captures or one.value == "captured":
                assert stated(added, "refunded") <= captured
            else:
                assert stated(added, "refunded") <= max(whole, stated(added, "settled"))
        recorded = added
        left = refundable_minor(recorded, PAYMENT_MINOR)
        assert left is not None and left >= 0


@given(st.lists(outcomes, max_size=10))
def test_no_accepted_amounts_are_beyond_what_was_authorised(reports: list[KnownReport]) -> None:
    recorded, _ = taken(reports)
    most = 2 * max(PAYMENT_MINOR, stated(recorded, "authorised"))
    assert stated(recorded, "captured") <= most
    assert max(stated(recorded, "voided"), stated(recorded, "reversed"), stated(recorded, "settled")) <= most


@given(st.lists(outcomes, max_size=8))
def test_an_outcome_changes_the_state_once_and_the_same_again_nothing(reports: list[KnownReport]) -> None:
    recorded, changes = taken(reports)
    assert held_by(changes) == {word: 1 for word in ("declined", "reversed") if word in {one.value for one in recorded}}
    for one in recorded:
        assert change_of(one, ORIGINAL, recorded, LABEL_SOURCES) is None


@given(st.lists(outcomes, max_size=8))
def test_no_recorded_outcomes_exclude_each_other(reports: list[KnownReport]) -> None:
    recorded, _ = taken(reports)
    ordered = sorted(recorded, key=lambda one: one.reported_at_ms)
    words = [one.value for one in ordered]
    if "declined" in words:
        assert not {"authorised", "captured", "voided", "settled", "refunded", "chargeback_opened"} & set(words)
        assert words.count("declined") == 1
    for word, excluded in (("voided", {"captured"}), ("reversed", {"captured", "refunded"})):
        whole = [place for place, one in enumerate(ordered) if one.value == word and one.amount_minor is None]
        if whole:
            assert not excluded & set(words[whole[0] + 1 :])


@pytest.mark.parametrize("one", EXCLUSIONS, ids=lambda one: f"{one.first}-{one.second}")
@pytest.mark.parametrize("early", [False, True], ids=["in order", "the first arrives last"])
def test_each_exclusion_is_refused_whichever_report_arrives_first(one: object, early: bool) -> None:
    first, second, reason = one[0], one[1], one[2]  # type: ignore[index]
    reports = [KnownReport("outcome", first, None, START_MS + 1), KnownReport("outcome", second, None, START_MS + 2)]
    with pytest.raises(Conflict, match=reason):
        a, b = reversed(reports) if early else reports
        change_of(b, ORIGINAL, [a], LABEL_SOURCES)


def test_retries_that_are_stamped_anew_are_no_second_report_and_equal_refunds_are() -> None:
    refund = KnownReport("outcome", "refunded", None, START_MS + 1, 400)
    recorded, _ = taken([
        KnownReport("outcome", "captured", None, START_MS), KnownReport("outcome", "captured", None, START_MS + 1),
        refund, refund,
        refund._replace(reported_at_ms=START_MS + 2), refund._replace(reported_at_ms=START_MS + 3),
    ])  # fmt: skip
    assert [one.value for one in recorded] == ["captured", "refunded", "refunded"]  # a third would exceed the capture
    assert of_kind(recorded, "label") == []
