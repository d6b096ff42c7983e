"""The key of the card-number tokens: made once however many start together, bound to its ledger, never replaced."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import catalogue
from features.errors import InvalidHistory
from features.intake.token_key import key_file, known_tokens
from features.intake.tokens import Tokens, is_token
from features.state.profiles import InstrumentProfile, ProfileFile
from serving.audit.export_history import export
from serving.audit.import_history import append_history
from serving.cases.sqlite import SqliteCases
from serving.console.desk import Desk
from serving.errors import CannotStart
from serving.ledger.postgres import schema
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.token_key import known_tokens_of, shared_tokens, tokens_of
from serving.settings import read_settings
from serving.store_config import LedgerConfig
from tests.serving.asgi import Asked
from tests.serving.scoring_world import PARAMETERS, history, payment
from tests.serving.servers import Servers
from training.runs.run import read_history, read_profiles

KEY, OTHER = "k" * 40, "o" * 40
CARD = "4111111111111111"


def history_with(instrument: str) -> pa.Table:
    """A short history of which one payment was made with this instrument."""
    table = history(catalogue(PARAMETERS), 20)
    instruments = pa.array([instrument, *table["instrument_id"].to_pylist()[1:]])
    return table.set_column(table.schema.get_field_index("instrument_id"), "instrument_id", instruments)


def rows_of(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def tokens_at(config: LedgerConfig, payments: int = 0) -> Tokens:
    """The tokens of the embedded profile, in a ledger with so many payments."""
    ledger = Ledger(config.sqlite)
    try:
        for number in range(payments):
            ledger.append_now("payment", f"t-{number}", 1, 1, b"{}")
        return tokens_of(config, ledger)
    finally:
        ledger.close()


def test_processes_that_start_together_agree_on_one_key_in_a_private_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: tokens_at(LedgerConfig(tmp_path)).fingerprint, range(16)))
    assert len(set(made)) == 1
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("token-key*")] == ["token-key-1"]
    assert tokens_at(LedgerConfig(tmp_path)).fingerprint == made[0]


def test_a_hash_key_makes_no_file(tmp_path: Path) -> None:
    assert tokens_at(LedgerConfig(tmp_path, hash_key=KEY)).fingerprint == Tokens(KEY).fingerprint
    assert not key_file(tmp_path).exists()


def test_a_ledger_with_payments_refuses_another_key_until_the_version_is_raised(tmp_path: Path) -> None:
    first = tokens_at(LedgerConfig(tmp_path), payments=1)
    key_file(tmp_path).unlink()
    with pytest.raises(CannotStart, match=r"is missing.*Put the file back.*RISKGATE_TOKEN_KEY_VERSION to 2"):
        tokens_at(LedgerConfig(tmp_path))
    key_file(tmp_path).write_text("0" * 64)
    with pytest.raises(CannotStart, match=rf"made with the key {first.fingerprint} \(version 1\)"):
        tokens_at(LedgerConfig(tmp_path))
    second = tokens_at(LedgerConfig(tmp_path, token_key_version=2))
    assert (second.version, second.fingerprint == first.fingerprint) == (2, False)
    with pytest.raises(CannotStart, match="Set RISKGATE_TOKEN_KEY_VERSION to 2"):
        tokens_at(LedgerConfig(tmp_path))


def test_before_the_first_payment_the_key_may_change(tmp_path: Path) -> None:
    tokens_at(LedgerConfig(tmp_path))
    assert tokens_at(LedgerConfig(tmp_path, hash_key=KEY)).fingerprint == Tokens(KEY).fingerprint
    tokens_at(LedgerConfig(tmp_path, hash_key=KEY), payments=1)
    with pytest.raises(CannotStart, match="were made with the key"):
        tokens_at(LedgerConfig(tmp_path, hash_key=OTHER))


@pytest.mark.parametrize("hash_key", ["", KEY])
def test_workers_of_one_database_share_one_key(servers: Servers, tmp_path: Path, hash_key: str) -> None:
    config = LedgerConfig(tmp_path, postgres_url=servers.postgres_url, hash_key=hash_key)
    assert hash_key or known_tokens_of(config) is None
    with ThreadPoolExecutor(8) as pool:
        made = {tokens.fingerprint for tokens in pool.map(lambda _: shared_tokens(config), range(16))}
    known = known_tokens_of(config)
    assert known is not None and made == {known.fingerprint}
    rows = servers.rows("SELECT version, fingerprint, length(secret) FROM token_keys")
    assert rows == [(1, known.fingerprint, 0 if hash_key else 64)]
    assert not key_file(tmp_path).exists()
    for other in (OTHER, "") if hash_key else (OTHER,):
        with pytest.raises(CannotStart, match="fingerprint"):
            shared_tokens(LedgerConfig(tmp_path, postgres_url=servers.postgres_url, hash_key=other))


def test_the_table_of_keys_is_no_new_version_of_the_tables(servers: Servers, tmp_path: Path) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    shared_tokens(LedgerConfig(tmp_path, postgres_url=servers.postgres_url))
    assert schema.prepare(servers.postgres_url, servers.prefix) == schema.VERSION


def test_a_receipt_is_found_by_the_token_and_by_the_number(tmp_path: Path, bundle: Path) -> None:
    with closing(Asked(tmp_path, bundle)) as asked:
        asked.load()
        tokens = asked.runtime.tokens
        token = tokens.token(CARD)
        assert asked.ask("POST", "/v1/score", payment(token)).status_code == 200
        for spelling in (token, CARD, "4111-1111-1111-1111", "4111%201111%201111%201111"):
            reply = asked.ask("GET", f"/v1/receipts/{spelling}")
            assert (reply.status_code, CARD in reply.text) == (200, False)
        assert asked.application.tokens is tokens


def test_a_history_is_tokenised_on_the_way_in_and_tells_its_key_on_the_way_out(tmp_path: Path) -> None:
    source, var, out = tmp_path / "history.parquet", tmp_path / "var", tmp_path / "out.parquet"
    pq.write_table(history_with(CARD), source)
    append_history(LedgerConfig(var), source)
    tokens = known_tokens("", var)
    assert tokens is not None
    for path in var.rglob("*"):
        assert not path.is_file() or CARD.encode() not in path.read_bytes(), path
    assert export(LedgerConfig(var), out) == rows_of(source)
    assert tokens.token(CARD) in pq.read_table(out)["instrument_id"].to_pylist()
    assert read_history(out).num_rows == read_history(out, tokens).num_rows == rows_of(source)
    with pytest.raises(InvalidHistory, match=f"holds card-number tokens of the key 1:{tokens.fingerprint}"):
        read_history(out, Tokens(OTHER))
    with pytest.raises(InvalidHistory, match="holds card-number tokens of the key"):
        append_history(LedgerConfig(tmp_path / "elsewhere", hash_key=OTHER), out)


def test_training_replaces_card_numbers_with_the_key_of_the_service_or_refuses(tmp_path: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(history_with("4111 1111 1111 1111"), source)
    with pytest.raises(InvalidHistory, match=r"instrument_id holds .* clear card numbers.*HASH_KEY") as refused:
        read_history(source)
    assert "1111" not in str(refused.value)
    instruments = read_history(source, Tokens(KEY))["instrument_id"].to_pylist()
    assert Tokens(KEY).token(CARD) in instruments
    pq.write_table(history_with("vpa-1"), source)
    assert not any(is_token(one) for one in read_history(source)["instrument_id"].to_pylist())


def test_training_finds_the_profile_of_a_card_by_its_token(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    profiles = ProfileFile(path)
    profiles.write([(CARD, InstrumentProfile(event_time_ms=1, created_time_ms=1, known_since_ms=1))])
    profiles.close()
    found = read_profiles(path, Tokens(KEY))
    assert found is not None and found.get("instrument", Tokens(KEY).token(CARD), 1) is not None


def test_a_card_number_in_the_profile_file_stays_there(tmp_path: Path, bundle: Path) -> None:
    profiles = ProfileFile(tmp_path / "profiles.sqlite")
    profiles.write([(CARD, InstrumentProfile(event_time_ms=1, created_time_ms=1, known_since_ms=1))])
    profiles.close()
    with closing(Asked(tmp_path / "var", bundle, profiles=str(tmp_path / "profiles.sqlite"))) as asked:
        asked.load()
        bodies = b"".join(event.body for event in asked.runtime.ledger.of_kind("profile"))
        assert asked.runtime.tokens.token(CARD).encode() in bodies
        assert CARD.encode() not in bodies


def test_a_version_out_of_range_is_refused_with_the_other_settings() -> None:
    with pytest.raises(CannotStart, match=r"RISKGATE_TOKEN_KEY_VERSION lies outside 1\.\.25"):
        read_settings({"RISKGATE_TOKEN_KEY_VERSION": "26"})


def test_the_desk_looks_for_a_card_number_by_its_token(tmp_path: Path) -> None:
    config = LedgerConfig(tmp_path)
    desk = Desk(SqliteCases(config.sqlite), tmp_path / "desk.sqlite", tokens=lambda: known_tokens_of(config))
    assert desk.as_kept(CARD) == CARD  # no key yet, so no token of it is anywhere
    token = tokens_at(config).token(CARD)
    assert desk.as_kept("4111-1111-1111-1111") == token
    assert desk.as_kept("u-1042") == "u-1042"
