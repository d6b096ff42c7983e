"""The bento installs what its files need, at the pinned versions and hashes, and none of training's packages."""

from __future__ import annotations

import ast
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.house.laws import imports_of
from tests.house.serving_pins import (
    CONSTRAINTS,
    PINS,
    ROOT,
    UnknownPackage,
    bento_files,
    closure,
    normalised,
    pins_of,
    roots_of,
    serving_pins,
)

PINNED = pins_of(PINS.read_text())
NAMES = {name for name, _ in PINNED}


def test_the_pins_of_the_bento_are_the_part_of_the_constraints_that_serving_needs() -> None:
    assert PINS.read_text() == serving_pins(), "run: python -m tests.house.serving_pins"


def test_every_pin_has_its_version_and_hashes_and_is_a_pin_of_the_constraints() -> None:
    constraints = set(pins_of(CONSTRAINTS.read_text()))
    for name, text in PINNED:
        assert re.match(rf"{re.escape(name)}==\S+( ; [^\\]+)? \\\n", text), text[:80]
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= 1
        assert (name, text) in constraints
    assert not re.search(r"^--|://", PINS.read_text(), re.M), "no index and no host"


def test_neither_training_nor_its_packages_are_in_the_bento() -> None:
    assert not NAMES & {"feast", "mlflow", "mlflow-skinny", "pandas", "duckdb", "scikit-learn", "pytest", "mypy"}
    assert {path.parts[0] for path in bento_files()} == {"features", "serving"}


def test_what_each_package_says_it_requires_is_pinned_too() -> None:
    """A second way to the same set: the installed packages' own metadata instead of uv's notes."""
    for name in sorted(NAMES):
        try:
            declared = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue  # for another platform
        needed = {normalised(one.name) for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})}
        assert needed - {"setuptools"} <= NAMES, f"{name} requires {needed - NAMES}"


def test_no_file_of_the_bento_imports_one_that_is_left_out() -> None:
    files = set(bento_files())
    for path in sorted(files):
        for line, name in imports_of(ast.parse((ROOT / path).read_text())):
            parts = name.split(".")
            if parts[0] not in ("features", "serving", "training", "tests"):
                continue
            places = [Path(*parts[:length]) for length in range(len(parts), 0, -1)]
            found = next((p for p in places if (ROOT / p).with_suffix(".py").is_file() or (ROOT / p).is_dir()), None)
            assert found is not None, f"{path}:{line} imports {name}"
            taken = {found.with_suffix(".py"), found / "__init__.py"} & files
            assert taken, f"{path}:{line} imports {name}, which bentofile.yaml leaves out"


def test_a_new_import_pulls_its_package_and_all_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("def lazily() -> None:\n    import feast.utils\n")
    pins = pins_of(CONSTRAINTS.read_text())
    roots = roots_of([Path("new.py")], {name for name, _ in pins}, tmp_path)
    assert "feast" in roots
    assert {"pandas", "dask", "pyarrow"} <= closure(roots, pins)


def test_an_import_that_no_pin_provides_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("import tensorflow\n")
    with pytest.raises(UnknownPackage, match=r"new\.py:1 imports tensorflow"):
        roots_of([Path("new.py")], {"numpy"}, tmp_path)
