"""The border between training and serving: a bundle comes back as it was written, or is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bundle.bundle import Bundle, Calibrator, read_bundle, write_bundle
from features.bundle.policy import STARTER_RULES, Band, Policy, Rule
from features.catalogue.catalogue import CatalogueParameters, catalogue, catalogue_of
from features.domain.contract import Contract
from features.errors import BrokenBundle, InvalidDeclaration

CATALOGUE = catalogue()
BUNDLE = Bundle(
    name="risk", version="3", model_text="tree\n", calibrator=Calibrator(1.5, -0.25),
    policy=Policy(challenge_at=0.1, review_at=0.4, decline_at=0.8, rules=STARTER_RULES, block={"payer": ("u9",)}),
    contract=CATALOGUE.contract(), reasons=CATALOGUE.reasons, feature_service="risk_v1", trained={"data": "abc"},
)  # fmt: skip


def test_a_bundle_comes_back_equal(tmp_path: Path) -> None:
    assert read_bundle(write_bundle(BUNDLE, tmp_path / "b")) == BUNDLE


@pytest.mark.parametrize("name", ["model.txt", "policy.json", "contract.json"])
def test_an_altered_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_bundle(BUNDLE, tmp_path)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BrokenBundle, match=f"{name} does not match"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["model.txt", "policy.json", "contract.json", "bundle.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_bundle(BUNDLE, tmp_path)
    (folder / name).unlink()
    with pytest.raises(BrokenBundle, match=f"lacks the file {name}"):
        read_bundle(folder)


def test_a_contract_names_what_changed() -> None:
    mine = CATALOGUE.contract()
    columns = tuple(c for c in mine.columns if c[0] != "payer_count_1h")
    changed = tuple((n, d + "!" if n == "rail" else d) for n, d in columns)
    other = Contract(mine.kernel, {**mine.parameters, "label_delay_days": 3}, (*changed, ("new_one", "x")))
    assert mine.differences(other) == [
        "parameter `label_delay_days` changed", "removed `payer_count_1h`", "added `new_one`", "changed `rail`",
    ]  # fmt: skip
    assert mine.differences(Contract.from_json(mine.to_json())) == []
    assert Contract.from_json(mine.to_json()).hash == mine.hash


def test_a_catalogue_can_be_rebuilt_from_its_contract() -> None:
    chosen = catalogue(CatalogueParameters(reference_currency="EUR", label_delay_days=5))
    again = catalogue_of(Contract.from_json(chosen.contract().to_json()))
    assert again.contract().hash == chosen.contract().hash != CATALOGUE.contract().hash


def test_impossible_parameters_are_refused_together() -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        catalogue(CatalogueParameters(reference_currency="???", label_delay_days=0))
    assert len(caught.value.problems) == 2


def test_a_policy_tells_all_its_contradictions() -> None:
    policy = Policy(
        challenge_at=0.5, review_at=0.4, decline_at=2.0, block={"planet": ("x",)}, default_bands=(Band(5, "approve"),),
        rules=(Rule("a", (("no_such", ">=", 1),), "challenge", "."), Rule("a", (), "explode", ".")),
    )  # fmt: skip
    text = " ".join(policy.problems(CATALOGUE.names))
    for part in (
        "thresholds",
        "used twice",
        "no feature 'no_such'",
        "'explode'",
        "no condition",
        "'planet'",
        "default_bands",
    ):
        assert part in text
    assert BUNDLE.policy.problems(CATALOGUE.names) == []


def test_bounds_of_lower_tiers_are_checked_with_a_sentence_each() -> None:
    policy = Policy(
        challenge_at=0.1, review_at=0.2, decline_at=0.3, lower_tier_approve_up_to_minor=-1,
        lower_tier_exposure_per_minute_minor=-1, channel_risk={"pigeon": 2.0, "pos": 0.0},
        usual_decline_share={"stranger": 0.1, "model": 1.5},
        rules=(Rule("model", (("score", ">=", 1),), "decline", "."),),
    )  # fmt: skip
    found = policy.problems(CATALOGUE.names)
    for part in ("approve_up_to", "exposure_per_minute", "'pigeon'", "'pos'", "rule model", "'stranger'", "0..1"):
        assert sum(part in sentence for sentence in found) == 1, part


def test_what_was_added_later_changes_no_older_digest() -> None:
    """The digest names folders of served bundles and stands in receipts."""
    old = Policy(challenge_at=0.1, review_at=0.4, decline_at=0.8)
    assert old.digest == "8f3ea8f5d58754d02071f39ba2a72d84afef57de09030caad99aeca2f985f46d"
    assert Policy(challenge_at=0.1, review_at=0.4, decline_at=0.8, channel_risk={"pos": 0.5}).digest != old.digest


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_calibration_never_swaps_two_scores_and_stays_a_probability(a: float, b: float) -> None:
    calibrator = Calibrator(0.7, -1.0)
    low, high = sorted((a, b))
    assert 0.0 <= calibrator.probability(low) <= calibrator.probability(high) <= 1.0
