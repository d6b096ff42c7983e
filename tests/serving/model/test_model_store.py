"""Bundles lie in the project's own model store below RISKGATE_VAR, and in a bento those it was built with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
import yaml

from features.bundle.bundle import read_bundle
from serving.errors import CannotStart
from serving.model.model_store import bundle_folder, models_of, pinned, stores_of
from serving.settings import TABLE, Settings, make_paths_absolute, use_own_model_store
from tests.serving.scoring_world import command
from training.client.service_process import free_port
from training.runs.registry_gate import CHALLENGER_STORE, export
from training.settings import Settings as TrainingSettings


def unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Remove a variable for the length of a test, whatever the code under test then puts in its place."""
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of the user, and no BENTOML_HOME."""
    unset(monkeypatch, "BENTOML_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def exported(bundle: Path, store: Path, **changes: str) -> tuple[str, Path]:
    """The tag and folder of a bundle in the model store of that BentoML folder."""
    return export(msgspec.structs.replace(read_bundle(bundle), **changes), bundle, store)


def test_training_writes_where_serving_reads_and_the_home_stays_empty(bundle: Path, tmp_path: Path, home: Path) -> None:
    tag, folder = exported(bundle, TrainingSettings(var=tmp_path / "var").model_store)
    assert folder == tmp_path / "var" / "bentoml" / "models" / Path(*tag.split(":"))
    for name in ("riskgate:latest", "riskgate", tag):
        assert bundle_folder(name, tmp_path / "var") == folder
    assert not list(home.iterdir())


def test_a_challenger_is_found_in_the_same_store(bundle: Path, tmp_path: Path, home: Path) -> None:
    settings = TrainingSettings(var=tmp_path)
    _, folder = export(read_bundle(bundle), bundle, settings.model_store, CHALLENGER_STORE)
    found = bundle_folder(f"{CHALLENGER_STORE}:latest", tmp_path, "RISKGATE_CHALLENGER")
    assert found == folder


def test_a_home_of_bentoml_that_somebody_chose_is_used_by_both(
    bundle: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHOSEN", str(tmp_path / "chosen"))
    monkeypatch.setenv("BENTOML_HOME", "$CHOSEN")
    _, folder = exported(bundle, TrainingSettings(var=tmp_path / "var").model_store)
    assert folder.is_relative_to(tmp_path / "chosen")
    assert bundle_folder("riskgate:latest", tmp_path / "var") == folder


def test_a_bundle_of_an_earlier_release_is_named_with_what_to_do(bundle: Path, tmp_path: Path, home: Path) -> None:
    _, former = exported(bundle, home / "bentoml")
    done = command({"RISKGATE_VAR": str(tmp_path / "var"), "HOME": str(home)}, "run", "--port", str(free_port()))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"the one of an earlier release is in {former}" in done.stderr
    assert "python -m training promote --version champion" in done.stderr
    assert bundle_folder(str(former), tmp_path / "var") == former, "the named way works"


def test_without_any_bundle_the_store_is_named(tmp_path: Path, home: Path) -> None:
    with pytest.raises(CannotStart, match="python -m training promote") as refused:
        bundle_folder("riskgate:latest", tmp_path / "var")
    assert str(tmp_path / "var" / "bentoml") in refused.value.message


@pytest.mark.parametrize("name", ["riskgate:a b", "RISK/../gate:x", ":", "riskgate:1:2", "-"])
def test_a_name_that_is_no_tag_is_refused_in_a_sentence(name: str, tmp_path: Path, home: Path) -> None:
    with pytest.raises(CannotStart, match="neither a folder nor a tag"):
        bundle_folder(name, tmp_path / "var")


def test_our_processes_and_their_children_share_the_store(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKGATE_VAR", "relative")
    monkeypatch.chdir(tmp_path)
    use_own_model_store()
    assert os.environ["BENTOML_HOME"] == str(tmp_path / "relative" / "bentoml")
    monkeypatch.setenv("RISKGATE_VAR", "that of a child")
    use_own_model_store()
    assert os.environ["BENTOML_HOME"] == str(tmp_path / "relative" / "bentoml")


def test_relative_places_of_the_settings_survive_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in TABLE:
        unset(monkeypatch, f"RISKGATE_{row.name}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").mkdir()
    given = {"KEYS": "keys.json", "BUNDLE": "bundle", "CHALLENGER": "riskgate-challenger:latest"}
    for name, text in given.items():
        monkeypatch.setenv(f"RISKGATE_{name}", text)
    make_paths_absolute()
    assert os.environ["RISKGATE_VAR"] == str(tmp_path / "var")
    assert os.environ["RISKGATE_KEYS"] == str(tmp_path / "keys.json")
    assert os.environ["RISKGATE_BUNDLE"] == str(tmp_path / "bundle")
    assert os.environ["RISKGATE_CHALLENGER"] == "riskgate-challenger:latest"
    assert not os.environ.get("RISKGATE_PROFILES")


def bento_in(folder: Path, *models: str) -> Path:
    """The source tree of a bento with these models, as BentoML writes it."""
    (folder / "src").mkdir(parents=True)
    described = {
        "service": "serving.service:Riskgate",
        "name": "riskgate",
        "version": folder.name,
        "bentoml_version": "1.4.39",
        "creation_time": "2026-11-28T00:00:00+00:00",
        "models": [{"tag": tag, "module": "", "creation_time": "2026-11-28T00:00:00+00:00"} for tag in models],
        "entry_service": "riskgate",
        "spec": 2,
        "image": {"python_requirements": "", "python_version": "3.11", "commands": [], "base_image": ""},
    }
    (folder / "bento.yaml").write_text(yaml.safe_dump(described))
    return folder / "src"


def test_in_a_bento_the_latest_bundle_is_the_one_it_was_built_with(bundle: Path, tmp_path: Path, home: Path) -> None:
    store = tmp_path / "var" / "bentoml"
    older, kept = exported(bundle, store)
    newer, _ = exported(bundle, store, version="2")
    source = bento_in(store / "bentos" / "riskgate" / "abc", older)
    assert pinned("riskgate:latest", source) == pinned("riskgate", source) == older
    assert pinned(newer, source) == newer
    settings = Settings(var=tmp_path / "elsewhere")
    assert bundle_folder(settings.bundle, settings.var, source=source) == kept, "next to the bentos of its store"
    # Exported, as `make bento` does: the model is in the bento itself, and the store may go.
    moved = tmp_path / "moved"
    shutil.copytree(source.parent, moved)
    shutil.copytree(store / "models", moved / "models")
    shutil.rmtree(store)
    in_bento = moved / "models" / Path(*older.split(":"))
    assert bundle_folder(settings.bundle, settings.var, source=moved / "src") == in_bento


def test_a_bento_whose_model_is_nowhere_says_how_to_bring_it(tmp_path: Path, home: Path) -> None:
    source = bento_in(tmp_path / "copied", "riskgate:1-abc")
    with pytest.raises(CannotStart, match=r"`riskgate:1-abc`, with which this bento was built.*bentoml export"):
        bundle_folder("riskgate:latest", tmp_path / "var", source=source)


def test_a_bento_without_a_model_uses_the_stores_or_says_where_there_is_none(
    bundle: Path, tmp_path: Path, home: Path
) -> None:
    source = bento_in(tmp_path / "bare")
    assert models_of(source) == {}
    with pytest.raises(CannotStart, match="neither a folder nor a tag"):
        bundle_folder("riskgate:latest", tmp_path / "var", source=source)
    _, folder = exported(bundle, tmp_path / "var" / "bentoml")
    assert bundle_folder("riskgate:latest", tmp_path / "var", source=source) == folder


def test_a_checkout_is_no_bento(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert models_of(tmp_path / "src") == {}
    assert stores_of(tmp_path / "src") == ()
