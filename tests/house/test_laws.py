"""The laws hold in this repository, and each of them can be broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import laws, rooms
from tests.house.borders import BORDERS, TOP_LEVEL

ROOT = Path(__file__).parents[2]
MACHINE = "/".join(("", "home", "somebody", "data"))

# For each law: a file that breaks it, and what it holds. More than one where the law has more than one side.
PLANTED: dict[laws.Law, list[tuple[str, str]]] = {
    laws.imports_never_turn_back: [
        ("features/a.py", "import serving.ledger.sqlite.ledger"),
        ("training/a.py", "from serving.ledger import sqlite"),
        ("serving/a.py", "def f():\n    from training.model.fit import fit"),
        ("serving/a.py", "import importlib\nimportlib.import_module('training.model.fit')"),
    ],
    rooms.every_file_has_a_room: [
        ("serving/stray.py", ""),
        ("features/domain/__init__.py", ""),
        ("training/unnamed/a.py", ""),
    ],
    rooms.rooms_keep_their_order: [
        ("features/domain/a.py", "from features.state import b"),
        ("features/domain/a.py", "def f():\n    import features.state.b"),
        (
            "features/domain/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from features.state.b import c",
        ),
    ],
    rooms.no_files_import_in_a_circle: [("features/state/c.py", "from features.state import b")],
    laws.each_library_keeps_to_its_border: [
        ("training/model/fit.py", "import mlflow.lightgbm"),
        ("features/state/replay.py", "from feast import FeatureStore"),
        ("serving/console/app.py", "import sqlite3"),
        ("training/model/fit.py", "if True:\n    import duckdb as d"),
    ],
    laws.sql_keeps_to_its_border: [("serving/console/pages/pages.py", "q = 'SELECT * FROM events'")],
    laws.settings_alone_read_the_environment: [
        ("serving/a.py", "import os\nkey = os.environ['KEY']"),
        ("training/a.py", "from os import getenv"),
        ("training/a.py", "import typer\nx = typer.Option(envvar='KEY')"),
    ],
    laws.files_hold_one_idea: [("features/a.py", "x = 1\n" * 321)],
    laws.nothing_prints: [("serving/a.py", "print('hello')"), ("tests/a.py", "breakpoint()")],
    laws.time_is_never_naive: [
        ("serving/a.py", "import datetime\nx = datetime.datetime.now()"),
        ("serving/a.py", "from datetime import datetime\nx = datetime.utcnow()"),
        ("serving/a.py", "from datetime import datetime\nx = datetime(2026, 11, 11)"),
        ("serving/a.py", "from datetime import datetime\nx = datetime.fromtimestamp(3)"),
        ("training/a.py", "import pandas as pd\nx = pd.Timestamp.now()"),
    ],
    laws.names_say_what_is_inside: [("features/utils.py", ""), ("serving/common/a.py", "")],
    laws.the_core_is_pure: [
        ("serving/decision/decision.py", "import time"),
        ("serving/decision/rules.py", "from serving.ledger.sqlite.ledger import Ledger"),
        ("serving/decision/reasons.py", "x = open('reasons.json')"),
    ],
    laws.the_top_level_is_as_agreed: [("setup.py", "")],
    laws.feast_finds_one_definition: [("features/feast_store/repo/more.py", "")],
    laws.nothing_names_a_machine: [
        ("README.md", f"see {MACHINE}"),
        ("pyproject.toml", f"index = '{laws.index_hosts()[0]}'"),
    ],
    laws.pins_name_no_index: [
        ("constraints.txt", "--index-url somewhere\na==1 --hash=sha256:00\n"),
        ("constraints.txt", "a==1 \\\n    --hash=sha256:00\nb==2\n"),
        ("constraints.txt", ""),
    ],
}

LAWFUL = {
    "features/feast_store/repo/definitions.py": "import feast",
    "features/domain/a.py": "from datetime import UTC, datetime\nx = datetime.now(UTC)",
    "features/state/b.py": "from features.domain import a\nfrom features.state import c",
    "features/state/c.py": "from datetime import UTC, datetime\nx = datetime(2026, 1, 1, tzinfo=UTC)",
    "training/runs/mlflow_log.py": "import mlflow\nfrom features.domain import a",
    "serving/settings.py": "import os\nx = os.environ.get('RISKGATE_PORT')",
    "serving/ledger/sqlite/ledger.py": "import sqlite3\nq = 'SELECT 1'",
    "serving/decision/decision.py": "import math\nfrom features.bundle.bundle import Policy",
    "constraints.txt": "a==1 \\\n    --hash=sha256:00\n    # via b\n",
}


LAWS = laws.LAWS + rooms.ROOM_LAWS


def tree(root: Path, files: dict[str, str]) -> Path:
    """A small repository that holds every agreed top-level name and `files`."""
    for name in TOP_LEVEL:
        files.setdefault(name if "." in name[1:] or name.isupper() or name == "Makefile" else f"{name}/keep.txt", "")
    for name in [name for name in files if name.endswith(".py") and name.split("/")[0] in laws.PACKAGES]:
        for folder in Path(name).parents[:-1]:
            files.setdefault(f"{folder}/__init__.py", '"""A room."""')
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps(law: laws.Law) -> None:
    assert law(ROOT) == []


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_lawful_tree_passes(law: laws.Law, tmp_path: Path) -> None:
    assert law(tree(tmp_path, dict(LAWFUL))) == []


@pytest.mark.parametrize(
    ("law", "path", "text"),
    [
        pytest.param(law, *plant, id=f"{law.__name__}-{n}")
        for law in LAWS
        for n, plant in enumerate(PLANTED.get(law, []))
    ],
)
def test_a_planted_violation_is_found(law: laws.Law, path: str, text: str, tmp_path: Path) -> None:
    assert law(tree(tmp_path, LAWFUL | {path: text})) != []


def test_a_crowded_folder_is_found(tmp_path: Path) -> None:
    crowd = {f"features/domain/a{n}.py": "" for n in range(rooms.LARGEST_FOLDER)}
    assert rooms.folders_are_small(tree(tmp_path, LAWFUL | crowd)) != []


def test_a_missing_top_level_name_is_found(tmp_path: Path) -> None:
    (tree(tmp_path, dict(LAWFUL)) / "bentofile.yaml").unlink()
    assert laws.the_top_level_is_as_agreed(tmp_path) == ["bentofile.yaml is missing at the top level"]


@pytest.mark.parametrize("place", sorted({place for places in BORDERS.values() for place in places}))
def test_a_border_names_only_files_that_exist(place: str) -> None:
    assert (ROOT / place).exists(), f"{place} is gone: take it out of tests/house/borders.py"
