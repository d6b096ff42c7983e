"""What README and documents promise exists: commands, settings, features, errors, rooms, links, paths, citations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.catalogue.catalogue import catalogue
from serving.api.openapi import SCOPES, document
from serving.cases.cases import OPENING_DECISIONS
from serving.console.auth.users import ROLES
from serving.decision.evaluator import TIERS
from serving.settings import PREFIX, TABLE
from tests.house import documents
from tests.house.documents import (
    CHANGELOG,
    DOCUMENTS,
    LONGEST_LINE,
    ROOT,
    commands_in,
    commands_of,
    make_targets_in,
    name_of,
    rows_of,
    text_of,
)
from tests.house.laws import PACKAGES, modules_of
from training.settings import TABLE as TRAINING_TABLE

README = text_of(documents.README)
MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKE, flags=re.M))
MOST_LINES, MOST_CHARACTERS = 150, 9_000
#: They name what must not be cited.
FORBIDDING = ("tests/house/documents.py", "tests/house/test_readme.py")
EACH = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def doc(name: str) -> str:
    return text_of(ROOT / "docs" / name)


# -- the README ----------------------------------------------------------------------------------


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= MOST_LINES and len(README) <= MOST_CHARACTERS


def test_the_readme_names_its_two_commands() -> None:
    assert {"demo", "test"} <= make_targets_in(README)


def test_the_readme_lists_every_room() -> None:
    listed = {name for row in rows_of(README, "room", "what it holds") for name in re.findall(r"[a-z]+/\w+", row[0])}
    rooms = {path.parent.as_posix() for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")}
    assert listed == {Path(room).relative_to(ROOT).as_posix() for room in rooms}


def test_the_readme_leads_to_every_document() -> None:
    reached, waiting = set(), [documents.README]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        found = {(path.parent / file).resolve() for file, _ in documents.links_of(path) if file.endswith(".md")}
        waiting += [one for one in found - reached if one in DOCUMENTS]
    assert reached == set(DOCUMENTS)


# -- commands ------------------------------------------------------------------------------------


@EACH
def test_every_make_command_of_a_document_exists(path: Path) -> None:
    missing = make_targets_in(text_of(path)) - TARGETS
    assert not missing, f"{name_of(path)} says `make {' '.join(sorted(missing))}`; there is {sorted(TARGETS)}"


@EACH
def test_every_python_command_of_a_document_exists(path: Path) -> None:
    missing = [f"python -m {p} {c}" for p, c in sorted(commands_in(text_of(path))) if c not in commands_of(p)]
    assert not missing


def test_the_table_of_make_targets_is_the_makefile() -> None:
    listed = [row[0].removeprefix("make ") for row in rows_of(doc("commands.md"), "target", "what it does")]
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_of_commands_is_the_command_line(package: str) -> None:
    begin = f"python -m {package} "
    listed = [row[0].removeprefix(begin) for row in rows_of(doc("commands.md"), "command", "what it does")
              if row[0].startswith(begin)]  # fmt: skip
    assert len(listed) == len(set(listed)) and {word for row in listed for word in row.split()} == commands_of(package)


def test_help_lists_every_target_that_a_user_calls() -> None:
    told = set(re.findall(r"^([a-z-]+):.*## ", MAKE, flags=re.M))
    assert told == TARGETS


# -- tables that are compared with the code ------------------------------------------------------


def test_the_settings_table_is_the_one_of_the_code() -> None:
    lines = {line.strip() for line in doc("operate.md").splitlines() if line.startswith(f"| `{PREFIX}")}
    lines = {line for line in lines if line.count(" | ") == 3}
    wanted = {
        f"| `{PREFIX}{row.name}` | {f'`{row.default}`' if row.default else 'none'} | {row.unit.replace('|', ' or ')} "
        f"| {row.meaning} |"
        for row in TABLE
    }
    assert lines == wanted, "write these rows in docs/operate.md:\n" + "\n".join(sorted(wanted))


def test_the_settings_table_of_training_is_the_one_of_the_code() -> None:
    wanted = [(f"{PREFIX}{row.name}", row.default or "none", row.meaning) for row in TRAINING_TABLE]
    found = rows_of(doc("analyst.md"), "variable", "default", "meaning")
    assert sorted(found) == sorted(wanted), f"write these rows in docs/analyst.md: {wanted}"


def test_the_features_are_those_of_the_catalogue() -> None:
    known = catalogue()
    counted = {feature.typology: 0 for feature in known.features}
    for feature in known.features:
        counted[feature.typology] += 1
    found = {row[0]: int(row[1]) for row in rows_of(doc("analyst.md"), "typology", "features")}
    assert found == counted, f"write these rows in docs/analyst.md: {counted}"
    assert f"The catalogue has {len(known.names)} features." in doc("analyst.md")


def test_every_reason_code_is_listed() -> None:
    paragraph = next(text for text in doc("analyst.md").split("\n\n") if "a reason code" in text)
    assert sorted(re.findall(r"`(\w+)`", paragraph)) == sorted({feature.reason for feature in catalogue().features})


def test_the_status_table_says_what_to_do_about_every_status() -> None:
    replies = [set(one["responses"]) for verbs in document(keyed=True)["paths"].values() for one in verbs.values()]
    codes = {row[1] for row in rows_of(doc("integrate.md"), "code", "status", "meaning") if row[1].isdigit()}
    listed = [row[0] for row in rows_of(doc("integrate.md"), "status", "meaning", "what the caller does")]
    assert sorted(listed) == sorted({"none", *codes}.union(*replies))
    assert all(row[2] for row in rows_of(doc("integrate.md"), "status", "meaning", "what the caller does"))


def test_the_contract_of_the_design_is_the_one_that_is_served() -> None:
    listed = {
        (verb, path, row[1])
        for row in rows_of(doc("design.md"), "method and path", "scope", "what it does")
        for verb, path in re.findall(r"(GET|POST|DELETE) (\S+?)(?:,|$)", row[0])
    }
    served = {
        (verb.upper(), path, next((scope for way in one["security"] for scope in way.get("key", ())), "none"))
        for path, verbs in document(keyed=True)["paths"].items()
        for verb, one in verbs.items()
    }
    pages = {("GET", path, "none") for path in ("/", "/docs", "/openapi.json")}
    assert listed == served | pages


def test_scopes_tiers_roles_and_decisions_are_those_of_the_code() -> None:
    assert [row[0] for row in rows_of(doc("security.md"), "scope", "what a key with it may do")] == list(SCOPES)
    assert [row[0] for row in rows_of(doc("integrate.md"), "tier", "what decided")] == list(TIERS)
    tiers = [row[0] for row in rows_of(doc("operate.md"), "tier", "what decides", "when")]
    assert tiers == [*TIERS, "503 with Retry-After"]
    roles = [row[0] for row in rows_of(doc("review-desk.md"), "role", "reads the queue and cases", "gives verdicts")]
    assert roles == list(ROLES)
    acted = rows_of(doc("integrate.md"), "decision", "what the caller does")
    assert [row[0] for row in acted] == ["approve", "challenge", "review", "decline"]
    assert {row[0] for row in acted if "case is open" in row[1]} == set(OPENING_DECISIONS)


def test_every_alarm_asks_for_a_metric_that_exists() -> None:
    known = set(re.findall(r"^\| `(\w+)`", text_of(ROOT / "serving/telemetry/dashboards/README.md"), flags=re.M))
    asked = set(re.findall(r"`(riskgate_\w+)`", doc("operate.md")))
    assert len(asked) >= 15 and asked <= known


# -- links, paths, citations, form ---------------------------------------------------------------


@pytest.mark.parametrize("path", (*DOCUMENTS, CHANGELOG, ROOT / "serving/telemetry/dashboards/README.md"), ids=name_of)
def test_every_relative_link_resolves(path: Path) -> None:
    assert documents.broken_links(path) == []


@EACH
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    assert documents.absent_paths(path) == []


@pytest.mark.parametrize("path", (*DOCUMENTS, CHANGELOG), ids=name_of)
def test_no_line_of_a_document_is_too_long(path: Path) -> None:
    rows_of_the_code = f"| `{PREFIX}"
    long = [
        number
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if len(line) > LONGEST_LINE and not line.startswith(rows_of_the_code)
    ]
    assert long == []


def test_what_code_and_documents_cite_is_in_the_repository() -> None:
    design = doc("design.md")
    sources = [ROOT / path for path, _ in modules_of(ROOT, *PACKAGES, "tests") if path.as_posix() not in FORBIDDING]
    wrong = {name_of(path): documents.wrong_citations(text_of(path), design) for path in (*sources, *DOCUMENTS)}
    assert {name: cited for name, cited in wrong.items() if cited} == {}


def test_every_decision_is_recorded_in_one_form_and_listed() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    for path in records:
        heads = re.findall(r"^## (.*)$", text_of(path), flags=re.M)
        assert re.match(rf"# {path.name[:4]} \S", text_of(path)), path.name
        assert {"Context", "Decision", "Consequences"} <= set(heads), path.name
    listed = [file for file, _ in documents.links_of(ROOT / "docs" / "decisions" / "README.md")]
    assert listed == [path.name for path in records]


# -- the readers of documents can fail -----------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "targets"),
    [
        ("```sh\nmake demo EXIT=1  # make nothing\nmake test\n```", {"demo", "test"}),
        ("use `make serve PORT=3000` and make a cup of tea", {"serve"}),
        ('`make test ARGS="-k name"`', {"test"}),
    ],
)
def test_make_commands_are_found_in_code_only(markdown: str, targets: set[str]) -> None:
    assert make_targets_in(markdown) == targets


def test_python_commands_are_found() -> None:
    assert commands_in("`python -m training fit --seed 3`") == {("training", "fit")}


def test_rows_are_found_under_their_head_only() -> None:
    text = "| a | b |\n|---|---|\n| `x` | y |\n\n| c | d |\n|---|---|\n| 1 | 2 |\n"
    assert rows_of(text, "a", "b") == [("x", "y")]


def test_paths_are_found_wherever_they_stand() -> None:
    found = documents.paths_in("See `features/state/memory.py`, (tests/house) and https://a.example/docs/x, not var/a.")
    assert found == {"features/state/memory.py", "tests/house"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("law 3, docs/design.md §3", []),
        ("law 12", ["law 12"]),
        ("docs/design.md §3 and §14", ["§14"]),
        ("see DES" + "IGN §3", ["DES" + "IGN"]),
        ("as HOU" + "SE.md says", ["HOU" + "SE"]),
    ],
)
def test_a_citation_of_what_is_not_there_is_found(text: str, wrong: list[str]) -> None:
    assert documents.wrong_citations(text, "## 3. The contract\n\n3. **Only what was known.**\n") == wrong


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    (tmp_path / "b.md").write_text("# Two Words\n")
    page = tmp_path / "a.md"
    page.write_text("[1](b.md) [2](b.md#two-words) [3](c.md) [4](b.md#other) [5](https://a.example/d.md)")
    assert documents.broken_links(page) == ["a.md: c.md#", "a.md: b.md#other"]
