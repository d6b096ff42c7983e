"""The settings of the service: refused with all problems together, and never with a password in the message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from features.intake.pseudonyms import Pseudonyms
from serving import __main__ as command_line
from serving.errors import CannotStart
from serving.ledger.hash_key import HashingEvent, check_hash_key, pseudonyms_of
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import log_form, read_settings
from training.settings import read_settings as training_settings

REDIS = {"RISKGATE_REDIS_URL": "redis://:hush-redis@127.0.0.1:6379/0"}
POSTGRES = {"RISKGATE_POSTGRES_URL": "postgresql://risk:hush-postgres@127.0.0.1/risk"}


def test_without_urls_the_profile_is_embedded() -> None:
    assert not read_settings({}).production


def test_with_both_urls_the_profile_is_production() -> None:
    assert read_settings({**REDIS, **POSTGRES}).production


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (REDIS, "RISKGATE_REDIS_URL is set and RISKGATE_POSTGRES_URL is not"),
        (POSTGRES, "RISKGATE_POSTGRES_URL is set and RISKGATE_REDIS_URL is not"),
        ({**REDIS, "RISKGATE_POSTGRES_URL": "mysql://risk:hush-postgres@db/risk"}, "does not begin with postgresql://"),
        ({**POSTGRES, "RISKGATE_REDIS_URL": "hush-redis@127.0.0.1"}, "does not begin with redis://"),
        ({**REDIS, **POSTGRES, "RISKGATE_REDIS_PREFIX": "a{b}"}, "RISKGATE_REDIS_PREFIX is not a word"),
        ({**REDIS, **POSTGRES, "RISKGATE_WORKERS": "0"}, "RISKGATE_WORKERS is 0"),
        ({**REDIS, **POSTGRES, "RISKGATE_STREAM_LIMIT": "many"}, "not a whole number of events"),
    ],
)
def test_wrong_settings_of_the_production_profile_are_refused_without_the_password(
    environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings(environment)
    assert sentence in refused.value.message
    assert "hush" not in refused.value.message + refused.value.repair


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings({**REDIS, "RISKGATE_PORT": "web", "RISKGATE_CLOCK": "sundial"})
    for name in ("RISKGATE_POSTGRES_URL", "RISKGATE_PORT", "RISKGATE_CLOCK"):
        assert name in refused.value.message


# -- what mounted files and Kubernetes leave in a value ------------------------------------------


VALUES = {
    "API_KEY": "a-key-of-some-length", "HASH_KEY": "k" * 40, "PORT": "3100", "HOST": "::1", "CLOCK": "replay",
    "LOG": "json", "LOG_DECISIONS": "all", "KEYS": "/etc/riskgate/keys.json", "BUNDLE": "risk:latest", "WORKERS": "4",
    "REDIS_URL": "redis://:hush@127.0.0.1/0", "POSTGRES_URL": "postgresql://risk@db/risk", "VAR": "/var/lib/riskgate",
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n\n", "\t\r\n"])
def test_a_line_end_behind_a_value_is_no_part_of_it(end: str) -> None:
    clean = read_settings({f"RISKGATE_{name}": text for name, text in VALUES.items()})
    assert read_settings({f"RISKGATE_{name}": text + end for name, text in VALUES.items()}) == clean
    assert log_form({"RISKGATE_LOG": "json" + end}) == "json"


def test_blanks_around_a_number_or_a_word_are_no_part_of_it() -> None:
    found = read_settings({"RISKGATE_PORT": " 3000\n", "RISKGATE_CLOCK": "\treplay "})
    assert (found.port, found.clock) == (3000, "replay")


def test_training_reads_the_same_variables_alike() -> None:
    sent = {
        "RISKGATE_REDIS_URL": " redis://db/0\r\n",
        "RISKGATE_POSTGRES_URL": "postgresql://db/x\n",
        "RISKGATE_VAR": "v\n",
    }
    mine, theirs = read_settings(sent), training_settings(sent)
    assert (mine.redis_url, mine.postgres_url, mine.var) == (theirs.redis_url, theirs.postgres_url, theirs.var)
    assert training_settings({"RISKGATE_MLFLOW": "postgresql://db/x\n"}).tracking_uri == "postgresql+psycopg://db/x"


@pytest.mark.parametrize("end", ["\n", "\r\n", " \r\n"])
def test_the_hash_key_makes_the_same_pseudonyms_with_a_line_end_and_without(end: str) -> None:
    key = " a key of forty characters, a blank first"
    there, here = (pseudonyms_of(read_settings({"RISKGATE_HASH_KEY": text}).hash_key) for text in (key + end, key))
    assert there is not None
    assert here is not None
    assert here.fingerprint == there.fingerprint == Pseudonyms(key).fingerprint


@pytest.mark.parametrize(("kept", "written"), [("\n", r"\n"), ("\r\n", r"\r\n")])
def test_a_ledger_whose_key_had_a_line_end_opens_with_the_line_end_spelled_out(
    tmp_path: Path, kept: str, written: str
) -> None:
    key = "k" * 40
    ledger = Ledger(tmp_path / "ledger.sqlite")
    body = msgspec.json.encode(HashingEvent(Pseudonyms(key + kept).fingerprint))
    ledger.append_now("hashing", "", 1, 1, body)
    with pytest.raises(CannotStart) as refused:
        check_hash_key(ledger, read_settings({"RISKGATE_HASH_KEY": key + kept}).hash_key)
    assert f"<the key>{written}'" in refused.value.repair
    assert key not in str(refused.value)
    found = check_hash_key(ledger, read_settings({"RISKGATE_HASH_KEY": key + written}).hash_key)
    assert found is not None
    assert found.fingerprint == Pseudonyms(key + kept).fingerprint
    ledger.close()


@pytest.mark.parametrize("name", ["PORT", "CONSOLE_PORT", "RECORDER_PORT", "WORKERS"])
@pytest.mark.parametrize("value", ["tcp://10.0.0.1:3000", "udp://10.0.0.1:3000\n", "tcp://[fd00::1]:3000"])
def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_a_setting(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = {
        "RISKGATE_SERVICE_HOST": "10.0.0.1",
        "RISKGATE_PORT_3000_TCP": value,
        "RISKGATE_PORT_3000_TCP_PORT": "3000",
    }
    assert read_settings({**service, f"RISKGATE_{name}": value}) == read_settings({})
    (record,) = caplog.records
    assert f"RISKGATE_{name}" in record.getMessage()


@pytest.mark.parametrize("value", ["tcp", "tcp//10.0.0.1", "tpc://10.0.0.1:3000", "http://10.0.0.1", "3000 3001", ""])
def test_a_typo_in_a_port_is_still_refused(value: str) -> None:
    with pytest.raises(CannotStart, match="RISKGATE_PORT is"):
        read_settings({"RISKGATE_PORT": value})


@pytest.mark.parametrize("value", ["²", "٣", "9" * 5_000, "65536", "-1", "+3", "3_0"])
def test_a_number_that_is_no_port_is_one_sentence(value: str) -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings({"RISKGATE_PORT": value})
    assert len(str(refused.value)) < 300


def test_a_key_that_no_caller_can_send_is_refused_and_not_shown() -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings({"RISKGATE_API_KEY": "first-secret\nsecond-secret"})
    assert "RISKGATE_API_KEY" in refused.value.message
    assert "secret" not in str(refused.value)


WRONG = {"RISKGATE_LOG": "xml", "RISKGATE_CLOCK": "sundial", "RISKGATE_PORT": "web", "RISKGATE_LEDGER_SYNC": "never"}
COMMANDS = [
    ["run"], ["verify"], ["snapshot"], ["export-history", "x"], ["import-history", "x"], ["export-vectors", "x"],
    ["hash-id", "ip", "x"], ["console"], ["user-add", "ann"], ["key-list"], ["key-add", "till", "--scope", "score"],
    ["compare"], ["challenge"], ["recorder"], ["up"], ["migrate"], ["rebuild-state"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: str(words[0]))
def test_every_command_says_all_that_is_wrong_in_sentences(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WRONG.items():
        monkeypatch.setenv(name, value)
    if len(command_line.app.registered_commands) < len(COMMANDS):
        command_line._add_commands()
    done = CliRunner().invoke(command_line.app, arguments, input="a long password\na long password\n")
    assert done.exit_code == 2, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    for name in WRONG:
        assert name in done.output
