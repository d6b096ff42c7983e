"""A wrong start is refused with a sentence that names what is wrong and how to repair it."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from features.bundle.bundle import read_bundle, write_bundle
from features.catalogue.catalogue import CatalogueParameters
from features.domain.contract import Contract
from serving.errors import CannotStart
from serving.settings import TABLE, Settings, read_settings
from tests.serving.scoring_world import command, make_bundle
from training.client.service_process import free_port


def refused(tmp_path: Path, bundle: Path | str, **environment: str) -> str:
    """What the command says when it refuses to start."""
    done = command(
        {
            "RISKGATE_VAR": str(tmp_path / "var"),
            "RISKGATE_BUNDLE": str(bundle),
            "BENTOML_HOME": str(tmp_path / "b"),
            **environment,
        },
        "run",
        "--port",
        str(free_port()),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_bundle_trained_on_another_catalogue_is_refused_by_naming_the_difference(
    bundle: Path, tmp_path: Path
) -> None:
    good = read_bundle(bundle)
    name, _ = good.contract.columns[20]
    columns = tuple((one, "another declaration" if one == name else how) for one, how in good.contract.columns)
    contract = Contract(good.contract.kernel, good.contract.parameters, columns)
    write_bundle(msgspec.structs.replace(good, contract=contract), tmp_path / "other")
    text = refused(tmp_path, tmp_path / "other")
    assert "was trained on catalogue" in text
    assert f"changed `{name}`" in text
    assert "Retrain, or deploy" in text


def test_a_model_whose_columns_are_in_another_order_is_refused(bundle: Path, tmp_path: Path) -> None:
    good = read_bundle(bundle)
    names = [name for name, _ in good.contract.columns]
    swapped = [names[1], names[0], *names[2:]]
    text = good.model_text.replace("feature_names=" + " ".join(names), "feature_names=" + " ".join(swapped))
    assert text != good.model_text
    write_bundle(msgspec.structs.replace(good, model_text=text), tmp_path / "other")
    assert "Column 0 of model risk@1 is" in refused(tmp_path, tmp_path / "other")


def test_an_altered_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "other")
    (tmp_path / "other" / "policy.json").write_text("{}")
    assert "policy.json does not match the digest" in refused(tmp_path, tmp_path / "other")


def test_a_policy_that_contradicts_itself_is_refused(bundle: Path, tmp_path: Path) -> None:
    good = read_bundle(bundle)
    policy = msgspec.structs.replace(good.policy, review_at=0.1)
    write_bundle(msgspec.structs.replace(good, policy=policy), tmp_path / "other")
    assert "thresholds must satisfy" in refused(tmp_path, tmp_path / "other")


def test_no_bundle_at_all_is_refused_with_the_way_to_one(tmp_path: Path) -> None:
    assert "python -m training promote" in refused(tmp_path, "riskgate:latest")


def test_listening_off_loopback_without_a_key_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "without an API key" in refused(tmp_path, bundle, RISKGATE_HOST="0.0.0.0")


def test_all_wrong_settings_are_reported_together() -> None:
    with pytest.raises(CannotStart, match=r"RISKGATE_PORT is `x`.*RISKGATE_CLOCK is `sundial`"):
        read_settings({"RISKGATE_PORT": "x", "RISKGATE_CLOCK": "sundial"})


def test_the_table_of_settings_is_the_settings() -> None:
    assert [row.name.lower() for row in TABLE] == list(Settings.__struct_fields__)
    assert read_settings({}) == Settings()


def test_a_bundle_of_a_deployment_without_attributes_serves_its_own_catalogue(tmp_path: Path) -> None:
    from serving.state.startup import open_bundle
    from serving.store_config import LedgerConfig

    folder = make_bundle(tmp_path / "plain", parameters=CatalogueParameters())
    opened = open_bundle(folder, LedgerConfig(tmp_path / "var"))
    assert opened.catalogue.parameters.attributes == ()
