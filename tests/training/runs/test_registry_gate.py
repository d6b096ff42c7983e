"""The registry and the gate on a real MLflow database and a real model store, in a folder of their own."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from features.bundle.bundle import read_bundle
from features.catalogue.catalogue import catalogue
from tests.training.histories import small_history
from tests.training.runs.test_pipeline import DELAY, RECIPE
from training.data.frame import frame
from training.runs.bento import NotBuilt, build
from training.runs.mlflow_log import Version, bundle_of, files_of, track, version_of
from training.runs.pipeline import Trained, calibrated, score_with, train
from training.runs.registry_gate import NotPromoted, nominate, promote, refusals, store_in
from training.runs.run import incumbent_figures
from training.settings import Settings

pytestmark = pytest.mark.long

SERVICE = "risk_v1_test"


@pytest.fixture(scope="module")
def trained() -> Trained:
    known = catalogue()
    return train(frame(small_history(), known), known, RECIPE, DELAY, dataset="small", data_digest="ab")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    from bentoml._internal.configuration.containers import BentoMLContainer

    own = Settings(var=tmp_path_factory.mktemp("training"))
    store = BentoMLContainer.model_store
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BENTOML_HOME", raising=False)
        store.set(store_in(own.model_store))  # what the tests look up by BentoML's own calls
        yield own
        store.reset()


@pytest.fixture(scope="module")
def first(trained: Trained, settings: Settings) -> Version:
    return track(trained, SERVICE, settings)


def test_a_run_becomes_a_version_called_challenger(first: Version, trained: Trained, settings: Settings) -> None:
    assert first.version == "1"
    assert version_of("challenger", settings) == first == version_of("1", settings)
    assert first.figures["auc"] == pytest.approx(trained.report.auc)
    assert first.tags["feature_service"] == SERVICE
    assert first.tags["catalogue_hash"] == trained.catalogue.contract().hash
    assert first.tags["data_sha256"] == "ab"


def test_report_and_four_plots_are_kept(first: Version, settings: Settings, tmp_path: Path) -> None:
    kept = files_of(first, settings, tmp_path)
    plots = sorted(p.name for p in (kept / "plots").iterdir())
    assert plots == ["calibration.png", "cost.png", "precision_recall.png", "scores.png"]
    assert msgspec.json.decode((kept / "report.json").read_bytes())["frauds"] > 0


def test_the_kept_bundle_scores_as_the_trained_model_did(
    first: Version, trained: Trained, settings: Settings, tmp_path: Path
) -> None:
    bundle, _ = bundle_of(first, settings, tmp_path)
    assert bundle.model_name == "risk@1" and bundle.trained["run"] == first.run_id
    assert score_with(bundle, trained.test).tobytes() == trained.test_scores.tobytes()


def test_promotion_exports_the_same_bytes_and_the_former_champion_stays_previous(
    first: Version, trained: Trained, settings: Settings, tmp_path: Path
) -> None:
    done = promote(settings)
    assert done.version == "1" and done.previous is None
    assert version_of("challenger", settings) is None
    champion = version_of("champion", settings)
    assert champion is not None and champion.version == "1"
    _, kept = bundle_of(first, settings, tmp_path)
    for file in kept.iterdir():
        assert (done.path / file.name).read_bytes() == file.read_bytes()
    assert read_bundle(done.path).model_name == "risk@1"

    second = track(trained, SERVICE, settings, incumbent_figures(trained.test, settings))
    assert second.figures["incumbent_average_precision"] == pytest.approx(trained.report.average_precision)
    again = promote(settings)
    assert (again.version, again.previous) == ("2", "1")
    previous = version_of("previous", settings)
    assert previous is not None and previous.version == "1"

    back = promote(settings, "previous")
    assert back.version == "1" and back.tag == done.tag, "going back is a promotion like any other"


def test_nothing_to_promote_is_a_sentence(settings: Settings) -> None:
    with pytest.raises(NotPromoted, match=r"There is no version '99'\. Train one"):
        promote(settings, "99")


def test_the_gate_names_every_reason_at_once(first: Version, trained: Trained) -> None:
    bundle = trained.bundle("7", "run", SERVICE)
    champion = Version("6", "run", {}, {})

    def objections(**figures: float) -> list[str]:
        return refusals(Version("7", "run", {**first.figures, **figures}, {}), champion, bundle)

    assert objections() == []
    assert "too good to be true" in objections(average_precision=0.99)[0]
    assert len(objections(auc=0.5, frauds=3, expected_calibration_error=0.2)) == 3
    assert "that of the champion risk@6 0.900" in objections(average_precision=0.5, incumbent_average_precision=0.9)[0]
    assert "costs more than approving everything" in objections(cost_minor=1e18)[0]


def test_a_version_of_another_catalogue_is_refused(first: Version, trained: Trained) -> None:
    other = dataclasses.replace(trained).bundle("7", "run", SERVICE)
    columns = (*other.contract.columns[:-1], (other.contract.columns[-1][0], "another declaration"))
    changed = msgspec.structs.replace(other, contract=msgspec.structs.replace(other.contract, columns=columns))
    found = refusals(first, None, changed)
    assert any(columns[-1][0] in sentence and "other features" in sentence for sentence in found)


def test_a_gate_overruled_by_a_person_keeps_the_reason(trained: Trained, settings: Settings) -> None:
    poor = dataclasses.replace(trained, report=msgspec.structs.replace(trained.report, auc=0.51))
    version = track(poor, SERVICE, settings)
    with pytest.raises(NotPromoted, match=r"AUC is 0.510.*--despite"):
        promote(settings, version.version)
    done = promote(settings, version.version, despite="the drill of the eleventh")
    assert done.overruled
    kept = version_of(version.version, settings)
    assert kept is not None and kept.tags["overruled"] == "the drill of the eleventh"


def test_a_nominated_version_lies_in_a_store_of_its_own_and_champions_stay(first: Version, settings: Settings) -> None:
    from training.runs.registry_gate import bentoml

    before = [str(model.tag) for model in bentoml.models.list() if model.tag.name == "riskgate"]
    tag = nominate(settings, first.version)
    assert tag.startswith(f"riskgate-challenger:{first.version}-")
    assert Path(bentoml.models.get("riskgate-challenger:latest").path).joinpath("model.txt").exists()
    assert [str(model.tag) for model in bentoml.models.list() if model.tag.name == "riskgate"] == before


def test_the_commands_write_to_the_projects_store_name_it_and_leave_the_home_alone(
    first: Version, settings: Settings, tmp_path: Path
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "BENTOML_HOME"}
    environment |= {"RISKGATE_VAR": str(settings.var), "HOME": str(tmp_path)}
    for command, name in (("promote", "riskgate"), ("nominate", "riskgate-challenger")):
        shutil.rmtree(settings.model_store / "models" / name, ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-m", "training", command, "--version", first.version],
            env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"Bundle: {name}:{first.version}-" in done.stdout
        assert f" in {settings.var / 'bentoml'}" in done.stdout
        assert list((settings.var / "bentoml" / "models" / name).glob(f"{first.version}-*/model.txt"))
    assert not (tmp_path / "bentoml").exists()


def test_a_store_that_cannot_be_written_is_a_sentence(
    first: Version, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "file"))
    with pytest.raises(NotPromoted, match=r"cannot be written to .*file: Not a directory.*BENTOML_HOME"):
        nominate(settings, first.version)


def test_a_bento_needs_a_champion_and_a_source_tree(first: Version, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match=r"There is no champion in .*bentoml.*python -m training promote"):
        build(Settings(var=tmp_path))
    promote(settings, first.version, despite="the test needs a champion")
    with pytest.raises(NotBuilt, match=r"has no bentofile\.yaml"):
        build(settings, tmp_path)
    (tmp_path / "bentofile.yaml").write_text("service: nowhere:service\n")
    with pytest.raises(NotBuilt, match=r"BentoML could not build the bento: .*nowhere"):
        build(settings, tmp_path)


def test_calibration_is_part_of_the_score(trained: Trained) -> None:
    raw = trained.model.margins(trained.test)
    assert calibrated(raw, trained.calibrator).tobytes() == trained.test_scores.tobytes()
