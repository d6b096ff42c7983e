"""Every command of `python -m serving` works in a bento: copied away, with its requirements and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from tests.serving.bento.bento_world import BentoElsewhere
from tests.serving.processes.processes import ended, until_ready
from tests.serving.profiles import Production
from tests.serving.scoring_world import payment, suspicious
from tests.training.histories import small_history
from training.client.service_process import free_port
from training.runs.bento import Built

PAYMENTS = 12
#: Imports every file of the bento, asks every command for its help, and prints the names of the commands.
EVERYTHING = """
import pkgutil, sys, typer
import features, serving
from click.testing import CliRunner
for package in (features, serving):
    for one in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not one.name.endswith("__main__"):
            __import__(one.name)
from serving import __main__ as commands
commands._add_commands()
group = typer.main.get_command(commands.app)
for name in group.commands:
    shown = CliRunner().invoke(group, [name, "--help"])
    assert shown.exit_code == 0 and "Usage" in shown.output, (name, shown.output, shown.exception)
absent = {"feast", "mlflow", "training", "tests", "pandas", "duckdb"} & set(sys.modules)
assert not absent, absent
print(*group.commands)
"""
#: Commands that the tests below run for real.
EMBEDDED = {
    *("run", "verify", "import-history", "export-history", "export-vectors", "snapshot", "hash-id", "challenge"),
    *("compare", "console", "user-add", "key-add", "key-list", "key-revoke", "list", "accept-ledger"),
}
PRODUCTION = {"up", "recorder", "migrate", "rebuild-state"}


@pytest.fixture(scope="module")
def elsewhere(bento: Built, tmp_path_factory: pytest.TempPathFactory) -> BentoElsewhere:
    return BentoElsewhere(bento.folder, tmp_path_factory.mktemp("bento"))


@pytest.fixture(scope="module")
def commands(elsewhere: BentoElsewhere) -> set[str]:
    """The commands that the bento itself declares; each has shown its help, each file of the bento was imported."""
    done = elsewhere.python("-c", EVERYTHING)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def scored(elsewhere: BentoElsewhere) -> BentoElsewhere:
    """The bento after its `run` decided some payments."""
    port, log = free_port(), elsewhere.home / "run.log"
    process = elsewhere.started(log, "-m", "serving", "run", "--port", str(port))
    try:
        until_ready(process, f"http://127.0.0.1:{port}/readyz", log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for number in range(PAYMENTS):
                fields = suspicious(f"p-{number}") if number % 4 == 0 else payment(f"p-{number}", attributes=None)
                reply = client.post("/v1/score", json=fields).json()
                assert (reply["tier"], reply["model"]) == ("full", "risk@1")
    finally:
        assert ended(process) == 0, log.read_text()
    return elsewhere


def well(elsewhere: BentoElsewhere, *arguments: str, **more: str) -> str:
    """Everything that a command of the bento says, which must end well."""
    done = elsewhere.command(*arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_command_is_there_shows_its_help_and_is_run_by_a_test(commands: set[str]) -> None:
    assert commands == EMBEDDED | PRODUCTION, "run the new command for real in a test of this file, then name it above"


@pytest.mark.slow  # `make ways`
def test_the_ledger_is_verified_exported_and_folded(scored: BentoElsewhere, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert "no difference" in well(scored, "verify", "--report", str(report))
    assert json.loads(report.read_bytes())
    well(scored, "export-history", str(tmp_path / "history.parquet"))
    assert pq.read_metadata(tmp_path / "history.parquet").num_rows == PAYMENTS
    well(scored, "export-vectors", str(tmp_path / "vectors.parquet"))
    assert pq.read_metadata(tmp_path / "vectors.parquet").num_rows == PAYMENTS
    assert str(scored.var / "snapshots") in well(scored, "snapshot")


@pytest.mark.slow  # `make ways`
def test_a_history_is_imported(elsewhere: BentoElsewhere, tmp_path: Path) -> None:
    pq.write_table(small_history(200), tmp_path / "history.parquet")
    said = well(elsewhere, "import-history", str(tmp_path / "history.parquet"), RISKGATE_VAR=str(tmp_path / "var"))
    assert "200 payments were imported" in said


@pytest.mark.slow  # `make ways`
def test_a_challenger_judges_the_past_and_is_compared(scored: BentoElsewhere, bundle: Path) -> None:
    assert f"{PAYMENTS} payments" in well(scored, "challenge", "--bundle", str(bundle))
    assert f"{PAYMENTS} payments" in well(scored, "compare")


def test_keys_users_and_pseudonyms_are_made(elsewhere: BentoElsewhere, tmp_path: Path) -> None:
    keys = {"RISKGATE_KEYS": str(tmp_path / "keys.json"), "RISKGATE_VAR": str(tmp_path / "var")}
    assert "shown once" in well(elsewhere, "key-add", "till", "--scope", "score", **keys)
    assert "till" in well(elsewhere, "key-list", **keys)
    assert "is revoked" in well(elsewhere, "key-revoke", "till", **keys)
    assert "may sign in" in well(elsewhere, "user-add", "asha", "--password", "correct-horse-battery", **keys)
    assert well(elsewhere, "hash-id", "ip", "203.0.113.9", RISKGATE_HASH_KEY="k" * 32).strip()


def test_lists_are_kept(elsewhere: BentoElsewhere, tmp_path: Path) -> None:
    var = {"RISKGATE_VAR": str(tmp_path / "var")}
    well(elsewhere, "list", "add", "payer", "u-mule", "--list", "block", "--reason", "a mule", **var)
    assert "u-mule" in well(elsewhere, "list", "show", "--list", "block", **var)


def test_a_whole_ledger_has_nothing_to_accept(elsewhere: BentoElsewhere, tmp_path: Path) -> None:
    var = {"RISKGATE_VAR": str(tmp_path / "var")}
    well(elsewhere, "list", "add", "payer", "u-mule", "--list", "block", "--reason", "a mule", **var)
    assert "nothing to accept" in well(elsewhere, "accept-ledger", **var).lower()


@pytest.mark.slow  # `make ways`
def test_the_review_desk_has_its_pages_and_its_style(scored: BentoElsewhere, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "console.log"
    well(scored, "user-add", "asha", "--password", "correct-horse-battery", "--replace")
    process = scored.started(log, "-m", "serving", "console", "--port", str(port))
    try:
        until_ready(process, f"http://127.0.0.1:{port}/sign-in", log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True) as desk:
            page = desk.get("/sign-in").text
            style = next(part for part in page.split('"') if part.endswith(".css"))
            assert desk.get(style).status_code == 200
            visit = page.partition('name="visit" value="')[2].partition('"')[0]
            form = {"visit": visit, "name": "asha", "password": "correct-horse-battery"}
            assert "p-0" in desk.post("/sign-in", data=form).text
    finally:
        ended(process)


@pytest.mark.slow  # `make ways`
def test_nothing_was_written_to_the_home_or_the_working_directory(scored: BentoElsewhere) -> None:
    assert not (scored.home / "bentoml").exists()
    assert not list(scored.empty.iterdir())


def test_without_servers_the_production_commands_end_with_a_sentence(elsewhere: BentoElsewhere) -> None:
    for name in sorted(PRODUCTION):
        done = elsewhere.command(name)
        assert done.returncode == 2, done.stderr
        assert "RISKGATE_REDIS_URL and RISKGATE_POSTGRES_URL are not set" in done.stderr


@pytest.mark.slow  # `make ways`
def test_the_production_profile_comes_up_and_is_rebuilt(
    elsewhere: BentoElsewhere, server_urls: tuple[str, str], tmp_path: Path
) -> None:
    production = Production(server_urls)
    try:
        more = {
            **production.environment(tmp_path),
            "RISKGATE_VAR": str(tmp_path / "var"),
            "RISKGATE_PORT": str(free_port()),
            "RISKGATE_CONSOLE_PORT": str(free_port()),
            "RISKGATE_RECORDER_PORT": str(free_port()),
        }
        assert "schema version" in well(elsewhere, "migrate", **more)
        log = tmp_path / "recorder.log"
        recorder = elsewhere.started(log, "-m", "serving", "recorder", **more)
        until_ready(recorder, f"http://127.0.0.1:{more['RISKGATE_RECORDER_PORT']}/metrics", log)
        assert ended(recorder) == 0, log.read_text()
        well(elsewhere, "up", "--exit-when-ready", **more)
        assert "have their state again" in well(elsewhere, "rebuild-state", **more)
    finally:
        production.close()
