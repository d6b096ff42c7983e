"""Compiled code is unpickled from a folder of ours alone, or not at all: no other user's file ever runs as ours."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import UserProvidedCacheLocator

from features import jit, private_folder
from features.kernel import heap
from features.private_folder import UnsafeFolder
from tests.features.two_users import ATTACKER, VICTIM

ROOT = Path(__file__).parents[2]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a second user")


class Stage:
    """A package that the victim cannot write to, a temporary directory that both users share, the victim's VAR."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self.package = folder / "package"
        shutil.copytree(ROOT / "features", self.package / "features", ignore=shutil.ignore_patterns("__pycache__"))
        for one in (self.package, *self.package.rglob("*")):
            one.chmod(0o755)
        self.tmp = self._made(folder / "tmp", 0o1777)
        self.var = self._made(folder / "var", 0o755, VICTIM)
        self.closed = self._made(folder / "closed", 0o755)
        self.open = self._made(folder / "open", 0o777)
        self.attackers = self._made(folder / "attackers", 0o777, ATTACKER)
        self.evil = self._made(folder / "evil", 0o777, ATTACKER)
        self.mark, self.found = self._made(folder / "marks", 0o777) / "ran", folder / "marks" / "found"
        sources = [(self.package / "features" / f"{name}.py").read_bytes() for name in jit._SOURCES]
        self.digest = hashlib.sha256(b"".join(sources)).hexdigest()[:16]
        impl: Any = heap.allocate
        self.index = f"{impl._cache._impl.filename_base}.nbi"

    def _made(self, path: Path, mode: int, owner: int = 0) -> Path:
        path.mkdir()
        path.chmod(mode)
        os.chown(path, owner, owner)
        return path

    def opened_beside(self) -> Path:
        """The folder beside the package, where all users can write."""
        beside = self.package / "features" / "__pycache__"
        return beside if beside.exists() else self._made(beside, 0o777)

    def case(self, var: Path, *planted: Path, link: bool = False) -> dict[str, Any]:
        """What `two_users.py` does once."""
        inner = UserProvidedCacheLocator.get_suitable_cache_subpath(str(self.package / "features" / "heap.py"))
        return {
            "package": str(self.package), "tmp": str(self.tmp), "var": str(var), "mark": str(self.mark),
            "found": str(self.found), "names": [self.index], "inner": inner,
            "planted": list(map(str, planted)), "link": str(self.evil) if link else "",
        }  # fmt: skip


def in_shared_tmp(stage: Stage) -> list[Path]:
    """The name that anybody can compute: of the release before, and of this one."""
    return [stage.tmp / f"kernel-{stage.digest}", stage.tmp / f"riskgate-{VICTIM}-kernel-{stage.digest}"]


Planted = Callable[[Stage], dict[str, Any]]
CASES: dict[str, Planted] = {
    "a folder in the shared temporary directory": lambda one: one.case(one.closed, *in_shared_tmp(one)),
    "a link in the shared temporary directory": lambda one: one.case(one.closed, *in_shared_tmp(one), link=True),
    "a folder in a VAR that all users can write to": lambda one: one.case(
        one.open, *in_shared_tmp(one), one.open / f"kernel-{one.digest}"
    ),
    "a folder in a VAR that belongs to the other user": lambda one: one.case(
        one.attackers, *in_shared_tmp(one), one.attackers / f"kernel-{one.digest}"
    ),
    "a link in a VAR that all users can write to": lambda one: one.case(
        one.open, *in_shared_tmp(one), one.open / f"kernel-{one.digest}", link=True
    ),
}


SOUND: dict[str, Planted] = {
    "beside the package, open to all": lambda one: one.case(one.var, one.opened_beside() / f"kernel-{one.digest}"),
    "var": lambda one: one.case(one.var),
    "tmp": lambda one: one.case(one.closed),
}


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, tuple[Stage, dict[str, Any]]]]:
    """Each case on a stage of its own, all in one process: where the last victim's cache was, and what it logged."""
    with tempfile.TemporaryDirectory(prefix="riskgate-test-") as made:
        os.chmod(made, 0o755)  # every user may pass through, unlike pytest's own folders
        stages = {name: Stage(Path(os.path.realpath(made)) / str(n)) for n, name in enumerate(CASES | SOUND)}
        cases = [make(stages[name]) for name, make in (CASES | SOUND).items()]
        cases += [make(stages[name]) | {"planted": []} for name, make in SOUND.items()]  # a second start
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("two_users.py"))],
            cwd=ROOT, input=json.dumps(cases), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield {name: (stage, json.loads(stage.found.read_text())) for name, stage in stages.items()}


@root_only
@pytest.mark.parametrize("name", CASES)
def test_what_another_user_planted_never_runs_and_one_warning_says_why_nothing_is_kept(
    played: dict[str, tuple[Stage, dict[str, Any]]], name: str
) -> None:
    stage, found = played[name]
    assert not stage.mark.exists()
    assert (found["kept"], found["hits"]) == ("", 0)
    (logged,) = found["logged"]
    assert logged.startswith("compiled code is not kept on disk")
    assert "Set RISKGATE_VAR to a folder that only the user of the service can write to." in logged


@root_only
def test_a_folder_beside_the_package_is_judged_by_the_same_rule(
    played: dict[str, tuple[Stage, dict[str, Any]]],
) -> None:
    stage, found = played["beside the package, open to all"]
    assert not stage.mark.exists()
    assert Path(found["kept"]).parent == stage.var / f"kernel-{stage.digest}"


@root_only
def test_without_a_writable_package_the_second_start_finds_the_code_of_the_first_in_var(
    played: dict[str, tuple[Stage, dict[str, Any]]],
) -> None:
    stage, found = played["var"]
    made = Path(found["kept"]).parent
    assert (made, found["hits"], found["logged"]) == (stage.var / f"kernel-{stage.digest}", 1, [])
    assert (made.stat().st_mode & 0o777, made.stat().st_uid) == (0o700, VICTIM)
    assert list(stage.tmp.iterdir()) == []


@root_only
def test_where_var_cannot_be_written_a_closed_folder_in_a_sticky_directory_is_used(
    played: dict[str, tuple[Stage, dict[str, Any]]],
) -> None:
    stage, found = played["tmp"]
    made = Path(found["kept"]).parent
    assert (made, found["hits"]) == (stage.tmp / f"riskgate-{VICTIM}-kernel-{stage.digest}", 1)
    assert found["logged"] == []


def test_a_new_folder_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = private_folder.own_folder(tmp_path, "kernel")
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "file").write_text("")
    (made / "file").chmod(0o666)  # out of reach behind the folder
    assert private_folder.own_folder(tmp_path, "kernel") == made


def opened_up(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    (parent / name).chmod(0o770)
    return parent


def file_in_place(parent: Path, name: str) -> Path:
    (parent / name).write_text("")
    return parent


def link_in_place(parent: Path, name: str) -> Path:
    (parent / "elsewhere").mkdir(mode=0o700)
    (parent / name).symlink_to(parent / "elsewhere")
    return parent


def link_within(parent: Path, name: str) -> Path:
    (parent / name).mkdir(mode=0o700)
    (parent / name / "index.nbi").symlink_to(parent / "elsewhere.nbi")
    return parent


def writable_within(parent: Path, name: str) -> Path:
    (parent / name / "inner").mkdir(parents=True)
    (parent / name).chmod(0o755)
    (parent / name / "inner" / "index.nbi").write_text("")
    (parent / name / "inner" / "index.nbi").chmod(0o666)
    return parent


def parent_open_to_the_group(parent: Path, name: str) -> Path:
    (parent / "shared" / name).mkdir(parents=True, mode=0o700)
    (parent / "shared").chmod(0o775)
    return parent / "shared"


def link_to_an_open_parent(parent: Path, name: str) -> Path:
    parent_open_to_the_group(parent, name)
    (parent / "link").symlink_to(parent / "shared")
    return parent / "link"


def parent_of_another(parent: Path, name: str) -> Path:
    (parent / "theirs" / name).mkdir(parents=True)
    os.chown(parent / "theirs", ATTACKER, ATTACKER)
    return parent / "theirs"


def foreign_within(parent: Path, name: str) -> Path:
    (parent / name).mkdir(mode=0o700)
    (parent / name / "index.nbi").write_text("")
    os.chown(parent / name / "index.nbi", ATTACKER, ATTACKER)
    return parent


def folder_of_another(parent: Path, name: str) -> Path:
    (parent / name).mkdir(mode=0o700)
    os.chown(parent / name, ATTACKER, ATTACKER)
    return parent


FOR_ALL = (opened_up, file_in_place, link_in_place, link_within, writable_within)
PARENTS = (parent_open_to_the_group, link_to_an_open_parent)
OF_ROOT = (parent_of_another, foreign_within, folder_of_another)


@pytest.mark.parametrize("fault", [*FOR_ALL, *PARENTS, *(pytest.param(one, marks=root_only) for one in OF_ROOT)])
def test_a_folder_that_others_can_reach_is_refused_with_a_sentence(
    tmp_path: Path, fault: Callable[[Path, str], Path]
) -> None:
    parent = fault(tmp_path, "kernel")
    with pytest.raises(UnsafeFolder) as refused:
        private_folder.own_folder(parent, "kernel")
    assert str(tmp_path) in str(refused.value)
    assert refused.value.repair


def test_a_sticky_parent_and_a_link_to_a_sound_folder_are_no_fault(tmp_path: Path) -> None:
    tmp_path.joinpath("sticky").mkdir()
    tmp_path.joinpath("sticky").chmod(0o1777)
    tmp_path.joinpath("link").symlink_to(tmp_path / "sticky")
    made = private_folder.own_folder(tmp_path / "link", "kernel")
    assert made == Path(os.path.realpath(tmp_path)) / "sticky" / "kernel"


def test_code_that_numba_would_keep_elsewhere_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Numba goes on to other folders where the chosen one fails: the home directory, or beside the source."""
    monkeypatch.setattr(jit, "_FOLDER", tmp_path / "gone")
    with caplog.at_level(logging.WARNING):
        made: Any = jit.compiled(_plus_one)
    assert made.stats.cache_path is None
    assert made(1) == 2


def _plus_one(number: int) -> int:
    return number + 1
